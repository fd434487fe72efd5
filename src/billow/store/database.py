# SPDX-License-Identifier: Apache-2.0
"""The database as the parts of the store see it: read at any time, write in turn."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from billow.store.failure import explained
from billow.store.migrate import migrate
from billow.store.open import Use, create_file, is_postgres, make_engine, parsed
from billow.store.patience import COMMIT_S, READ_S, limited
from billow.store.writer import Result, Work, Writer


class Database:
    """Connections to one database, of one event loop."""

    def __init__(self, url: str) -> None:
        parts = parsed(url)
        self._read_s = READ_S if is_postgres(parts) else None
        commit_s = COMMIT_S if is_postgres(parts) else None
        self._readers = make_engine(parts, Use.READ)
        self._writer = Writer(make_engine(parts, Use.WRITE), commit_s)
        self._own = Writer(make_engine(parts, Use.OWN), commit_s)

    @classmethod
    async def open(cls, url: str) -> Self:
        """Return the database at a URL, made or brought up to date where needed.

        Raises:
            Invalid: the URL is none of ours, or its place cannot be written.
            Blocked: a newer Billow made it.
            Unavailable: it does not answer.
        """
        parts = parsed(url)
        if not is_postgres(parts):
            create_file(parts)
        await migrate(parts)
        return cls(url)

    async def write(self, work: Work[Result]) -> Result:
        """Do work in a transaction, alone; return when it is on disk (see `Writer`)."""
        return await self._writer.write(work)

    async def write_own(self, work: Work[Result]) -> Result:
        """Do work on rows that only this process writes, beside all other writers."""
        return await self._own.write(work)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Lend a connection that only reads; each statement sees the newest commit.

        Raises:
            Unavailable: the database failed, or did not answer in time.
        """
        try:
            async with limited(self._read_s), self._readers.connect() as connection:
                yield connection
        except (SQLAlchemyError, TimeoutError) as error:
            raise explained(error) from error

    async def aclose(self) -> None:
        """Write what is queued and let go of all connections."""
        await self._writer.aclose()
        await self._own.aclose()
        await self._readers.dispose()
