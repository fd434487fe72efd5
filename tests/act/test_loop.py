# SPDX-License-Identifier: Apache-2.0
"""Plans become runs: premises, single use, failures, stops, the way back, a change of writer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from billow.act.clock import SystemClock
from billow.act.undo import way_back
from billow.engines.sim.engine import SimEngine
from billow.errors import Blocked, Conflict, Leased, Stale, Unavailable
from billow.loop import Wish
from billow.model.action import (
    Action,
    Cordon,
    Delete,
    Migrate,
    Place,
    Resize,
    Stop,
    Uncordon,
)
from billow.model.event import EventKind
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import State
from billow.model.plan import Plan
from billow.model.policy import Limits
from billow.model.pool import Pool
from billow.model.run import Phase, Progress, Run, RunState
from billow.model.shape import Shape
from billow.ports import Blocker
from tests.act.control import Controller, Lab

HALF = Shape("half", 2000, 4096)
HOSTS = [Host(name, (Node(4000, 8192),)) for name in ("h1", "h2", "h3")]
START = Pool.build(
    HOSTS, [Instance(name, HALF, host="h1", state=State.RUNNING) for name in ("a", "b")]
)
MOVE_A = Migrate(instance="a", source="h1", target="h2")
MOVE_B = Migrate(instance="b", source="h1", target="h3")


def lab_test(
    body: Callable[[Lab], Awaitable[None]],
    folder: Path,
    limits: Limits | None = None,
    faults: str = "",
) -> None:
    """Run a body in a lab of its own."""

    async def run() -> None:
        async with Lab(START, folder, limits, faults) as lab:
            await body(lab)

    asyncio.run(run())


def test_a_run_does_what_the_plan_predicted_and_tells_each_step(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        controller = await lab.controller()
        plan = await controller.plan([MOVE_A, MOVE_B])
        run = await controller.carry_out(plan)
        ended = await lab.store.run(run.id)
        assert ended.state is RunState.DONE
        assert lab.pool().digest == plan.predicted.digest
        kinds = [event.kind for event in await lab.store.events(subject="instance/a")]
        assert kinds[0] is EventKind.STEP_STARTED
        assert kinds[-1] is EventKind.STEP_ENDED

    lab_test(body, tmp_path)


def test_a_run_that_is_just_being_begun_is_not_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its controller looks for open runs every few seconds, also in the instant of a begin."""

    async def body(lab: Lab) -> None:
        controller = await lab.controller()
        plan = await controller.plan([MOVE_A])
        begin = lab.store.begin

        async def begun(run: Run, planned: Plan) -> None:
            await begin(run, planned)
            await controller.loop.recover()

        monkeypatch.setattr(lab.store, "begin", begun)
        run = await controller.carry_out(plan)
        assert (await lab.store.run(run.id)).state is RunState.DONE
        kinds = [event.kind for event in await lab.store.events(subject=f"run/{run.id}")]
        assert EventKind.RUN_RECOVERED not in kinds
        assert kinds.count(EventKind.STEP_STARTED) == 1

    lab_test(body, tmp_path)


def test_a_plan_is_used_once(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        controller = await lab.controller()
        plan = await controller.plan([Cordon(host="h3", why="disk")])
        await controller.carry_out(plan)
        with pytest.raises(Conflict, match="was carried out by run"):
            await controller.carry_out(plan)

    lab_test(body, tmp_path)


def test_a_plan_whose_premise_is_gone_is_stale_and_changes_nothing(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        controller = await lab.controller()
        plan = await controller.plan([MOVE_A])
        await controller.carry_out(await controller.plan([replace(MOVE_A, target="h3")]))
        before = lab.pool().digest
        with pytest.raises(Stale, match="is stale") as stale:
            await controller.carry_out(plan)
        assert stale.value.details == ("instance/a: host is h3, not h1",)
        assert lab.pool().digest == before

    lab_test(body, tmp_path)


def test_a_plan_outlives_changes_that_it_does_not_touch(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        controller = await lab.controller()
        plan = await controller.plan([MOVE_A])
        await controller.carry_out(await controller.plan([Stop(instance="b", host="h1")]))
        run = await controller.carry_out(plan)
        assert (await lab.store.run(run.id)).state is RunState.DONE

    lab_test(body, tmp_path)


def test_a_digest_that_the_caller_no_longer_sees_is_refused(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        controller = await lab.controller()
        plan = await controller.plan([MOVE_A])
        with pytest.raises(Stale, match="not the one you have seen"):
            await controller.loop.start(plan.id, actor="me", if_match="0" * 32)

    lab_test(body, tmp_path)


def test_while_frozen_plans_are_made_but_none_is_carried_out(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        controller = await lab.controller()
        plan = await controller.plan([MOVE_A])
        with pytest.raises(Blocked, match="frozen"):
            await controller.carry_out(plan)
        assert lab.pool().digest == START.digest

    lab_test(body, tmp_path, Limits(frozen=True))


def test_after_a_failure_no_further_wave_starts(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        controller = await lab.controller()
        run = await controller.carry_out(await controller.plan([MOVE_A, MOVE_B]))
        ended = await lab.store.run(run.id)
        first, second = ended.entries.values()
        assert ended.state is RunState.FAILED
        assert (first.phase, second.phase) == (Phase.FAILED, Phase.SKIPPED)
        assert second.error["brief"] == "1 step failed, 0 are allowed"
        assert lab.pool().digest == START.digest

    lab_test(body, tmp_path, Limits(steps_at_once=1), "on migrate a fails at 0.5")


def test_a_failure_that_is_allowed_skips_only_what_needs_it(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        controller = await lab.controller()
        full = Shape("full", 4000, 8192)
        needy = Place(instance=Instance("needy", full), host="h1")
        run = await controller.carry_out(await controller.plan([MOVE_A, needy, MOVE_B]))
        ended = await lab.store.run(run.id)
        phases = [entry.phase for entry in ended.entries.values()]
        assert phases == [Phase.FAILED, Phase.DONE, Phase.SKIPPED]
        assert lab.pool().instance("b").host == "h3"

    lab_test(body, tmp_path, Limits(failures_allowed=1), "on migrate a fails at 0.5")


@pytest.mark.parametrize(
    "faults",
    [
        "on migrate is lost",
        "on migrate hangs for 100",
        "on migrate hangs for 1500\nat 600 away for 2000",
    ],
)
def test_what_hangs_or_hides_its_outcome_ends_well(tmp_path: Path, faults: str) -> None:
    async def body(lab: Lab) -> None:
        controller = await lab.controller()
        run = await controller.carry_out(await controller.plan([MOVE_A]))
        assert (await lab.store.run(run.id)).state is RunState.DONE
        assert lab.pool().instance("a").host == "h2"

    lab_test(body, tmp_path, faults=faults)


def test_while_the_engine_is_away_nothing_is_planned_and_afterwards_all_is_well(
    tmp_path: Path,
) -> None:
    async def body(lab: Lab) -> None:
        controller = await lab.controller()
        with pytest.raises(Unavailable, match="does not answer"):
            await controller.plan([MOVE_A])
        await asyncio.sleep(0.2)
        run = await controller.carry_out(await controller.plan([MOVE_A]))
        assert (await lab.store.run(run.id)).state is RunState.DONE

    lab_test(body, tmp_path, faults="at 0 away for 100")


def test_a_stopped_run_starts_no_more_steps_and_says_who_stopped_it(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        controller = await lab.controller()
        plan = await controller.plan([MOVE_A, MOVE_B])
        run = await controller.loop.start(plan.id, actor="me")
        controller.loop.stop(run.id, actor="ann")
        await controller.loop.wait(run.id)
        ended = await lab.store.run(run.id)
        assert ended.state is RunState.STOPPED
        skipped = [e for e in ended.entries.values() if e.phase is Phase.SKIPPED]
        assert skipped
        assert skipped[0].error["brief"] == "stopped by ann"

    lab_test(body, tmp_path, Limits(steps_at_once=1))


def test_undo_returns_to_where_it_began(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        controller = await lab.controller()
        new = Place(instance=Instance("new", HALF), host="h2")
        plan = await controller.plan([MOVE_A, new, Cordon(host="h3", why="disk")])
        run = await controller.carry_out(plan)
        ended = await lab.store.run(run.id)
        wish = Wish("undo", "me", plan.id)
        undo = await controller.loop.plan(lambda pool: (pool, [way_back(plan, ended, pool)]), wish)
        assert undo.parent == plan.id
        await controller.carry_out(undo)
        assert lab.pool().digest == START.digest

    lab_test(body, tmp_path)


def test_the_old_writer_can_do_nothing_once_another_has_taken_over(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        old = await lab.controller()
        plan = await old.plan([MOVE_A])
        await old.writer.release()
        new = await lab.controller()
        with pytest.raises(Leased):
            await old.carry_out(plan)
        run = await new.carry_out(plan)
        assert (await lab.store.run(run.id)).state is RunState.DONE

    lab_test(body, tmp_path)


def test_a_second_controller_waits_while_the_first_holds_the_lease(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        first = await lab.controller()
        with pytest.raises(AssertionError):
            await lab.controller()
        assert first.writer.held

    lab_test(body, tmp_path)


async def _undone(lab: Lab, controller: Controller, plan: Plan, run: Run) -> Plan:
    ended = await lab.store.run(run.id)
    want = lambda pool: (pool, [way_back(plan, ended, pool)])  # noqa: E731 - used once
    return await controller.loop.plan(want, Wish("undo", "me", plan.id))


def test_undo_finds_what_has_moved_since_and_leaves_what_is_gone(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        controller = await lab.controller()
        new = [Place(instance=Instance(name, HALF), host="h2") for name in ("x", "y")]
        plan = await controller.plan([*new, Cordon(host="h3", why="disk")])
        run = await controller.carry_out(plan)
        later: list[Action] = [
            Uncordon(host="h3", was="disk"),
            Migrate(instance="x", source="h2", target="h3"),
            Delete(instance="y", host="h2"),
        ]
        await controller.carry_out(await controller.plan(later))
        undo = await _undone(lab, controller, plan, run)
        assert [(s.action.name, s.action.subject, s.action.hosts) for s in undo.steps] == [
            ("delete", "instance/x", ("h3",))
        ]
        assert not undo.rejections
        await controller.carry_out(undo)
        assert lab.pool().digest == START.digest

    lab_test(body, tmp_path)


def test_undo_leaves_alone_what_has_become_something_else(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        controller = await lab.controller()
        other, third = Shape("other", 1000, 1024), Shape("third", 500, 512)
        plan = await controller.plan([Resize(instance="a", host="h1", old=HALF, new=other)])
        run = await controller.carry_out(plan)
        again = Resize(instance="a", host="h1", old=other, new=third)
        await controller.carry_out(await controller.plan([again]))
        undo = await _undone(lab, controller, plan, run)
        assert not undo.steps
        assert [r.reason for r in undo.rejections] == ["resize cannot be undone any more"]

    lab_test(body, tmp_path)


def test_a_target_that_is_closed_since_makes_a_plan_stale(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        controller = await lab.controller()
        plan = await controller.plan([Place(instance=Instance("x", HALF), host="h3")])
        await controller.carry_out(await controller.plan([Cordon(host="h3", why="disk")]))
        with pytest.raises(Stale) as stale:
            await controller.carry_out(plan)
        assert stale.value.details == ("host/h3: cordon is disk, not empty",)

    lab_test(body, tmp_path)


class Imageless(SimEngine):
    """An engine that has no image to boot anything new from."""

    async def blockers(self, action: Action) -> list[Blocker]:
        found = list(await super().blockers(action))
        return [*found, Blocker("there is no image")] if isinstance(action, Place) else found


def test_what_the_engine_would_refuse_is_rejected_when_it_is_planned(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        controller = await lab.controller(engine=Imageless(lab.sim, SystemClock()))
        plan = await controller.plan([Place(instance=Instance("x", HALF), host="h2"), MOVE_B])
        assert [step.action.subject for step in plan.steps] == ["instance/b"]
        assert [r.reason for r in plan.rejections] == [
            "place of instance/x is blocked: there is no image"
        ]

    lab_test(body, tmp_path)


class Broken(SimEngine):
    """An engine with a fault of its own."""

    async def blockers(self, action: Action) -> list[Blocker]:
        return []

    def perform(self, action: Action, *, fence: int) -> AsyncIterator[Progress]:
        raise ZeroDivisionError("a bug in the engine")


def test_a_bug_in_an_engine_fails_its_step_and_ends_the_run(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        controller = await lab.controller(engine=Broken(lab.sim, SystemClock()))
        run = await controller.carry_out(await controller.plan([MOVE_A]))
        ended = await lab.store.run(run.id)
        assert ended.state is RunState.FAILED
        (entry,) = ended.entries.values()
        assert entry.error["code"] == "bug"
        assert "ZeroDivisionError" in entry.error["details"]

    lab_test(body, tmp_path)
