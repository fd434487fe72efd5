# SPDX-License-Identifier: Apache-2.0
"""The count of pool changes seen: plans remember it, so that an older one can be told."""

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billow.store.database import Database
from billow.store.tables import GENERATION, counters


class Generation:
    """A number that only rises."""

    _database: Database

    async def generation(self) -> int:
        """Return how many pool changes were counted."""
        async with self._database.read() as connection:
            return await _value(connection) or 0

    async def bump_generation(self) -> int:
        """Count one more pool change and return the number."""

        async def count(connection: AsyncConnection) -> int:
            value = await _value(connection)
            if value is None:
                await connection.execute(insert(counters).values(name=GENERATION, value=1))
                return 1
            ours = counters.c.name == GENERATION
            await connection.execute(update(counters).where(ours).values(value=value + 1))
            return value + 1

        return await self._database.write(count)


async def _value(connection: AsyncConnection) -> int | None:
    query = select(counters.c.value).where(counters.c.name == GENERATION)
    value: int | None = await connection.scalar(query)
    return value
