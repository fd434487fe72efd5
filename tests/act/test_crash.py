# SPDX-License-Identifier: Apache-2.0
"""A death at any journal write leaves nothing lost, nothing twice, and a run that ends."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from billow.model.action import Delete, Migrate, Place, Stop
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import State
from billow.model.pool import Pool
from billow.model.run import Phase, RunState
from billow.model.shape import Shape
from tests.act.control import Died, Lab

HALF = Shape("half", 2000, 4096)
HOSTS = [Host(name, (Node(4000, 8192),)) for name in ("h1", "h2", "h3")]
START = Pool.build(
    HOSTS, [Instance(name, HALF, host="h1", state=State.RUNNING) for name in ("a", "b")]
)
ACTIONS = (
    Place(instance=Instance("new", HALF), host="h2"),
    Migrate(instance="a", source="h1", target="h3"),
    Stop(instance="b", host="h1"),
    Delete(instance="b", host="h1"),
)
WRITES = 2 + 2 * len(ACTIONS)
"""Begin, intent and outcome of each action, end."""


async def _die_and_recover(folder: Path, at: int, *, after: bool) -> Lab:
    lab = Lab(START, folder)
    async with lab:
        first = await lab.controller(at=at, after=after)
        plan = await first.plan(ACTIONS)
        with contextlib.suppress(Died):
            await first.carry_out(plan)
        assert first.journal.dead
        await lab.bury(first)
        second = await lab.controller()
        await second.loop.recover()
        for run in await lab.store.open_runs():
            await second.loop.wait(run.id)
        runs = await lab.store.runs()
        if not runs:
            assert at == 1
            assert not after
            assert lab.pool().digest == START.digest
            return lab
        assert [run.state for run in runs] == [RunState.DONE]
        assert {entry.phase for entry in runs[0].entries.values()} == {Phase.DONE}
        assert not await lab.store.open_runs()
        _check_world(lab)
    return lab


def _check_world(lab: Lab) -> None:
    pool = lab.pool()
    assert pool.instances.id == ("a", "new")
    assert pool.instance("a").host == "h3"
    assert pool.instance("new").host == "h2"
    assert {instance.state for instance in pool.instance_views()} == {State.RUNNING}
    assert len(lab.sim.operations) == len(ACTIONS)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, WRITES + 1))
def test_a_death_at_any_write_is_recovered(tmp_path: Path, at: int, *, after: bool) -> None:
    asyncio.run(_die_and_recover(tmp_path, at, after=after))


def test_a_whole_run_makes_exactly_the_writes_that_are_killed_above(tmp_path: Path) -> None:
    async def count() -> int:
        async with Lab(START, tmp_path) as lab:
            controller = await lab.controller()
            await controller.carry_out(await controller.plan(ACTIONS))
            _check_world(lab)
            return controller.journal.writes

    assert asyncio.run(count()) == WRITES
