# SPDX-License-Identifier: Apache-2.0
"""The contract that every engine keeps, as tests to subclass; nothing here knows an engine.

    class TestSim(EngineContract):
        verbs = SimEngine.VERBS

        @pytest.fixture
        def stand(self) -> EngineStand: ...

Tests run in asyncio by anyio's pytest plugin. What is checked of refusals, names and blockers is in
`engine_refusals`, of moves that are taken back in `engine_cancelling`, of evacuation in
`engine_evacuation`; this contract includes them.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import ClassVar, cast

import pytest

from billow.act.premise import unmet
from billow.errors import BillowError, Leased
from billow.model.action import Action, Delete, Place, Start
from billow.model.kinds import State
from billow.model.run import Progress
from billow.ports import Engine, Trace
from billow.testing.engine_cancelling import EngineCancelling
from billow.testing.engine_evacuation import EngineEvacuation
from billow.testing.engine_refusals import EngineRefusals
from billow.testing.stand import (
    SCENARIOS,
    EngineStand,
    digest,
    do,
    ended,
    homes,
    migrate,
    place,
    scenario,
)

_MANY = 6


class EngineContract(EngineRefusals, EngineCancelling, EngineEvacuation):
    """Tests of one engine; a subclass names its verbs and brings a stand.

    Attributes:
        verbs: What the engine claims; each becomes a test of its own.
    """

    verbs: ClassVar[frozenset[type[Action]]]

    @staticmethod
    def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
        """Give every test that takes a verb one run for each verb that is claimed."""
        if "verb" in metafunc.fixturenames:
            verbs = sorted(cast(type[EngineContract], metafunc.cls).verbs, key=lambda v: v.name)
            metafunc.parametrize("verb", verbs, ids=lambda verb: verb.name)

    @pytest.fixture
    def anyio_backend(self) -> str:
        """Run in asyncio."""
        return "asyncio"

    @pytest.fixture
    async def engine(self, stand: EngineStand) -> AsyncIterator[Engine]:
        """Open the stand's world for one test."""
        engine = await stand.open()
        yield engine
        await engine.aclose()

    async def test_claims_are_known(self, engine: Engine) -> None:
        """An engine claims the verbs that its tests name, and each has a scenario."""
        assert engine.verbs == self.verbs
        assert self.verbs <= SCENARIOS

    async def test_sense_shows_the_hosts(self, engine: Engine, stand: EngineStand) -> None:
        """Two looks at a resting pool are the same pool at two times."""
        before, after = await engine.sense(), await engine.sense()
        assert {stand.first, stand.second} <= set(before.hosts.id)
        assert before.digest == after.digest
        assert before.taken_at <= after.taken_at <= stand.clock.now()

    async def test_verb_does_what_it_says(
        self, engine: Engine, stand: EngineStand, verb: type[Action]
    ) -> None:
        """After an action, sensing shows what it achieves, and nothing that was there is gone."""
        tried = scenario(stand, verb)
        await do(engine, *tried.before)
        before = await engine.sense()
        assert unmet(before, tried.action.expects) == ()
        assert list(await engine.blockers(tried.action)) == []
        reports = await do(engine, tried.action)
        after = await engine.sense()
        assert unmet(after, tried.action.achieves) == ()
        gone = {tried.action.instance} if isinstance(tried.action, Delete) else set()
        assert set(before.instances.id) - set(after.instances.id) == gone
        assert await engine.find(tried.action.id) is Trace.DONE
        _check_reports(reports)

    async def test_repeating_changes_nothing(
        self, engine: Engine, stand: EngineStand, verb: type[Action]
    ) -> None:
        """A known id repeats its outcome: at once, from another engine object, side by side."""
        tried = scenario(stand, verb)
        await do(engine, *tried.before, tried.action)
        after = await digest(engine)
        await do(engine, tried.action)
        again = await stand.open()
        await asyncio.gather(*(do(again, tried.action) for _ in range(3)))
        assert await digest(again) == after
        assert await again.find(tried.action.id) is Trace.DONE
        await again.aclose()

    async def test_performed_side_by_side_is_done_once(
        self, engine: Engine, stand: EngineStand, verb: type[Action]
    ) -> None:
        """Callers of one id at the same time join one action, and all hear of its success."""
        tried = scenario(stand, verb)
        await do(engine, *tried.before)
        await asyncio.gather(*(do(engine, tried.action) for _ in range(4)))
        after = await engine.sense()
        assert unmet(after, tried.action.achieves) == ()
        assert len(after.instances) == len(set(after.instances.id)) <= 1

    async def test_an_old_id_does_not_come_back(self, engine: Engine, stand: EngineStand) -> None:
        """An action that was done is not done again when the world has moved on since."""
        created = place(stand, "x")
        await do(engine, created, Delete(id="delete-x", instance="x", host=stand.first))
        await do(engine, created)
        assert "x" not in (await engine.sense()).instances.row
        again = await stand.open()
        await do(again, created)
        assert "x" not in (await again.sense()).instances.row
        await again.aclose()

    async def test_an_older_fence_is_refused(self, engine: Engine, stand: EngineStand) -> None:
        """Whoever was the writer before may do nothing, not even join, across restarts."""
        created = place(stand, "x")
        await do(engine, created, fence=7)
        after = await digest(engine)
        again = await stand.open()
        for each in (engine, again):
            for action in (created, place(stand, "y")):
                with pytest.raises(Leased):
                    await do(each, action, fence=6)
        assert await digest(again) == after
        assert await again.find("place-y") is Trace.UNKNOWN
        await do(again, place(stand, "y"), fence=7)
        await do(again, place(stand, "z"), fence=8)
        await again.aclose()

    async def test_a_refusal_counts_its_fence(self, engine: Engine, stand: EngineStand) -> None:
        """A newer writer is known from its first word, even when that was refused."""
        with pytest.raises(BillowError):
            await do(engine, place(stand, "x", "no-such-host"), fence=9)
        again = await stand.open()
        with pytest.raises(Leased):
            await do(again, place(stand, "y"), fence=8)
        await again.aclose()

    async def test_find_knows(self, engine: Engine, stand: EngineStand) -> None:
        """An action is unknown, then running, then done; a new engine object knows it too."""
        assert await engine.find("place-x") is Trace.UNKNOWN
        await do(engine, place(stand, "x"))
        moving = migrate(stand, "x")
        assert await engine.find(moving.id) is Trace.UNKNOWN
        async for _ in engine.perform(moving, fence=1):
            assert await engine.find(moving.id) in (Trace.RUNNING, Trace.DONE)
        again = await stand.open()
        for each in (engine, again):
            assert await each.find("place-x") is Trace.DONE
            assert await each.find(moving.id) is Trace.DONE
            assert await each.find("never-seen") is Trace.UNKNOWN
        await again.aclose()

    @pytest.mark.parametrize("restarts", [False, True], ids=["alive", "restarted"])
    async def test_an_abandoned_action_is_never_half_done(
        self, engine: Engine, stand: EngineStand, verb: type[Action], *, restarts: bool
    ) -> None:
        """When nobody watches any more, an action is still done in full or not at all."""
        tried = scenario(stand, verb)
        await do(engine, *tried.before)
        before = await digest(engine)
        async with aclosing(_reports(engine, tried.action)) as reports:
            async for _ in reports:
                break
        if restarts:
            await engine.aclose()
            engine = await stand.open()
        trace = await ended(stand, engine, tried.action.id)
        await _check_whole(engine, tried.action, trace, before)
        if trace is not Trace.FAILED:
            await do(engine, tried.action)
            assert unmet(await engine.sense(), tried.action.achieves) == ()
        if restarts:
            await engine.aclose()

    async def test_a_cancelled_caller_leaves_nothing_half_done(
        self, engine: Engine, stand: EngineStand
    ) -> None:
        """Cancelling the task that performs is the same as walking away."""
        await do(engine, place(stand, "x"))
        before = await digest(engine)
        moving = migrate(stand, "x")
        task = asyncio.create_task(do(engine, moving))
        while await engine.find(moving.id) is Trace.UNKNOWN:
            await stand.clock.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        trace = await ended(stand, engine, moving.id)
        await _check_whole(engine, moving, trace, before)

    async def test_a_migration_reports(self, engine: Engine, stand: EngineStand) -> None:
        """A live migration says how far it is at least once, with what it copied."""
        await do(engine, place(stand, "x"))
        reports = await do(engine, migrate(stand, "x"))
        assert reports
        assert all(report.total_mib >= report.copied_mib >= 0 for report in reports)
        _check_reports(reports)

    async def test_a_move_tells_how_it_goes(self, engine: Engine, stand: EngineStand) -> None:
        """What a live migration tells last is how it went: all is there, and how long it stood."""
        await do(engine, place(stand, "x"))
        flows = [each.flow for each in await do(engine, migrate(stand, "x")) if each.flow]
        assert flows
        assert [each.seconds for each in flows] == sorted(each.seconds for each in flows)
        assert all(each.left_mib >= 0 and 0 <= each.throttle <= 1 for each in flows)
        assert flows[-1].left_mib == 0
        assert flows[-1].downtime_s >= 0

    async def test_a_deleted_instance_leaves_its_name(
        self, engine: Engine, stand: EngineStand
    ) -> None:
        """After a delete the pool is as before, and the name can be used again."""
        before = await digest(engine)
        await do(engine, place(stand, "x"))
        await do(engine, Delete(id="delete-x", instance="x", host=stand.first))
        pool = await engine.sense()
        assert pool.digest == before
        assert "x" not in pool.instances.row
        again = Place(id="place-x-again", instance=stand.instance("x"), host=stand.second)
        await do(engine, again)
        assert homes(await engine.sense()) == {"x": stand.second}

    async def test_many_at_once(self, engine: Engine, stand: EngineStand) -> None:
        """Many places side by side give each instance once, each on its own host."""
        hosts = {f"n{number}": (stand.first, stand.second)[number % 2] for number in range(_MANY)}
        await asyncio.gather(*(do(engine, place(stand, *each)) for each in hosts.items()))
        pool = await engine.sense()
        assert homes(pool) == hosts
        assert {each.state for each in pool.instance_views()} == {State.RUNNING}

    async def test_one_name_is_given_once(self, engine: Engine, stand: EngineStand) -> None:
        """Of two places of one name at the same time, at most one succeeds."""
        wanted = [
            Place(id=f"place-{host}", instance=stand.instance("x"), host=host)
            for host in (stand.first, stand.second)
        ]
        tries = await asyncio.gather(*(do(engine, each) for each in wanted), return_exceptions=True)
        won = [each.host for each, tried in zip(wanted, tries, strict=True) if _is_done(tried)]
        assert list(homes(await engine.sense()).values()) == won
        assert len(won) == 1

    async def test_instances_outlive_the_engine(self, engine: Engine, stand: EngineStand) -> None:
        """Closing an engine stops nothing; the next one finds it all."""
        await do(engine, place(stand, "x"), place(stand, "y", stand.second))
        before = await engine.sense()
        await engine.aclose()
        again = await stand.open()
        after = await again.sense()
        assert after.digest == before.digest
        assert after.instance("x").state is State.RUNNING
        await again.aclose()

    async def test_a_stopped_instance_can_move_or_says_why_not(
        self, engine: Engine, stand: EngineStand
    ) -> None:
        """What is stopped is not started by a move: it is stopped afterwards too."""
        tried = scenario(stand, Start)
        await do(engine, *tried.before)
        moving = migrate(stand, "x")
        if not await engine.blockers(moving):
            await do(engine, moving)
        assert (await engine.sense()).instance("x").state is State.STOPPED


async def _reports(engine: Engine, action: Action) -> AsyncGenerator[Progress, None]:
    """Yield reports; closing it closes the engine's own iterator too."""
    reports = engine.perform(action, fence=1)
    try:
        async for report in reports:
            yield report
    finally:
        if isinstance(reports, AsyncGenerator):
            await reports.aclose()


def _is_done(outcome: object) -> bool:
    return not isinstance(outcome, BaseException)


def _check_reports(reports: list[Progress]) -> None:
    """Check that fractions are between 0 and 1 and never go back, and that no time is negative."""
    fractions = [report.fraction for report in reports if not math.isnan(report.fraction)]
    assert fractions == sorted(fractions)
    assert all(0.0 <= fraction <= 1.0 for fraction in fractions)
    assert not any(report.left_s < 0 or report.copied_mib < 0 for report in reports)


async def _check_whole(engine: Engine, action: Action, trace: Trace, before: str) -> None:
    """Check that an action was done in full, or that the world is as before."""
    pool = await engine.sense()
    if trace is Trace.DONE:
        assert unmet(pool, action.achieves) == ()
    else:
        assert pool.digest == before
