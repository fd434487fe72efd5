# SPDX-License-Identifier: Apache-2.0
"""The outbox: what people and other systems shall be told, kept until each channel has taken it.

The same key is one alarm, however often it is added. Nothing here sends anything, and nothing that
recovers a host waits for what is sent.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billow.errors import NotFound
from billow.model.ha.alarm import Alarm, Delivery
from billow.model.ha.response import Severity, Tell
from billow.model.ha.step import IncidentStep
from billow.store.database import Database
from billow.store.rows import AnyRow, check_limit
from billow.store.tables import alarms, deliveries
from billow.store.text import storable


class Outbox:
    """The alarms of one database; it is `billow.ports.Outbox`."""

    _database: Database

    async def add_alarm(self, alarm: Alarm) -> None:
        """Keep an alarm until it is delivered; a key that is known changes nothing."""

        async def add(connection: AsyncConnection) -> None:
            await add_alarm(connection, alarm)

        await self._database.write(add)

    async def due(
        self, channel: str, *, now: float, since: float = 0.0, limit: int = 100
    ) -> Sequence[Delivery]:
        """Return what a channel shall send now, oldest first.

        Args:
            channel: Which.
            now: Seconds since the epoch.
            since: Leave out what was told before: a new channel does not begin with the past.
            limit: At most so many.
        """
        check_limit(limit)
        query = (
            _whole(channel)
            .where(alarms.c.at >= since)
            .where((deliveries.c.alarm.is_(None)) | (deliveries.c.delivered_at == 0))
            .where((deliveries.c.alarm.is_(None)) | (deliveries.c.next_at <= now))
            .order_by(alarms.c.number)
            .limit(limit)
        )
        async with self._database.read() as connection:
            return [_delivery(row, channel) for row in await connection.execute(query)]

    async def alarms(self, *, limit: int = 50, incident: str = "") -> Sequence[Alarm]:
        """Return what was told, newest first. Raises Invalid."""
        query = select(alarms).order_by(alarms.c.number.desc()).limit(check_limit(limit))
        if incident:
            query = query.where(alarms.c.incident == storable(incident))
        async with self._database.read() as connection:
            return [_alarm(row) for row in await connection.execute(query)]

    async def record_delivery(self, delivery: Delivery) -> None:
        """Keep how far an alarm is; what was delivered stays so. Raises NotFound."""
        rest = {
            "tries": delivery.tries,
            "next_at": delivery.next_at,
            "delivered_at": delivery.delivered_at,
            "error": storable(delivery.error),
        }

        async def keep(connection: AsyncConnection) -> None:
            of_key = alarms.c.key == storable(delivery.alarm.key)
            number = await connection.scalar(select(alarms.c.number).where(of_key))
            if number is None:
                raise NotFound(f"no alarm {delivery.alarm.key!a:.80}")
            ours = (deliveries.c.alarm == number) & (deliveries.c.channel == delivery.channel)
            done = await connection.scalar(select(deliveries.c.delivered_at).where(ours))
            if done is None:
                key = {"alarm": number, "channel": delivery.channel}
                await connection.execute(insert(deliveries).values(key | rest))
            elif not done:
                await connection.execute(update(deliveries).where(ours).values(rest))

        await self._database.write(keep)


async def add_alarm(connection: AsyncConnection, alarm: Alarm) -> None:
    """Keep an alarm as part of a transaction, once per key."""
    key = storable(alarm.key)
    known = select(alarms.c.number).where(alarms.c.key == key)
    if await connection.scalar(known) is not None:
        return
    values = {
        "key": key,
        "severity": alarm.severity.value,
        "text": storable(alarm.text),
        "host": storable(alarm.host),
        "incident": storable(alarm.incident),
        "epoch": alarm.epoch,
        "at": alarm.at,
    }
    await connection.execute(insert(alarms).values(values))


def alarm_of(deed: Tell, step: IncidentStep) -> Alarm:
    """Return the alarm that a step tells."""
    return Alarm(
        key=deed.key,
        severity=deed.severity,
        text=deed.text,
        at=step.at,
        host=step.incident.host,
        incident=step.incident.id,
        epoch=step.number,
    )


def _whole(channel: str) -> Any:  # noqa: ANN401 (an SQL query of two tables)
    ours = and_(deliveries.c.alarm == alarms.c.number, deliveries.c.channel == channel)
    kept = ("tries", "next_at", "delivered_at", "error")
    return select(alarms, *(deliveries.c[name] for name in kept)).outerjoin(deliveries, ours)


def _alarm(row: AnyRow) -> Alarm:
    return Alarm(
        key=row.key,
        severity=Severity(row.severity),
        text=row.text,
        at=row.at,
        host=row.host,
        incident=row.incident,
        epoch=row.epoch,
    )


def _delivery(row: AnyRow, channel: str) -> Delivery:
    return Delivery(
        alarm=_alarm(row),
        channel=channel,
        tries=row.tries or 0,
        next_at=row.next_at or 0.0,
        delivered_at=row.delivered_at or 0.0,
        error=row.error or "",
    )
