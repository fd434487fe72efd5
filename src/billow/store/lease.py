# SPDX-License-Identifier: Apache-2.0
"""The lease: who may carry plans out, and the fence that tells an old holder from the new one.

A lease is free, held, or expired by the asker's own clock. A holder whose clock is wrong can lose
it too early or be taken over too late, but never write beside another: each journal write compares
fences in its own transaction. A holder's name proves nothing; the fence does.
"""

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billow.errors import Invalid, Leased
from billow.ports import Lease
from billow.store.database import Database
from billow.store.tables import CONTROLLER, leases
from billow.store.text import storable


class Leases:
    """The lease as a row of one database; it is `billow.ports.Leases`."""

    _database: Database

    async def lease(self) -> Lease | None:
        """Return the lease as it is now, held, expired or free; None before its first holder."""
        async with self._database.read() as connection:
            return await read_lease(connection)

    async def acquire(self, holder: str, ttl_s: float, now: float) -> Lease | None:
        """Take the lease if it is free or has expired; None while it is held, also by oneself.

        Raises:
            Invalid: a holder without a name, or no time to hold it for.
        """
        name = storable(holder)
        if not name or not ttl_s > 0:
            raise Invalid("a lease needs a holder and a time above 0 s")

        async def take(connection: AsyncConnection) -> Lease | None:
            lease = await read_lease(connection)
            if lease is not None and lease.holder and lease.until > now:
                return None
            taken = Lease(name, lease.fence + 1 if lease else 1, now + ttl_s)
            await _write(connection, taken, first=lease is None)
            return taken

        return await self._database.write(take)

    async def renew(self, lease: Lease, ttl_s: float, now: float) -> Lease:
        """Keep the lease until `now + ttl_s`, also when it expired but nobody took it.

        Raises:
            Leased: somebody else has it, or it was given back.
        """

        async def extend(connection: AsyncConnection) -> Lease:
            check_same(await read_lease(connection), lease)
            renewed = Lease(lease.holder, lease.fence, now + ttl_s)
            await _write(connection, renewed, first=False)
            return renewed

        return await self._database.write(extend)

    async def release(self, lease: Lease) -> None:
        """Give the lease back; nothing happens when it is another's by now."""
        ours = (
            (leases.c.name == CONTROLLER)
            & (leases.c.holder == lease.holder)
            & (leases.c.fence == lease.fence)
        )

        async def give(connection: AsyncConnection) -> None:
            await connection.execute(update(leases).where(ours).values(holder="", until=0.0))

        await self._database.write(give)


async def read_lease(connection: AsyncConnection) -> Lease | None:
    """Return the lease as a transaction sees it; None before its first holder."""
    query = select(leases.c.holder, leases.c.fence, leases.c.until)
    row = (await connection.execute(query.where(leases.c.name == CONTROLLER))).first()
    return None if row is None else Lease(*row)


def check_same(current: Lease | None, ours: Lease) -> None:
    """Raise Leased unless both are one holder's under one fence."""
    if current is None or (current.holder, current.fence) != (ours.holder, ours.fence):
        raise not_ours(current, ours.fence)


def not_ours(current: Lease | None, fence: int) -> Leased:
    """Return the error for whoever writes under a fence that is not the lease's."""
    if current is None or not current.holder:
        brief = "nobody holds the lease, so nothing may be written"
    else:
        brief = f"{current.holder} holds the lease now, with fence {current.fence}"
    return Leased(
        brief,
        details=(f"this controller's fence is {fence}",),
        fix="acquire the lease and adopt the unfinished runs",
    )


async def _write(connection: AsyncConnection, lease: Lease, *, first: bool) -> None:
    values = {"holder": lease.holder, "fence": lease.fence, "until": lease.until}
    if first:
        await connection.execute(insert(leases).values(name=CONTROLLER, **values))
    else:
        await connection.execute(update(leases).where(leases.c.name == CONTROLLER).values(values))
