# SPDX-License-Identifier: Apache-2.0
"""The board: what each controller sees of all hosts, told to the others several times a second.

A controller writes its own row only, so it waits for no other writer: a leader that froze within a
transaction must not keep the others from telling that hosts live. How old a row is, the database's
own clock says. Names of hosts are written and read only when they have changed.
"""

import hashlib
import zlib
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import bindparam, delete, insert, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billow.model.ha.packing import pack_view, unpack_view
from billow.model.ha.view import View
from billow.store.database import Database
from billow.store.tables import views
from billow.store.text import storable

_CLOCKS: Final = {
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "extract(epoch from clock_timestamp())",
}


class Board:
    """What controllers see, in one database; it is `billow.ports.Board`."""

    _database: Database
    _names: dict[str, tuple[str, ...]]  # hosts by the digest of their names

    async def publish(self, view: View) -> None:
        """Tell what this controller sees; return when all others can read it."""
        row: dict[str, Any] = {
            "of_observer": storable(view.observer),
            "digest_": _digest(view.hosts),
            "packed_": pack_view(view),
        }

        async def tell(connection: AsyncConnection) -> None:
            clock = _clock(connection)
            changed = await connection.execute(_again(clock), row)
            if changed.rowcount == 0:
                await _tell_first(connection, view, row)

        await self._database.write_own(tell)

    async def views(self) -> Sequence[View]:
        """Return what every controller told last, with how long ago that was."""
        async with self._database.read() as connection:
            clock = _clock(connection)
            age = (clock - views.c.at).label("age_s")
            query = select(views.c.observer, views.c.digest, views.c.packed, age)
            rows = (await connection.execute(query.order_by(views.c.observer))).all()
            if any(row.digest not in self._names for row in rows):
                await self._learn(connection)
        return [
            unpack_view(row.packed, self._names[row.digest], age_s=float(row.age_s))
            for row in rows
            if row.digest in self._names  # else its names changed meanwhile: next time
        ]

    async def forget_view(self, observer: str) -> None:
        """Take down what a controller told that is no more."""

        async def drop(connection: AsyncConnection) -> None:
            await connection.execute(delete(views).where(views.c.observer == storable(observer)))

        await self._database.write_own(drop)

    async def _learn(self, connection: AsyncConnection) -> None:
        rows = await connection.execute(select(views.c.digest, views.c.hosts))
        self._names.clear()
        self._names.update({row.digest: _names_in(row.hosts) for row in rows})


def _clock(connection: AsyncConnection) -> Any:  # noqa: ANN401 (an SQL expression)
    return literal_column(_CLOCKS[connection.dialect.name])


def _again(clock: Any) -> Any:  # noqa: ANN401 (an SQL expression, and a statement)
    return (
        update(views)
        .where(views.c.observer == bindparam("of_observer"), views.c.digest == bindparam("digest_"))
        .values(at=clock, packed=bindparam("packed_"))
    )


async def _tell_first(connection: AsyncConnection, view: View, row: dict[str, Any]) -> None:
    """Write a row with its hosts' names, in the place of one with others."""
    await connection.execute(delete(views).where(views.c.observer == row["of_observer"]))
    values = {
        "observer": row["of_observer"],
        "at": _clock(connection),
        "digest": row["digest_"],
        "hosts": zlib.compress("\n".join(view.hosts).encode()),
        "packed": row["packed_"],
    }
    await connection.execute(insert(views).values(values))


def _digest(hosts: tuple[str, ...]) -> str:
    return hashlib.sha256("\n".join(hosts).encode()).hexdigest()


def _names_in(packed: bytes) -> tuple[str, ...]:
    text = zlib.decompress(packed).decode()
    return tuple(text.split("\n")) if text else ()
