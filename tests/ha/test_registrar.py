# SPDX-License-Identifier: Apache-2.0
"""An engine with records of its own is told of a death before it starts anything elsewhere."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from billow.act.registrar import NOT_CLEANED
from billow.engines.sim.engine import SimEngine
from billow.engines.sim.world import World
from billow.errors import Refused
from billow.model.action import Action, Evacuate
from billow.model.ha.incident import Fate, Phase
from billow.model.run import Progress
from billow.ports import Clock
from billow.testing.pools import pool
from tests.act.control import Lab
from tests.ha.stand import Fleet, Stand, responding

pytestmark = pytest.mark.anyio
POOL = "6 hosts x 64GiB 16c; a: 4 vms x 4GiB 2c on=h1; b: 2 vms x 4GiB 2c on=h2"


class Registry(SimEngine):
    """A simulated engine that believes that hosts live until it is told otherwise, as Nova does."""

    def __init__(self, world: World, clock: Clock) -> None:
        super().__init__(world, clock)
        self.told: list[str] = []
        self.dirty = 1
        self.refuses = 1

    async def mark_dead(self, host: str, why: str) -> None:
        self.told.append(f"{host} is dead: {why.partition(':')[0]}")

    async def mark_alive(self, host: str) -> None:
        if self.dirty:
            self.dirty -= 1
            raise Refused(f"{host} has not cleared up", code=NOT_CLEANED)
        self.told.append(f"{host} is back")

    async def perform(self, action: Action, *, fence: int) -> AsyncIterator[Progress]:
        if isinstance(action, Evacuate):
            assert any(each.startswith(f"{action.source} is dead") for each in self.told)
            if self.refuses and action.instance == "a1":
                self.refuses -= 1
                raise Refused("no valid host was found")
        async for progress in super().perform(action, fence=fence):
            yield progress


async def test_it_is_told_of_the_death_and_of_the_return_and_a_refused_start_goes_elsewhere(
    tmp_path: Path,
) -> None:
    async with Lab(pool(POOL), tmp_path) as lab:
        controller = await lab.controller()
        engine = Registry(lab.sim, controller.world.clock)
        controller.world = replace(controller.world, engine=engine)
        fleet = Fleet(lab.sim)
        async with responding(fleet, lab, controller) as responder:
            held = Stand(fleet, lab, controller, responder)
            await held.until(lambda: True)
            fleet.die("h1")
            incident = await held.until_phase("h1", Phase.QUARANTINE, 60.0)
            assert {each.fate for each in incident.victims} == {Fate.STARTED}
            again = next(each for each in incident.victims if each.instance == "a1")
            assert again.epoch == 2
            assert set(engine.told) == {f"h1 is dead: {incident.id}"}
            await fleet.on("h1")
            closed = await held.until_phase("h1", Phase.CLOSED, 60.0)
            assert closed.outcome == "back, and clean"
            assert engine.dirty == 0
            assert engine.told[-1] == "h1 is back"
        await controller.loop.aclose()
