# SPDX-License-Identifier: Apache-2.0
"""Time that passes only when nothing else can happen, so that hours of sleep cost a test nothing.

Tasks sleep on the clock; when the event loop has nothing left to run, the clock jumps to the
earliest sleeper and wakes it. Sleepers with the same moment wake in the order in which they lay
down, one at a time, so that a test runs the same way each time. It must not wait for real time.
"""

import asyncio
import heapq
import math
from itertools import count

START = 1_700_000_000.0
"""When virtual time begins, seconds since the epoch, unless a test says otherwise."""


class VirtualClock:
    """A clock for one event loop at a time; fulfils `billow.ports.Clock`.

    What runs outside the loop (threads of a database driver, other processes) is not seen as work:
    give `settle_s` where time must not jump while such work is under way.
    """

    def __init__(self, start: float = START, *, settle_s: float = 0.0) -> None:
        """Begin at `start`, seconds since the epoch.

        Args:
            start: The first moment.
            settle_s: Real seconds that the loop must have been idle before time jumps.
        """
        self._now = start
        self._settle_s = settle_s
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watching = False

    def now(self) -> float:
        """Return the virtual seconds since the epoch."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Return when the clock has come so far; a sleep of 0 or less lets others run first."""
        if math.isnan(seconds):
            raise ValueError("cannot sleep for NaN seconds")
        self._adopt(asyncio.get_running_loop())
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        moment = self._now + max(seconds, 0.0)
        heapq.heappush(self._sleepers, (moment, next(self._order), woken))
        self._watch()
        await woken

    def advance(self, seconds: float) -> None:
        """Let time pass without waiting for the loop: every sleeper due by then wakes.

        For tests that hold the loop themselves; a sleeper sees the moment after the advance.
        """
        self._now += seconds
        while self._sleepers and self._sleepers[0][0] <= self._now:
            self._wake_first()

    def _adopt(self, loop: asyncio.AbstractEventLoop) -> None:
        """Forget what slept in a loop that is gone."""
        if loop is not self._loop:
            self._loop = loop
            self._sleepers.clear()
            self._watching = False

    def _watch(self) -> None:
        """See to it that somebody looks after the sleepers as soon as the loop is idle."""
        if not self._watching and self._sleepers:
            self._watching = True
            loop = asyncio.get_running_loop()
            if self._settle_s:
                loop.call_later(self._settle_s, self._look)
            else:
                loop.call_soon(self._look)

    def _look(self) -> None:
        self._watching = False
        # The only place where asyncio tells whether anything is left to run; there since 3.4.
        busy: bool = bool(asyncio.get_running_loop()._ready)  # type: ignore[attr-defined]  # noqa: SLF001
        if not busy:
            self._jump()
        self._watch()

    def _jump(self) -> None:
        while self._sleepers and self._sleepers[0][2].cancelled():
            heapq.heappop(self._sleepers)
        if self._sleepers:
            self._now = max(self._now, self._sleepers[0][0])
            self._wake_first()

    def _wake_first(self) -> None:
        woken = heapq.heappop(self._sleepers)[2]
        if not woken.done():
            woken.set_result(None)
