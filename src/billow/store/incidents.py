# SPDX-License-Identifier: Apache-2.0
"""Incidents: one record per failure of a host, changed by compare-and-set, each step kept.

A step is one transaction: it checks the fence and the version, writes the record and the step, and
puts what people are told into the outbox and the event stream. So any controller may go on where
another stopped, none beside another. A step may be written again, as after a lost connection, and
does nothing then.
This module must not read a clock.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Select, Update, bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billow.errors import Bug, Conflict, NotFound
from billow.model.event import Event, EventKind
from billow.model.ha.document import (
    incident_document,
    incident_from_document,
    pack_step,
    unpack_step,
)
from billow.model.ha.incident import Incident, Phase
from billow.model.ha.response import Tell
from billow.model.ha.step import IncidentStep
from billow.store.database import Database
from billow.store.events import add_event
from billow.store.outbox import add_alarm, alarm_of
from billow.store.rows import AnyRow, check_limit, new_number
from billow.store.standing import HELD, check_fence
from billow.store.tables import incident_steps, incidents
from billow.store.tail import Tail
from billow.store.text import storable

MOST_READ: Final = 4_000
"""Incidents that are kept as read: a storm over a large fleet."""
_ADVANCE: Final = (
    update(incidents)
    .where(incidents.c.id == bindparam("of_incident"), incidents.c.version == bindparam("before"))
    .values(
        version=bindparam("after"),
        phase=bindparam("into"),
        row=bindparam("under_row"),
        closed_at=bindparam("ended"),
        document=bindparam("record"),
    )
)
_UNDER_LEASE: Final = _ADVANCE.where(HELD)
_OPEN: Final = incidents.c.phase != Phase.CLOSED.value


class Incidents:
    """The incidents of one database; it is `billow.ports.Incidents`."""

    _database: Database
    _tail: Tail
    _as_read: dict[str, Incident]  # by id, as read last: most are asked for again and again

    async def open_incident(self, step: IncidentStep) -> None:
        """Record the first step of a new incident.

        Raises:
            Conflict: the host has an open incident, or the id is taken.
            Leased: the step's fence is not the lease's.
        """
        record = step.incident
        if record.version != 1:
            raise Bug(f"incident {record.id} cannot begin with version {record.version}")
        values, packed = _row(record), pack_step(step)

        async def write(connection: AsyncConnection) -> None:
            await check_fence(connection, step.fence)
            same = (incidents.c.id == values["id"]) | ((incidents.c.host == values["host"]) & _OPEN)
            known = (await connection.execute(select(incidents).where(same))).first()
            if known is None:
                added = await connection.execute(insert(incidents).values(values))
                await _add_step(connection, new_number(added), step, packed)
            elif not await _is_recorded(connection, known, step, packed):
                raise _is_open(known)

        await self._database.write(write)
        self._tail.wake()

    async def advance_incident(self, step: IncidentStep) -> None:
        """Record a step, if the record is still the one that the step was decided for.

        Raises:
            Conflict: somebody else took a step since; read the incident again.
            Leased: the step's fence is not the lease's.
            NotFound: no such incident.
        """
        await self._advance(step, _UNDER_LEASE)

    async def record_word(self, step: IncidentStep) -> None:
        """Record a person's word on an incident, through any controller: its fence is 0.

        Raises:
            Conflict: a controller took a step since; read the incident again.
            NotFound: no such incident.
        """
        if step.fence:
            raise Bug("a person's word has no fence")
        await self._advance(step, _ADVANCE)

    async def _advance(self, step: IncidentStep, statement: Update) -> None:
        values, packed = _changes(step), pack_step(step)

        async def write(connection: AsyncConnection) -> None:
            changed = (await connection.execute(statement, values)).rowcount
            known = await _find(connection, step.incident.id)
            if changed:
                await _add_step(connection, known.number, step, packed)
            elif not await _is_recorded(connection, known, step, packed):
                if step.fence:
                    await check_fence(connection, step.fence)
                raise _moved_on(known, step)

        await self._database.write(write)
        self._tail.wake()

    async def incident(self, incident_id: str) -> Incident:
        """Return an incident as it is now. Raises NotFound."""
        async with self._database.read() as connection:
            return self._incident(await _find(connection, incident_id))

    async def open_incidents(self) -> Sequence[Incident]:
        """Return the incidents that are open, oldest first."""
        return await self._incidents(select(incidents).where(_OPEN).order_by(incidents.c.number))

    async def closed_incidents(self, since: float) -> Sequence[Incident]:
        """Return the incidents that were closed at or after a time, oldest first."""
        recent = ~_OPEN & (incidents.c.closed_at >= since)
        return await self._incidents(select(incidents).where(recent).order_by(incidents.c.number))

    async def incidents(
        self, *, limit: int = 50, before: str = "", host: str = "", is_open: bool = False
    ) -> Sequence[Incident]:
        """Return a page of incidents, newest first.

        Args:
            limit: At most so many.
            before: Go on below the incident with this id; empty starts at the newest.
            host: Only those of this host.
            is_open: Only those that are open.

        Raises:
            Invalid: a `limit` out of range.
            NotFound: no incident `before`.
        """
        check_limit(limit)
        query = select(incidents).order_by(incidents.c.number.desc()).limit(limit)
        if host:
            query = query.where(incidents.c.host == storable(host))
        if is_open:
            query = query.where(_OPEN)
        if before:
            async with self._database.read() as connection:
                last = await _find(connection, before)
            query = query.where(incidents.c.number < last.number)
        return await self._incidents(query)

    async def steps(self, incident_id: str) -> Sequence[IncidentStep]:
        """Return what was done for an incident, step by step. Raises NotFound."""
        async with self._database.read() as connection:
            known = await _find(connection, incident_id)
            query = select(incident_steps.c.packed).where(incident_steps.c.incident == known.number)
            rows = await connection.execute(query.order_by(incident_steps.c.number))
            return [unpack_step(row.packed) for row in rows]

    async def _incidents(self, query: Select[Any]) -> list[Incident]:
        async with self._database.read() as connection:
            return [self._incident(row) for row in await connection.execute(query)]

    def _incident(self, row: AnyRow) -> Incident:
        """Return the record in a row; a version that was read before is not read again."""
        known = self._as_read.get(row.id)
        if known is None or known.version != row.version:
            known = incident_from_document(json.loads(row.document))
            if len(self._as_read) >= MOST_READ:
                self._as_read.clear()
            self._as_read[row.id] = known
        return known


def _row(record: Incident) -> dict[str, Any]:
    return {
        "id": storable(record.id),
        "host": storable(record.host),
        "version": record.version,
        "phase": record.phase.value,
        "row": record.row,
        "opened_at": record.opened_at,
        "closed_at": record.closed_at,
        "document": json.dumps(incident_document(record)),
    }


def _changes(step: IncidentStep) -> dict[str, Any]:
    row = _row(step.incident)
    changes = {
        "of_incident": row["id"],
        "before": step.number - 1,
        "after": step.number,
        "into": row["phase"],
        "under_row": row["row"],
        "ended": row["closed_at"],
        "record": row["document"],
    }
    return changes | ({"under": step.fence} if step.fence else {})


async def _find(connection: AsyncConnection, incident_id: str) -> AnyRow:
    query = select(incidents).where(incidents.c.id == storable(incident_id))
    row = (await connection.execute(query)).first()
    if row is None:
        brief = f"no incident {incident_id!a:.80}"
        raise NotFound(brief, fix="billow incident list shows them")
    return row


async def _add_step(
    connection: AsyncConnection, number: int, step: IncidentStep, packed: bytes
) -> None:
    values = {
        "incident": number,
        "number": step.number,
        "at": step.at,
        "actor": storable(step.actor),
        "fence": step.fence,
        "packed": packed,
    }
    await connection.execute(insert(incident_steps).values(values))
    await add_event(connection, _event(step))
    for deed in step.deeds:
        if isinstance(deed, Tell):
            await add_alarm(connection, alarm_of(deed, step))


def _event(step: IncidentStep) -> Event:
    """Return what the timeline has of a step."""
    record = step.incident
    subjects = (f"incident/{record.id}", f"host/{record.host}")
    data: dict[str, str | int | float | bool | None] = {
        "phase": record.phase.value,
        "row": record.row,
        "version": record.version,
        "held": record.held,
    }
    text = f"{record.host}: {step.why}"
    return Event(EventKind.INCIDENT_STEP, step.at, text, subjects, step.actor, data)


async def _is_recorded(
    connection: AsyncConnection, known: AnyRow, step: IncidentStep, packed: bytes
) -> bool:
    """Return whether this very step is the record's newest one."""
    if (known.id, known.version) != (storable(step.incident.id), step.number):
        return False
    ours = (incident_steps.c.incident == known.number) & (incident_steps.c.number == step.number)
    kept = await connection.scalar(select(incident_steps.c.packed).where(ours))
    return kept == packed


def _is_open(known: AnyRow) -> Conflict:
    return Conflict(
        f"host {known.host} has the incident {known.id}",
        fix="go on with that one",
        code="incident-open",
    )


def _moved_on(known: AnyRow, step: IncidentStep) -> Conflict:
    return Conflict(
        f"incident {known.id} is at version {known.version} by now",
        details=(f"the step was decided for version {step.number - 1}",),
        fix="read the incident again",
        code="incident-moved-on",
    )
