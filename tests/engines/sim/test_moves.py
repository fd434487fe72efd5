# SPDX-License-Identifier: Apache-2.0
"""Moves in a simulated world by policy: how they end, how they are taken back, what they tell."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.engines.sim.lab import Lab, move

from billow.engines.sim.engine import SimEngine
from billow.engines.sim.timing import Timing
from billow.errors import BillowError, Conflict, Lost, NotFound, Refused
from billow.model.action import Stop
from billow.model.assessment import Way
from billow.model.kinds import MigrationPolicy, State
from billow.model.run import Flow
from billow.ports import Trace
from billow.testing.clock import VirtualClock
from billow.testing.pools import pool

POOL = pool("3 hosts x 64GiB 16c; a: 3 vms x 10GiB 4c dirty=2000 spread")
WRITES_TOO_FAST = move("a1", "h1", "h2")


def by(policy: MigrationPolicy) -> tuple[Lab, list[Flow], BillowError | None]:
    """Move an instance that writes faster than any link carries; return what was told."""
    lab, flows = Lab(POOL), list[Flow]()
    action = replace(WRITES_TOO_FAST, policy=policy, downtime_s=0.1)

    async def story() -> BillowError | None:
        try:
            told = lab.engine.perform(action, fence=1)
            flows.extend([each.flow async for each in told if each.flow is not None])
        except BillowError as error:
            return error
        return None

    return lab, flows, lab.run(story())


@pytest.mark.parametrize(
    ("policy", "way"),
    [
        (MigrationPolicy.BALANCED, Way.DIRTY_LIMIT),
        (MigrationPolicy.SHORTEST, Way.DIRTY_LIMIT),
        (MigrationPolicy.AUTO_CONVERGE, Way.AUTO_CONVERGE),
        (MigrationPolicy.POST_COPY, Way.POST_COPY),
    ],
)
def test_every_policy_gets_a_busy_instance_across(policy: MigrationPolicy, way: Way) -> None:
    lab, flows, error = by(policy)
    assert error is None
    assert lab.world.pool().instance("a1").host == "h2"
    last = flows[-1]
    assert (last.way, last.left_mib) == (way, 0.0)
    assert 0.0 < last.downtime_s <= 0.1
    assert all(len(each.dirty_mib_s) == 4 for each in flows)
    assert [each.seconds for each in flows] == sorted(each.seconds for each in flows)


def test_who_must_not_be_slowed_down_is_left_where_it_is() -> None:
    lab, _, error = by(MigrationPolicy.NO_THROTTLE)
    assert isinstance(error, Refused)
    assert "no_throttle" in error.brief
    assert lab.world.pool().instance("a1").host == "h1"


def test_an_instances_own_policy_counts() -> None:
    own = replace(POOL.instance("a1"), migration=MigrationPolicy.POST_COPY)
    lab = Lab(POOL)
    lab.world.ground.put(own)
    reports = lab.run(lab.do(WRITES_TOO_FAST))
    assert reports[-1].flow is not None
    assert reports[-1].flow.way is Way.POST_COPY


def fetching(lab: Lab) -> asyncio.Task[BillowError | None]:
    return asyncio.create_task(
        lab.try_to(replace(WRITES_TOO_FAST, policy=MigrationPolicy.POST_COPY))
    )


async def until(lab: Lab, phase: str) -> None:
    """Wait until the move is in a phase."""
    operations = lab.world.operations
    while "move-a1" not in operations or (
        operations["move-a1"].progress(lab.world.now).phase != phase
    ):
        await lab.clock.sleep(0.01)


def test_while_the_rest_is_fetched_it_runs_on_the_target_and_stays_there() -> None:
    lab = Lab(POOL)

    async def story() -> None:
        task = fetching(lab)
        await until(lab, "fetching")
        there = (await lab.engine.sense()).instance("a1")
        assert (there.host, there.state) == ("h2", State.RUNNING)
        with pytest.raises(Conflict):
            await lab.engine.cancel("move-a1")
        assert await task is None
        assert (await lab.engine.sense()).instance("a1").host == "h2"

    lab.run(story())


@pytest.mark.parametrize("dying", ["h1", "h2"])
def test_whose_memory_lies_on_two_hosts_is_lost_with_either(dying: str) -> None:
    lab = Lab(POOL, f"at 12 host {dying} dies", timing=Timing(stream_mib_s=1000.0))

    async def story() -> None:
        task = fetching(lab)
        await until(lab, "fetching")
        error = await task
        assert isinstance(error, Lost)
        assert error.code == "guest-lost"
        assert await lab.engine.find("move-a1") is Trace.FAILED
        there = (await lab.engine.sense()).instance("a1")
        assert (there.host, there.state) == ("h2", State.FAILED)

    lab.run(story())


def test_only_a_move_that_is_under_way_is_cancelled() -> None:
    lab = Lab(POOL)

    async def story() -> None:
        stopping = asyncio.create_task(lab.try_to(Stop(id="stop", instance="a2", host="h2")))
        await lab.clock.sleep(0.1)
        with pytest.raises(Conflict, match="cannot be taken back"):
            await lab.engine.cancel("stop")
        await stopping
        with pytest.raises(NotFound):
            await lab.engine.cancel("stop")
        task = asyncio.create_task(lab.try_to(replace(WRITES_TOO_FAST, id="move-a1")))
        await until(lab, "switching")
        with pytest.raises(Conflict, match="handed over"):
            await lab.engine.cancel("move-a1")
        assert await task is None

    lab.run(story())


def test_a_cancelled_move_gives_its_room_and_its_link_back() -> None:
    lab = Lab(POOL)

    async def story() -> None:
        task = asyncio.create_task(lab.try_to(WRITES_TOO_FAST))
        await until(lab, "copying")
        free = lab.world.ground.shortage(POOL.instance("a1").shape, "h2", ())
        await lab.engine.cancel("move-a1")
        error = await task
        assert isinstance(error, Refused)
        assert (error.code, free) == ("cancelled", "")
        assert lab.world.rests
        again = replace(WRITES_TOO_FAST, id="again", policy=MigrationPolicy.SHORTEST)
        assert await lab.try_to(again) is None

    lab.run(story())


def test_what_was_cancelled_stays_so_for_who_reads_the_file_later(tmp_path: Path) -> None:
    clock, path = VirtualClock(), tmp_path / "world.log"

    def opened() -> SimEngine:
        return SimEngine.open(lambda: POOL, clock, state_path=path)

    async def story() -> None:
        async def followed(engine: SimEngine) -> str:
            try:
                async for _ in engine.perform(WRITES_TOO_FAST, fence=1):
                    pass
            except Refused as error:
                return error.code
            return "done"

        first = opened()
        task = asyncio.create_task(followed(first))
        await clock.sleep(2.0)
        await opened().cancel("move-a1")
        assert await task == "cancelled"
        for engine in (first, opened(), opened()):
            assert await engine.find("move-a1") is Trace.FAILED
            assert await followed(engine) == "cancelled"
            assert (await engine.sense()).instance("a1").host == "h1"

    asyncio.run(story())
