# SPDX-License-Identifier: Apache-2.0
"""The newest events in memory, for all who follow: one reader of the database for any number.

It looks when something was told here, and every `POLL_S` for what another process told. Whoever is
further behind than it reaches is given pages from the database. It keeps nothing per follower.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import takewhile
from typing import Final

from billow.errors import BillowError
from billow.model.event import Event

POLL_S: Final = 0.25
KEPT: Final = 2_000


class Tail:
    """The newest events, with no gap between the first and the last of them."""

    def __init__(
        self,
        page: Callable[[int], Awaitable[Sequence[Event]]],
        newest: Callable[[], Awaitable[int]],
    ) -> None:
        """Start empty.

        Args:
            page: Return events above an id from the database, oldest first; empty when there are
                none.
            newest: Return the highest id in the database.
        """
        self._page = page
        self._newest = newest
        self._events: deque[Event] = deque()
        self._floor = 0  # every event above it, up to the last one read, is in memory
        self._last = 0
        self._told = asyncio.Event()
        self._news = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._closed = False

    def wake(self) -> None:
        """Say that an event was told in this process."""
        self._told.set()

    async def after(self, last: int) -> Sequence[Event] | None:
        """Return events above an id, waiting until there is one; None when the store closes."""
        if self._watching is None and not self._closed:
            self._watching = asyncio.create_task(self._watch(), name="billow-store-tail")
        await self._ready.wait()
        while not self._closed:
            news = self._news
            if last < self._floor and (page := await self._page(last)):
                return page
            newer = takewhile(partial(_is_above, last), reversed(self._events))
            if fresh := list(newer):
                return fresh[::-1]
            await news.wait()
        return None

    async def aclose(self) -> None:
        """Let go of everyone who follows."""
        self._closed = True
        self._ready.set()
        self._news.set()
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching

    async def _watch(self) -> None:
        while True:
            with suppress(BillowError):
                self._floor = self._last = await self._newest()
                self._ready.set()
                break
            await self._pause()
        while True:
            events: Sequence[Event] = ()
            with suppress(BillowError):  # a database that is away may come back
                events = await self._page(self._last)
            if events:
                self._keep(events)
            else:
                await self._pause()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._told.wait(), POLL_S)
        self._told.clear()

    def _keep(self, events: Sequence[Event]) -> None:
        self._events.extend(events)
        self._last = events[-1].id
        while len(self._events) > KEPT:
            self._floor = self._events.popleft().id
        self._news.set()
        self._news = asyncio.Event()


def _is_above(last: int, event: Event) -> bool:
    return event.id > last
