# SPDX-License-Identifier: Apache-2.0
"""Runs as they are read: with every action of their plan, in the plan's order."""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from billow.errors import NotFound
from billow.model.codec import progress_document, progress_from_document
from billow.model.run import Entry, Phase, Progress, Run, RunState
from billow.store.database import Database
from billow.store.rows import AnyRow, check_limit
from billow.store.tables import entries, runs
from billow.store.text import storable


class Runs:
    """The runs of one database, kept for ever."""

    _database: Database

    async def run(self, run_id: str) -> Run:
        """Return a run. Raises NotFound."""
        found = await self._runs(select(runs).where(runs.c.id == storable(run_id)))
        if not found:
            raise _unknown(run_id)
        return found[0]

    async def runs(self, *, limit: int = 50, before: str = "") -> Sequence[Run]:
        """Return a page of runs, newest first, below the run `before`. Raises Invalid, NotFound."""
        check_limit(limit)
        query = select(runs).order_by(runs.c.number.desc()).limit(limit)
        if before:
            query = query.where(runs.c.number < await self._number(before))
        return await self._runs(query)

    async def open_runs(self) -> Sequence[Run]:
        """Return runs that began and did not end, oldest first."""
        is_open = runs.c.state == RunState.RUNNING.value
        return await self._runs(select(runs).where(is_open).order_by(runs.c.number))

    async def _runs(self, query: Select[Any]) -> list[Run]:
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
            known = await _entries(connection, [row.number for row in rows])
        return [_run(row, known[row.number]) for row in rows]

    async def _number(self, run_id: str) -> int:
        async with self._database.read() as connection:
            query = select(runs.c.number).where(runs.c.id == storable(run_id))
            number: int | None = await connection.scalar(query)
        if number is None:
            raise _unknown(run_id)
        return number


async def _entries(connection: AsyncConnection, numbers: list[int]) -> dict[int, list[Entry]]:
    by_run: dict[int, list[Entry]] = defaultdict(list)
    query = select(entries).where(entries.c.run.in_(numbers))
    for row in await connection.execute(query.order_by(entries.c.run, entries.c.position)):
        by_run[row.run].append(entry_of(row))
    return by_run


def entry_of(row: AnyRow) -> Entry:
    """Return a journal row as a value."""
    return Entry(
        action_id=row.action_id,
        phase=Phase(row.phase),
        started_at=row.started_at,
        ended_at=row.ended_at,
        progress=progress_from_document(json.loads(row.progress)) if row.progress else None,
        error=json.loads(row.error) if row.error else {},
    )


def progress_text(progress: Progress | None) -> str:
    """Return progress as its column keeps it."""
    return "" if progress is None else json.dumps(progress_document(progress))


def error_text(error: dict[str, str]) -> str:
    """Return an action's error as its column keeps it."""
    return json.dumps(error) if error else ""


def _run(row: AnyRow, known: list[Entry]) -> Run:
    return Run(
        id=row.id,
        plan_id=row.plan_id,
        actor=row.actor,
        fence=row.fence,
        started_at=row.started_at,
        state=RunState(row.state),
        ended_at=row.ended_at,
        entries={entry.action_id: entry for entry in known},
        text=row.text,
    )


def _unknown(run_id: str) -> NotFound:
    return NotFound(f"no run {run_id!a:.80}", fix="billow run list shows them")
