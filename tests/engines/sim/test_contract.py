# SPDX-License-Identifier: Apache-2.0
"""The engine contract on the simulator."""

from pathlib import Path

import pytest

from billow.engines.sim.engine import VERBS, SimEngine
from billow.engines.sim.world import World
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.testing.clock import VirtualClock
from billow.testing.engine_contract import EngineContract
from billow.testing.stand import EngineStand


class SimStand(EngineStand):
    """Two simulated hosts in memory; engines come and go, the world stays."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.first, self.second = "h1", "h2"
        hosts = [Host(name, (Node(16_000, 65_536),)) for name in (self.first, self.second)]
        self.pool = Pool.build(hosts)
        self.world = World.of(self.pool)

    async def open(self) -> SimEngine:
        return SimEngine(self.world, self.clock)

    def instance(self, name: str, *, immovable: str = "") -> Instance:
        return Instance(name, Shape("small", 1000, 2048), immovable=immovable)

    def larger(self) -> Shape:
        return Shape("larger", 2000, 4096)

    def too_large(self) -> Shape:
        return Shape("vast", 1000, 65_537)


class KeptStand(SimStand):
    """The same hosts in a file; each engine object reads it for itself, as a process would."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    async def open(self) -> SimEngine:
        return SimEngine.open(lambda: self.pool, self.clock, state_path=self._path)


class TestSimInMemory(EngineContract):
    """A world in memory that several engine objects share."""

    verbs = VERBS

    @pytest.fixture
    def stand(self) -> SimStand:
        """Build a world."""
        return SimStand()


class TestSimOnDisk(EngineContract):
    """A world in a file, read by every engine object for itself."""

    verbs = VERBS

    @pytest.fixture
    def stand(self, tmp_path: Path) -> KeptStand:
        """Name a file."""
        return KeptStand(tmp_path / "sim" / "world.log")
