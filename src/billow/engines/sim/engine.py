# SPDX-License-Identifier: Apache-2.0
"""The simulated pool as an engine: it submits actions to a `World` and watches them.

The world goes on by itself: an iterator that is dropped, an engine that is closed or a controller
that dies changes nothing of what is under way in it, as with a real cloud. This module must not
decide what happens.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, Self

from billow.engines.sim.assess import assess
from billow.engines.sim.fault import Fault
from billow.engines.sim.fold import kept
from billow.engines.sim.keep import KeptWorld
from billow.engines.sim.operation import Operation
from billow.engines.sim.setting import Setting
from billow.engines.sim.watched import Ear, Watched
from billow.engines.sim.world import World
from billow.errors import BillowError, Lost, Unavailable
from billow.model.action import (
    Action,
    Allot,
    Cordon,
    Delete,
    Evacuate,
    Fence,
    Migrate,
    Place,
    PowerOff,
    PowerOn,
    Resize,
    Resume,
    Start,
    Stop,
    Suspend,
    Throttle,
    Uncordon,
)
from billow.model.assessment import Assessment
from billow.model.ha.evidence import Network
from billow.model.ha.view import View
from billow.model.kinds import Power
from billow.model.pool import Pool
from billow.model.run import Progress
from billow.ports import Blocker, Clock, Trace

VERBS: frozenset[type[Action]] = frozenset(
    {
        Place,
        Migrate,
        Start,
        Stop,
        Delete,
        Resize,
        Throttle,
        Suspend,
        Resume,
        Allot,
        Cordon,
        Uncordon,
        PowerOn,
        PowerOff,
        Fence,
        Evacuate,
    }
)
_LEAST_S = 1e-6
"""What a clock near today's epoch can still tell apart, several times over."""


class Source(Protocol):
    """Where an engine finds its world: in memory, or kept on disk."""

    def look(self, clock_now: float) -> World:
        """Return the world as it is at a moment of the clock. Raises Unavailable."""

    def submit(self, action: Action, fence: int, clock_now: float) -> Operation:
        """Submit an action to it. Raises Leased, Refused, Unavailable."""

    def cancel(self, action_id: str, clock_now: float) -> None:
        """Take back what is under way in it. Raises NotFound, Conflict, Unavailable."""

    def happen(self, fault: Fault, clock_now: float) -> None:
        """Let a fault befall in it. Raises Invalid, Unavailable."""


class InMemory:
    """A world that lives as long as this object; several engines may share it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def look(self, clock_now: float) -> World:
        """Return the world as it is at a moment of the clock."""
        return self._world.look(clock_now)

    def submit(self, action: Action, fence: int, clock_now: float) -> Operation:
        """Submit an action to it. Raises Leased, Refused."""
        return self._world.look(clock_now).submit(action, fence)

    def cancel(self, action_id: str, clock_now: float) -> None:
        """Take back what is under way in it. Raises NotFound, Conflict."""
        self._world.look(clock_now).cancel(action_id)

    def happen(self, fault: Fault, clock_now: float) -> None:
        """Let a fault befall in it. Raises Invalid."""
        self._world.look(clock_now).happen(fault)


class SimEngine:
    """A window on a simulated world.

    Fulfils `billow.ports.Engine`, `Assessor` and `Canceller`; and, since its hosts have agents and
    management controllers (`watched`), `Observer`, `Commander` and `Bmc`. Several engines may share
    one world: that is what a second controller looks like.
    """

    @classmethod
    def open(
        cls,
        pool: Callable[[], Pool],
        clock: Clock,
        *,
        state_path: Path | None = None,
        setting: Setting | None = None,
        ear: Ear | None = None,
    ) -> Self:
        """Find the world that is kept in a file, or begin one with a pool.

        Does I/O when there is a file.

        Args:
            pool: Asked only when a world begins.
            clock: The time that the world goes with.
            state_path: The world's file; without one it lives in memory.
            setting: Timing, faults, load and pace.
            ear: How this controller hears hosts.

        Raises:
            Invalid: the file is damaged, or the script names an unknown host.
            Unavailable: the file cannot be written.
        """
        laws = setting or Setting()
        if state_path is None:
            return cls(World(pool(), laws), clock, ear)
        kept_world = KeptWorld(state_path, laws)
        kept_world.open(pool, clock.now())
        return cls(kept_world, clock, ear)

    def __init__(self, world: World | Source, clock: Clock, ear: Ear | None = None) -> None:
        """Look at a world whose time goes with a clock; the first look is the world's beginning."""
        self._source = InMemory(world) if isinstance(world, World) else world
        self._clock = clock
        self.watched = Watched(self._source, clock, ear or Ear())

    @property
    def name(self) -> str:
        """The engine's name in settings and messages."""
        return "sim"

    @property
    def verbs(self) -> frozenset[type[Action]]:
        """What it can perform."""
        return VERBS

    async def sense(self) -> Pool:
        """Return the pool as it is now; costs nothing when nothing changed. Raises Unavailable."""
        pool, taken_at = self._look().seen()
        _ = pool.digest  # every look asks for it; `kept` hands it on until something changes
        return kept(pool, taken_at=taken_at)

    async def blockers(self, action: Action) -> Sequence[Blocker]:
        """Return why the world would refuse the action now. Raises Unavailable."""
        return self._look().blockers(action)

    async def perform(self, action: Action, *, fence: int) -> AsyncIterator[Progress]:
        """Submit the action and yield how far it is until it has ended.

        Raises:
            Leased: the fence is older than one already seen.
            Refused: it was not done and the world is as before.
            Lost: the engine went away while it was under way, or the script lost the outcome.
            Unavailable: the engine is away; nothing was begun.
        """
        known = action.id in self._look().operations
        operation = self._source.submit(action, fence, self._clock.now())
        furthest = 0.0
        while operation.trace is Trace.RUNNING:
            world = self._source.look(self._clock.now())
            operation = world.operations[action.id]
            progress = _progress(operation, world, furthest)
            furthest = progress.fraction
            yield progress
            await self._clock.sleep(_until_news(operation, world))
            operation = self._watched(action)
        if operation.error is not None:
            raise _again(operation.error)
        if operation.strike.lost and not known:
            raise Lost(f"nobody heard what became of {action.name} of {action.subject}")
        if operation.last is not None:
            yield operation.last

    async def find(self, action_id: str) -> Trace:
        """Return what became of an action. Raises Unavailable."""
        operation = self._look().operations.get(action_id)
        return Trace.UNKNOWN if operation is None else operation.trace

    async def assess(self, instance: str, target: str) -> Assessment:
        """Tell what a move would meet. Raises as `billow.ports.Assessor` says."""
        world = self._look()
        pool, taken_at = world.seen()
        under_way = [each.action for each in world.operations.values() if _runs(each)]
        return assess(kept(pool, taken_at=taken_at), world.setting, instance, target, under_way)

    async def cancel(self, action_id: str) -> None:
        """Take back a migration that is under way. Raises NotFound, Conflict, Unavailable."""
        self._look()
        self._source.cancel(action_id, self._clock.now())

    def view(self, now: float) -> View:
        """Return when which host was heard last. Raises Unavailable."""
        return self.watched.view(now)

    async def order(
        self, host: str, network: Network, body: Mapping[str, object]
    ) -> Mapping[str, object]:
        """Let an agent do something. Raises Unavailable."""
        return await self.watched.order(host, network, body)

    async def power(self, host: str) -> Power:
        """Return what a host's management controller reads. Raises as `billow.ports.Bmc` says."""
        return await self.watched.power(host)

    async def off(self, host: str) -> str:
        """Turn a host off and prove it. Raises as `billow.ports.Bmc` says."""
        return await self.watched.off(host)

    async def on(self, host: str) -> None:
        """Let a host return. Raises as `billow.ports.Bmc` says."""
        await self.watched.on(host)

    async def identity(self, host: str) -> str:
        """Return a host's system UUID. Raises as `billow.ports.Bmc` says."""
        return await self.watched.identity(host)

    async def aclose(self) -> None:
        """Let go; the world goes on."""

    def _look(self) -> World:
        world = self._source.look(self._clock.now())
        if world.away:
            raise Unavailable("the simulated cloud does not answer", fix="try again later")
        return world

    def _watched(self, action: Action) -> Operation:
        """Return an operation under way, looked up anew: the world may have been read again."""
        try:
            return self._look().operations[action.id]
        except Unavailable as gone:
            raise Lost(
                f"the simulated cloud went away during {action.name} of {action.subject}",
                fix="ask again what became of it",
            ) from gone


def _runs(operation: Operation) -> bool:
    return operation.trace is Trace.RUNNING


def _until_news(operation: Operation, world: World) -> float:
    """Return the clock's seconds until the next report or the operation's end."""
    left_s = (operation.due - world.now) / world.speed
    return min(max(left_s, 0.0) + _LEAST_S, world.setting.timing.report_s)


def _progress(operation: Operation, world: World, least: float) -> Progress:
    """Return how far it is, in the clock's seconds, never less than was said before."""
    progress = operation.progress(world.now)
    return replace(
        progress,
        fraction=max(progress.fraction, least),
        left_s=progress.left_s / world.speed,
    )


def _again(error: BillowError) -> BillowError:
    """Return an error of its own for each caller: a raised one carries its caller's traceback."""
    return type(error)(error.brief, error.details, error.fix, error.code)
