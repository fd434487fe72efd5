# SPDX-License-Identifier: Apache-2.0
"""The simulated pool as an engine: it submits actions to a `World` and watches them.

The world goes on by itself: an iterator that is dropped, an engine that is closed or a controller
that dies changes nothing of what is under way in it, as with a real cloud. This module must not
decide what happens.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from billow.engines.sim.fold import kept
from billow.engines.sim.operation import Operation
from billow.engines.sim.world import World
from billow.errors import BillowError
from billow.model.action import (
    Action,
    Cordon,
    Delete,
    Fence,
    Migrate,
    Place,
    PowerOff,
    PowerOn,
    Resize,
    Start,
    Stop,
    Uncordon,
)
from billow.model.pool import Pool
from billow.model.run import Progress
from billow.ports import Blocker, Clock, Trace

VERBS: frozenset[type[Action]] = frozenset(
    {Place, Migrate, Start, Stop, Delete, Resize, Cordon, Uncordon, PowerOn, PowerOff, Fence}
)
_LEAST_S = 1e-6
"""What a clock near today's epoch can still tell apart, several times over."""


class SimEngine:
    """A window on a simulated world; fulfils `billow.ports.Engine`.

    Several engines may share one world: that is what a second controller looks like.
    """

    def __init__(self, world: World, clock: Clock) -> None:
        """Look at a world whose time goes with a clock; the first look is the world's beginning."""
        self._world = world
        self._clock = clock

    @property
    def name(self) -> str:
        """The engine's name in settings and messages."""
        return "sim"

    @property
    def verbs(self) -> frozenset[type[Action]]:
        """What it can perform."""
        return VERBS

    async def sense(self) -> Pool:
        """Return the pool as it is now; costs nothing when nothing changed."""
        self._look()
        return kept(self._world.pool(), taken_at=self._clock.now())

    async def blockers(self, action: Action) -> Sequence[Blocker]:
        """Return why the world would refuse the action now."""
        self._look()
        return self._world.blockers(action)

    async def perform(self, action: Action, *, fence: int) -> AsyncIterator[Progress]:
        """Submit the action and yield how far it is until it has ended."""
        self._look()
        operation = self._world.submit(action, fence)
        furthest = 0.0
        while operation.trace is Trace.RUNNING:
            progress = self._progress(operation, furthest)
            furthest = progress.fraction
            yield progress
            await self._clock.sleep(self._until_news(operation))
            self._look()
        if operation.error is not None:
            raise _again(operation.error)

    async def find(self, action_id: str) -> Trace:
        """Return what became of an action."""
        self._look()
        operation = self._world.operations.get(action_id)
        return Trace.UNKNOWN if operation is None else operation.trace

    async def aclose(self) -> None:
        """Let go; the world goes on."""

    def _look(self) -> None:
        self._world.look(self._clock.now())

    def _until_news(self, operation: Operation) -> float:
        """Return the clock's seconds until the next report or the operation's end."""
        world = self._world
        left_s = (operation.due - world.now) / world.speed
        return min(max(left_s, 0.0) + _LEAST_S, world.timing.report_s)

    def _progress(self, operation: Operation, least: float) -> Progress:
        """Return how far it is, in the clock's seconds, never less than was said before."""
        progress = operation.progress(self._world.now)
        return replace(
            progress,
            fraction=max(progress.fraction, least),
            left_s=progress.left_s / self._world.speed,
        )


def _again(error: BillowError) -> BillowError:
    """Return an error of its own for each caller: a raised one carries its caller's traceback."""
    return type(error)(error.brief, error.details, error.fix, error.code)
