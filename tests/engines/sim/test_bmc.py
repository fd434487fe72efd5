# SPDX-License-Identifier: Apache-2.0
"""Simulated management controllers keep the contract of the real ones."""

import pytest

from billow.engines.sim.engine import SimEngine
from billow.engines.sim.fault import Fault
from billow.engines.sim.world import World
from billow.model.host import Host, Node
from billow.model.pool import Pool
from billow.ports import Bmc
from billow.testing.bmc_contract import BmcContract, BmcStand, Trouble
from billow.testing.clock import VirtualClock

FAULTS = {
    Trouble.DEAD: "host {} bmc dies",
    Trouble.SWAPPED: "host {} bmc is another's",
    Trouble.SLOW: "host {} bmc answers after 2",
}


class SimStand(BmcStand):
    def __init__(self) -> None:
        self._world = World.of(
            Pool.build([Host(name, (Node(4000, 8192),)) for name in ("h1", "h2")])
        )
        self._clock = VirtualClock()

    async def open(self) -> SimEngine:
        return SimEngine(self._world, self._clock)

    async def close(self, bmc: Bmc) -> None:
        assert isinstance(bmc, SimEngine)
        await bmc.aclose()

    async def powered(self, host: str) -> bool:
        return self._world.field.condition(host).powered

    async def strike(self, host: str, trouble: Trouble) -> None:
        (await self.open()).watched.strike(Fault.parse(FAULTS[trouble].format(host)))

    async def darken(self, host: str) -> None:
        (await self.open()).watched.strike(Fault.parse(f"host {host} goes dark"))


class TestSim(BmcContract):
    @pytest.fixture
    def stand(self) -> SimStand:
        return SimStand()
