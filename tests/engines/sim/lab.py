# SPDX-License-Identifier: Apache-2.0
"""What the simulator's tests do with an engine, in few words."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from billow.engines.sim.engine import SimEngine
from billow.engines.sim.script import Script
from billow.engines.sim.setting import Setting
from billow.engines.sim.timing import Timing
from billow.engines.sim.usage import Usage
from billow.engines.sim.world import World
from billow.errors import BillowError
from billow.model.action import Action, Migrate, Place
from billow.model.instance import Instance
from billow.model.pool import Pool
from billow.model.run import Progress
from billow.model.shape import Shape
from billow.testing.clock import VirtualClock

Value = TypeVar("Value")
SMALL = Shape("small", 1000, 2048)


class Lab:
    """A world, its clock and an engine on it."""

    def __init__(
        self,
        pool: Pool,
        script: str = "",
        *,
        timing: Timing | None = None,
        usage: Usage | None = None,
        speed: float = 1.0,
    ) -> None:
        self.clock = VirtualClock(1000.0)
        laws = Setting(timing or Timing(), Script.parse(script), usage, speed=speed)
        self.world = World(pool, laws)
        self.engine = SimEngine(self.world, self.clock)
        self.world.look(self.clock.now())

    async def do(self, action: Action) -> list[Progress]:
        """Perform an action."""
        return [each async for each in self.engine.perform(action, fence=1)]

    async def try_to(self, action: Action) -> BillowError | None:
        """Perform an action and return what it raised."""
        try:
            await self.do(action)
        except BillowError as error:
            return error
        return None

    def run(self, work: Coroutine[Any, Any, Value]) -> Value:
        """Run in a loop of its own."""
        return asyncio.run(work)

    @property
    def elapsed(self) -> float:
        """How long it took so far, seconds of the clock."""
        return self.clock.now() - 1000.0


def place(name: str, host: str, shape: Shape = SMALL) -> Place:
    """Return the action that places an instance."""
    return Place(id=f"place-{name}", instance=Instance(name, shape), host=host)


def move(name: str, source: str, target: str) -> Migrate:
    """Return the action that moves an instance."""
    return Migrate(id=f"move-{name}", instance=name, source=source, target=target)
