# SPDX-License-Identifier: Apache-2.0
"""Live migrations as they are read: each with its run and with what the journal knows of it."""

import math
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, select

from billow.errors import NotFound
from billow.model.action import Migrate
from billow.model.kinds import MigrationPolicy
from billow.model.migration import Migration
from billow.model.plan import Plan
from billow.model.run import Phase, RunState
from billow.store.database import Database
from billow.store.rows import AnyRow, check_limit
from billow.store.runs import entry_of
from billow.store.tables import entries, migrations, runs
from billow.store.text import storable

_WHOLE = (
    select(migrations, entries, runs.c.id.label("run_id"), runs.c.plan_id, runs.c.actor)
    .join(runs, runs.c.number == migrations.c.run)
    .join(
        entries,
        and_(entries.c.run == migrations.c.run, entries.c.action_id == migrations.c.id),
    )
)


class Moves:
    """The live migrations of one database, kept as long as their runs."""

    _database: Database

    async def migration(self, migration_id: str) -> Migration:
        """Return a migration by its action's id. Raises NotFound."""
        found = await self._moves(_WHOLE.where(migrations.c.id == storable(migration_id)))
        if not found:
            raise _unknown(migration_id)
        return found[0]

    async def migrations(
        self,
        *,
        limit: int = 50,
        before: str = "",
        run: str = "",
        instance: str = "",
        running: bool = False,
    ) -> Sequence[Migration]:
        """Return a page of migrations, newest first.

        Args:
            limit: At most so many.
            before: Go on below the migration with this id; empty starts at the newest.
            run: Only those of this run.
            instance: Only those of this instance.
            running: Only those under way.

        Raises:
            Invalid: a `limit` out of range.
            NotFound: no migration `before`.
        """
        check_limit(limit)
        query = _WHOLE.order_by(migrations.c.number.desc()).limit(limit)
        for condition in _conditions(run, instance, running=running):
            query = query.where(condition)
        if before:
            query = query.where(migrations.c.number < await self._place(before))
        return await self._moves(query)

    async def _moves(self, query: Select[Any]) -> list[Migration]:
        async with self._database.read() as connection:
            return [_migration(row) for row in await connection.execute(query)]

    async def _place(self, migration_id: str) -> int:
        query = select(migrations.c.number).where(migrations.c.id == storable(migration_id))
        async with self._database.read() as connection:
            number: int | None = await connection.scalar(query)
        if number is None:
            raise _unknown(migration_id)
        return number


def migration_rows(plan: Plan, run: int) -> list[dict[str, Any]]:
    """Return the rows for the steps of a plan that move an instance, in the plan's order."""
    moves = [step.action for step in plan.steps if isinstance(step.action, Migrate)]
    return [
        {
            "id": move.id,
            "run": run,
            "instance": move.instance,
            "source": move.source,
            "target": move.target,
            "policy": (move.policy or _own_policy(plan, move.instance)).value,
            "promise_s": move.downtime_s or 0.0,
        }
        for move in moves
    ]


def _own_policy(plan: Plan, instance: str) -> MigrationPolicy:
    """Return an instance's policy, as the pool that a plan leads to has it."""
    there = instance in plan.predicted.instances.row
    return plan.predicted.instance(instance).migration if there else MigrationPolicy.BALANCED


def _conditions(run: str, instance: str, *, running: bool) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if run:
        found.append(runs.c.id == storable(run))
    if instance:
        found.append(migrations.c.instance == storable(instance))
    if running:  # the state of runs has an index, the phase of entries has none
        found.append(runs.c.state == RunState.RUNNING.value)
        found.append(entries.c.phase == Phase.INTENDED.value)
    return found


def _migration(row: AnyRow) -> Migration:
    return Migration(
        id=row.id,
        run_id=row.run_id,
        plan_id=row.plan_id,
        actor=row.actor,
        instance=row.instance,
        source=row.source,
        target=row.target,
        policy=MigrationPolicy(row.policy),
        promise_s=row.promise_s or math.nan,
        entry=entry_of(row),
    )


def _unknown(migration_id: str) -> NotFound:
    return NotFound(f"no migration {migration_id!a:.80}", fix="billow migration list shows them")
