# SPDX-License-Identifier: Apache-2.0
"""What people said of hosts beforehand: maintenance, disarming, rehearsed proofs.

A person may say so through any controller, so nothing here asks for the lease.
"""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billow.errors import Invalid, NotFound
from billow.model.ha.care import Drill, Maintenance, Reach
from billow.model.ha.incident import Method
from billow.store.database import Database
from billow.store.rows import AnyRow, check_limit
from billow.store.tables import drills, maintenances
from billow.store.text import storable


class Care:
    """What is known of hosts besides what is seen; it is `billow.ports.Care`."""

    _database: Database

    async def begin_maintenance(self, maintenance: Maintenance) -> None:
        """Leave hosts alone from now on; one for the same name that is in force ends.

        Raises:
            Invalid: it would end before it begins.
        """
        if not maintenance.until > maintenance.since:
            raise Invalid("a maintenance ends after it begins", fix="give a later end")
        row = _row(maintenance)
        same = (maintenances.c.reach == row["reach"]) & (maintenances.c.name == row["name"])
        earlier = same & (maintenances.c.ended_at == 0) & (maintenances.c.until > row["since"])
        ended = {"ended_at": row["since"], "ended_by": row["owner"]}

        async def begin(connection: AsyncConnection) -> None:
            await connection.execute(update(maintenances).where(earlier).values(ended))
            await connection.execute(insert(maintenances).values(row))

        await self._database.write(begin)

    async def end_maintenance(self, reach: Reach, name: str, *, by: str, at: float) -> Maintenance:
        """End the one of this name that is in force, and return it. Raises NotFound."""
        same = (maintenances.c.reach == reach.value) & (maintenances.c.name == storable(name))
        held = same & (maintenances.c.ended_at == 0) & (maintenances.c.until > at)

        async def end(connection: AsyncConnection) -> Maintenance:
            row = (await connection.execute(select(maintenances).where(held))).first()
            if row is None:
                raise NotFound(
                    f"no maintenance of {reach} {name!a:.80} is in force",
                    fix="billow ha status shows those that are",
                )
            ended = {"ended_at": at, "ended_by": storable(by)}
            ours = maintenances.c.number == row.number
            await connection.execute(update(maintenances).where(ours).values(ended))
            return _maintenance(row)

        return await self._database.write(end)

    async def maintenances(self, now: float) -> Sequence[Maintenance]:
        """Return those in force, oldest first."""
        held = (maintenances.c.ended_at == 0) & (maintenances.c.until > now)
        query = select(maintenances).where(held).order_by(maintenances.c.number)
        async with self._database.read() as connection:
            return [_maintenance(row) for row in await connection.execute(query)]

    async def past_maintenances(self, *, limit: int = 50) -> Sequence[Maintenance]:
        """Return all that there were, newest first. Raises Invalid."""
        query = select(maintenances).order_by(maintenances.c.number.desc())
        async with self._database.read() as connection:
            rows = await connection.execute(query.limit(check_limit(limit)))
            return [_maintenance(row) for row in rows]

    async def record_drill(self, drill: Drill) -> None:
        """Keep how a rehearsal went, in the place of the last one of its host and method."""
        row = asdict(drill) | {"host": storable(drill.host), "method": drill.method.value}
        ours = (drills.c.host == row["host"]) & (drills.c.method == row["method"])

        async def keep(connection: AsyncConnection) -> None:
            await connection.execute(delete(drills).where(ours))
            await connection.execute(insert(drills).values(row | {"text": storable(drill.text)}))

        await self._database.write(keep)

    async def drills(self) -> Sequence[Drill]:
        """Return how each way to a proof was rehearsed last, by host and method."""
        query = select(drills).order_by(drills.c.host, drills.c.method)
        async with self._database.read() as connection:
            return [_drill(row) for row in await connection.execute(query)]


def _row(maintenance: Maintenance) -> dict[str, str | float]:
    row: dict[str, str | float] = asdict(maintenance)
    texts = {name: storable(value) for name, value in row.items() if isinstance(value, str)}
    return row | texts | {"reach": maintenance.reach.value}


def _maintenance(row: AnyRow) -> Maintenance:
    return Maintenance(
        id=row.id,
        reach=Reach(row.reach),
        name=row.name,
        owner=row.owner,
        why=row.why,
        since=row.since,
        until=row.until,
        ended_at=row.ended_at,
        ended_by=row.ended_by,
    )


def _drill(row: AnyRow) -> Drill:
    return Drill(
        host=row.host,
        method=Method(row.method),
        ok=row.ok,
        at=row.at,
        took_s=row.took_s,
        text=row.text,
    )
