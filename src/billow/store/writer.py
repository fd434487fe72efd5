# SPDX-License-Identifier: Apache-2.0
"""One writer, and one commit for all who wait: a flush costs the same for one as for many.

Work is queued, done in order in one transaction and committed; only then do its callers go on.
When a piece of work fails, the transaction is rolled back and each piece is done again on its own,
so work must change nothing but the database; unless the database is away, which all are told then.
This module must not know what is written.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from billow.errors import Unavailable
from billow.store.failure import explained, is_away, of_commit
from billow.store.patience import limited

Result = TypeVar("Result")
Work = Callable[[AsyncConnection], Awaitable[Result]]
Waiting = tuple[Work[Any], asyncio.Future[Any]]

MOST: Final = 512
"""Pieces of work in one commit at most."""


class Writer:
    """Writes in turn what is given to it. Belongs to the event loop in which it was made."""

    def __init__(self, engine: AsyncEngine, limit_s: float | None = None) -> None:
        """Begin to write; `limit_s` is how long all the work of one commit may take, with it."""
        self._engine = engine
        self._limit_s = limit_s
        self._queue: deque[Waiting] = deque()
        self._news = asyncio.Event()
        self._closing = False
        self._task = asyncio.create_task(self._serve(), name="billow-store-writer")

    async def write(self, work: Work[Result]) -> Result:
        """Do work in a transaction; return when it is committed and on disk.

        Raises:
            BillowError: what the work raised; nothing was written then.
            Unavailable: the database failed or did not answer in time; after a failed commit, it
                may or may not have been written.
        """
        if self._closing:
            raise Unavailable("the store is closed", code="store-closed")
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.append((work, future))
        self._news.set()
        return await future

    async def aclose(self) -> None:
        """Write what is queued, then close."""
        self._closing = True
        self._news.set()
        await self._task
        await self._engine.dispose()

    async def _serve(self) -> None:
        while self._queue or not self._closing:
            await self._news.wait()
            batch = [self._queue.popleft() for _ in range(min(MOST, len(self._queue)))]
            if not self._queue and not self._closing:
                self._news.clear()
            batch = [(work, future) for work, future in batch if not future.done()]
            if batch:
                await self._commit_all(batch)

    async def _commit_all(self, batch: list[Waiting]) -> None:
        """Do work in one commit, or else each piece in its own while the database is there."""
        error = await self._try(batch)
        if error is None:
            return
        if len(batch) == 1 or isinstance(error, _CommitError | TimeoutError):
            for _, future in batch:
                _fail(future, error)
            return
        error = None
        for one in batch:
            if error is None or not is_away(error):
                error = await self._try([one])
            if error is not None:
                _fail(one[1], error)

    async def _try(self, batch: list[Waiting]) -> Exception | None:
        """Do work in one commit and tell who waits for it, or return why it was not done."""
        try:
            results = await self._commit([work for work, _ in batch])
        except Exception as error:  # noqa: BLE001 (it goes to whoever waits for it)
            return error
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)
        return None

    async def _commit(self, works: list[Work[Any]]) -> list[Any]:
        committing = False
        try:
            async with limited(self._limit_s), self._engine.connect() as connection:
                await connection.begin()
                results = [await work(connection) for work in works]
                committing = True
                await connection.commit()
        except (SQLAlchemyError, TimeoutError) as error:
            if committing:
                raise _CommitError(error) from error
            raise
        return results


class _CommitError(Exception):
    """The commit itself failed: nobody knows whether it was done, so it is not tried again."""

    def __init__(self, cause: SQLAlchemyError | TimeoutError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if isinstance(error, _CommitError):
        error = of_commit(error.cause)
    elif isinstance(error, SQLAlchemyError | TimeoutError):
        error = explained(error)
    if not future.done():
        future.set_exception(error)
