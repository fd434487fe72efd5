# SPDX-License-Identifier: Apache-2.0
"""A controller over a simulated world and a real store; it can die at any journal write."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Self

from billow.act.clock import SystemClock
from billow.act.guard import World
from billow.act.lease import Writer
from billow.engines.sim.engine import SimEngine
from billow.engines.sim.script import Script
from billow.engines.sim.setting import Setting
from billow.engines.sim.world import World as SimWorld
from billow.loop import Loop, Wish
from billow.model.action import Action
from billow.model.plan import Plan, Proposal
from billow.model.policy import Limits
from billow.model.pool import Pool
from billow.model.run import Run
from billow.policies import Standing
from billow.ports import Engine
from billow.sense.collect import Collector
from billow.sense.recorder import Recorder
from billow.store.store import Store

WRITES = ("begin", "intend", "conclude", "end")
SPEED = 2000.0
"""Simulated seconds per real second."""


class Died(BaseException):
    """The controller's process is gone. Nothing may catch it."""


class MortalJournal:
    """A journal that takes its controller with it before or after its n-th write (from 1)."""

    def __init__(self, store: Store, *, at: int = 0, after: bool = False) -> None:
        self._store = store
        self._at = at
        self._after = after
        self.writes = 0
        self.dead = False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - it stands in for a whole protocol
        method = getattr(self._store, name)
        return self._counted(method) if name in WRITES else method

    def _counted(self, method: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        async def write(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed through
            self.writes += 1
            last = self.writes == self._at
            if self.dead or (last and not self._after):
                self._die()
            await method(*args, **kwargs)
            if last:
                self._die()

        return write

    def _die(self) -> None:
        self.dead = True
        raise Died


class Controller:
    """One controller process, as far as the rest of the world can tell."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        name: str,
        journal: MortalJournal,
        limits: Limits,
        standing: Sequence[Standing] = (),
    ) -> None:
        clock = SystemClock()
        self.journal = journal
        self.store = store
        self.writer = Writer(store, clock, name, ttl_s=60.0)
        collector = Collector(engine, Recorder())
        self.world = World(engine, collector, journal, store, clock, self.writer, limits)
        self._ids = iter(f"{name}-{number}" for number in range(1000))
        self.loop = Loop(self.world, store, lambda kind: f"{kind}-{next(self._ids)}", standing)

    async def plan(self, actions: Sequence[Action]) -> Plan:
        """Make and keep a plan."""
        proposal = Proposal("request", tuple(actions))
        return await self.loop.plan(lambda pool: (pool, [proposal]), Wish("test", "tester"))

    async def carry_out(self, plan: Plan) -> Run:
        """Start a run and wait for its end."""
        run = await self.loop.start(plan.id, actor="tester")
        await self.loop.wait(run.id)
        return run


class Lab:
    """A simulated world, a store on disk, and controllers that come and go."""

    def __init__(
        self, pool: Pool, folder: Path, limits: Limits | None = None, faults: str = ""
    ) -> None:
        self.sim = SimWorld(pool, Setting(script=Script.parse(faults), speed=SPEED))
        self.url = f"sqlite:///{folder / 'billow.db'}"
        self.limits = limits or Limits()
        self.store: Store
        self._count = 0

    async def __aenter__(self) -> Self:
        self.store = await Store.open(self.url)
        # A death is an exception that nobody is there to catch: that is what it stands for.
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.store.aclose()

    async def controller(
        self,
        *,
        at: int = 0,
        after: bool = False,
        engine: Engine | None = None,
        standing: Sequence[Standing] = (),
    ) -> Controller:
        """Start a controller, which takes the lease from whoever had it."""
        self._count += 1
        journal = MortalJournal(self.store, at=at, after=after)
        engine = engine or SimEngine(self.sim, SystemClock())
        born = Controller(self.store, engine, f"c{self._count}", journal, self.limits, standing)
        assert await born.writer.turn()
        return born

    async def bury(self, dead: Controller) -> None:
        """Let a dead controller's lease run out at once."""
        await asyncio.gather(dead.loop.aclose(), return_exceptions=True)
        await dead.writer.release()

    def pool(self) -> Pool:
        """Return what is true."""
        self.sim.look(SystemClock().now())
        return self.sim.pool()
