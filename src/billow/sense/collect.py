# SPDX-License-Identifier: Apache-2.0
"""Look at the pool no more often than needed: many who ask at once share one look.

Whoever asks gets a pool that was looked at after they asked, never an older one, with its past.
"""

import asyncio

from billow.model.pool import Pool
from billow.ports import Engine
from billow.sense.recorder import Recorder


class Collector:
    """The pool as the engine shows it, with the last look kept."""

    def __init__(self, engine: Engine, recorder: Recorder) -> None:
        self._engine = engine
        self._recorder = recorder
        self._last: Pool | None = None
        self._running: asyncio.Task[Pool] | None = None
        self._next: asyncio.Task[Pool] | None = None

    async def fresh(self) -> Pool:
        """Return a pool that was looked at after this call. Raises Unavailable."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._look())
            return await asyncio.shield(self._running)
        if self._next is None:
            self._next = asyncio.create_task(self._look_after(self._running))
        return await asyncio.shield(self._next)

    @property
    def seen(self) -> Pool | None:
        """The last look's pool; None before the first."""
        return self._last

    async def last(self) -> Pool:
        """Return the last look's pool; look only when there was none. Raises Unavailable."""
        return self._last if self._last is not None else await self.fresh()

    async def _look(self) -> Pool:
        self._last = self._recorder.look(await self._engine.sense())
        return self._last

    async def _look_after(self, first: asyncio.Task[Pool]) -> Pool:
        await asyncio.wait([first])
        self._running, self._next = self._next, None
        return await self._look()
