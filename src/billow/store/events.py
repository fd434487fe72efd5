# SPDX-License-Identifier: Apache-2.0
"""The event stream: told once, kept for ever, read from any place, followed live.

An event's id is its number. Numbers rise in the order of commits (see `database`), so whoever has
read up to a number has missed nothing before it, whichever process wrote it.
"""

import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from billow.model.codec import event_document, event_from_document
from billow.model.event import Event
from billow.model.names import check_amount
from billow.store.database import Database
from billow.store.rows import check_limit, new_number
from billow.store.tables import event_subjects, events
from billow.store.tail import Tail
from billow.store.text import LARGEST_NUMBER, storable


class Events:
    """The event stream of one database."""

    _database: Database
    _tail: Tail

    async def tell(self, event: Event) -> None:
        """Record an event and wake those who follow; its id is given here."""

        async def add(connection: AsyncConnection) -> None:
            await add_event(connection, event)

        await self._database.write(add)
        self._tail.wake()

    async def events(
        self, *, after: int = 0, limit: int = 500, subject: str = "", newest: bool = False
    ) -> Sequence[Event]:
        """Return a page of events.

        Args:
            after: Where to go on: events above this id; with `newest`, those below it, where 0 is
                the top.
            limit: At most so many.
            subject: Only what concerns it (`host/h1`).
            newest: Newest first instead of oldest first.

        Raises:
            Invalid: an `after` or `limit` out of range.
        """
        check_amount("after", after, most=LARGEST_NUMBER)
        check_limit(limit)
        number = event_subjects.c.event if subject else events.c.number
        query = select(events.c.number, events.c.document).limit(limit)
        query = query.order_by(number.desc() if newest else number)
        if after or not newest:
            query = query.where(number < after if newest else number > after)
        if subject:
            query = query.join(event_subjects, event_subjects.c.event == events.c.number)
            query = query.where(event_subjects.c.subject == storable(subject))
        async with self._database.read() as connection:
            return [_event(*row) for row in await connection.execute(query)]

    async def follow(self, after: int) -> AsyncGenerator[Event, None]:
        """Yield every event above an id, then each new one as it comes, none lost and none twice.

        Ends when the store closes. Any number may follow, each at its own pace; nothing piles up
        for the slow.

        Raises:
            Invalid: an `after` out of range.
        """
        check_amount("after", after, most=LARGEST_NUMBER)
        while (fresh := await self._tail.after(after)) is not None:
            for event in fresh:
                after = event.id
                yield event


async def add_event(connection: AsyncConnection, event: Event) -> None:
    """Record an event as part of a transaction; whoever commits it wakes those who follow."""
    whole = replace(event, id=0, subjects=tuple(map(storable, event.subjects)))
    values = {
        "kind": event.kind.value,
        "at": event.at,
        "actor": storable(event.actor),
        "document": json.dumps(event_document(whole)),
    }
    number = new_number(await connection.execute(insert(events).values(values)))
    rows = [{"subject": each, "event": number} for each in dict.fromkeys(whole.subjects)]
    if rows:
        await connection.execute(insert(event_subjects), rows)


def _event(number: int, document: str) -> Event:
    return replace(event_from_document(json.loads(document)), id=number)
