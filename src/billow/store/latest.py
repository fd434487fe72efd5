# SPDX-License-Identifier: Apache-2.0
"""How far actions are, written a few times per second: only the newest counts, and may be lost.

Progress is never written after an outcome, nor by a controller whose fence is no longer the
lease's.
"""

import asyncio
from contextlib import suppress
from typing import Final

from sqlalchemy import bindparam, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billow.errors import BillowError
from billow.model.run import Phase, Progress
from billow.store.database import Database
from billow.store.runs import progress_text
from billow.store.standing import IN_RUN
from billow.store.tables import entries

EVERY_S: Final = 0.25

_WRITE: Final = (
    update(entries)
    .where(IN_RUN, entries.c.phase == Phase.INTENDED.value)
    .values(progress=bindparam("newest"))
)


class Latest:
    """The newest progress of each action, on its way to the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[tuple[str, str], tuple[Progress, int]] = {}
        self._task: asyncio.Task[None] | None = None

    def put(self, run_id: str, action_id: str, progress: Progress, fence: int) -> None:
        """Take note; it is written within `EVERY_S` unless the action ends first."""
        self._waiting[run_id, action_id] = progress, fence
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write_soon(), name="billow-store-progress")

    def drop(self, run_id: str, action_id: str) -> None:
        """Forget an action that ends."""
        self._waiting.pop((run_id, action_id), None)

    async def aclose(self) -> None:
        """Write what is left."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._write()

    async def _write_soon(self) -> None:
        while self._waiting:
            await asyncio.sleep(EVERY_S)
            await self._write()

    async def _write(self) -> None:
        rows = [
            {"of_run": run, "of_action": action, "under": fence, "newest": progress_text(progress)}
            for (run, action), (progress, fence) in self._waiting.items()
        ]
        self._waiting.clear()

        async def write(connection: AsyncConnection) -> None:
            await connection.execute(_WRITE, rows)

        if rows:
            with suppress(BillowError):  # progress may be lost
                await self._database.write(write)
