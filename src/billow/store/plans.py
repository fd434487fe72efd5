# SPDX-License-Identifier: Apache-2.0
"""Plans, and the pools that they were made for.

A pool is kept once per digest, packed. A plan's document holds no pool: the predicted one is made
again from the one that it was based on, which also proves that both are what they were.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Column, Select, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from billow.errors import Conflict, NotFound
from billow.model.codec import pack, plan_document, plan_from_document, step_from_document, unpack
from billow.model.plan import Plan
from billow.model.pool import Pool
from billow.plan.replay import replay
from billow.store.database import Database
from billow.store.rows import AnyRow, check_limit
from billow.store.shelf import Shelf
from billow.store.tables import plans, runs, snapshots
from billow.store.text import storable


class PlanStatus(StrEnum):
    """What can still become of a plan."""

    OPEN = "open"
    USED = "used"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class PlanRow:
    """A plan in a list.

    Attributes:
        created_at: Seconds since the epoch.
        actor: Who asked for it.
        steps, rejections: How many.
        run_id: The run that used it up; empty for none.
        based_on: Digest of the pool that it was made for.
    """

    id: str
    title: str
    created_at: float
    actor: str
    capabilities: tuple[str, ...]
    steps: int
    rejections: int
    status: PlanStatus
    run_id: str
    based_on: str


class Plans:
    """The plans of one database."""

    _database: Database
    _shelf: Shelf

    async def save_plan(self, plan: Plan, base: Pool, *, actor: str) -> None:
        """Keep a plan and the pool that it was made for. The same plan again changes nothing.

        Raises:
            Conflict: the pool is not the one that the plan is based on, or another plan has its id.
        """
        digest = await asyncio.to_thread(lambda: base.digest)
        if digest != plan.based_on:
            raise Conflict(
                f"plan {plan.id} is based on pool {plan.based_on}, not on {digest}",
                fix="save it with the pool that it was made for",
            )
        values = await asyncio.to_thread(_values, plan, actor)
        packed = None if await self._has_snapshot(digest) else await asyncio.to_thread(pack, base)

        async def add(connection: AsyncConnection) -> None:
            known = await connection.scalar(select(plans.c.document).where(plans.c.id == plan.id))
            if known is not None:
                _check_equal(plan, known, values["document"])
                return
            if packed is not None and not await _count_snapshot(connection, digest):
                row = {"digest": digest, "taken_at": base.taken_at, "packed": packed}
                await connection.execute(insert(snapshots).values(row))
            await connection.execute(insert(plans).values(values))

        await self._database.write(add)
        self._shelf.put(plan, base)

    async def plan(self, plan_id: str) -> Plan:
        """Return a plan. Linear in its pool unless it was used lately. Raises NotFound."""
        return (await self._whole(plan_id))[0]

    async def run_of(self, plan_id: str) -> str:
        """Return the id of the run that used a plan up; empty for none."""
        query = select(runs.c.id).where(runs.c.plan_id == storable(plan_id))
        async with self._database.read() as connection:
            return await connection.scalar(query) or ""

    async def base_of(self, plan_id: str) -> Pool:
        """Return the pool that a plan was made for, as `plan` does. Raises NotFound.

        Its measurements are those of some look at a pool with this digest: no plan rests on them.
        """
        return (await self._whole(plan_id))[1]

    async def plans(
        self, *, limit: int = 50, before: str = "", current: str = ""
    ) -> Sequence[PlanRow]:
        """Return a page of plans, newest first.

        Args:
            limit: At most so many.
            before: Go on below the plan with this id; empty starts at the newest.
            current: Digest of the pool as it is; open plans for another are called stale.

        Raises:
            Invalid: a `limit` out of range.
            NotFound: no plan `before`.
        """
        check_limit(limit)
        query = select(*_LISTED, runs.c.id.label("run_id")).outerjoin(
            runs, runs.c.plan_id == plans.c.id
        )
        query = query.order_by(plans.c.number.desc()).limit(limit)
        if before:
            number = (await self._row(select(plans.c.number), before)).number
            query = query.where(plans.c.number < number)
        async with self._database.read() as connection:
            return [_listed(row, current) for row in await connection.execute(query)]

    async def _whole(self, plan_id: str) -> tuple[Plan, Pool]:
        kept = self._shelf.get(plan_id)
        if kept is None:
            query = select(plans.c.document, snapshots.c.packed).join(snapshots)
            row = await self._row(query, plan_id)
            kept = await asyncio.to_thread(_rebuilt, row.document, row.packed)
            self._shelf.put(*kept)
        return kept

    async def _row(self, query: Select[Any], plan_id: str) -> AnyRow:
        async with self._database.read() as connection:
            query = query.where(plans.c.id == storable(plan_id))
            row: AnyRow | None = (await connection.execute(query)).first()
        if row is None:
            raise NotFound(f"no plan {plan_id!a:.80}", fix="billow plan list shows them")
        return row

    async def _has_snapshot(self, digest: str) -> bool:
        async with self._database.read() as connection:
            return await _count_snapshot(connection, digest)


_LISTED: Final[tuple[Column[Any], ...]] = (
    plans.c.id,
    plans.c.title,
    plans.c.created_at,
    plans.c.actor,
    plans.c.capabilities,
    plans.c.steps,
    plans.c.rejections,
    plans.c.based_on,
)


def _values(plan: Plan, actor: str) -> dict[str, Any]:
    return {
        "id": plan.id,
        "based_on": plan.based_on,
        "generation": plan.generation,
        "parent": plan.parent,
        "title": storable(plan.title),
        "actor": storable(actor),
        "created_at": plan.created_at,
        "capabilities": json.dumps(plan.capabilities),
        "steps": len(plan.steps),
        "rejections": len(plan.rejections),
        "document": json.dumps(plan_document(plan)),
    }


def _rebuilt(document: str, packed: bytes) -> tuple[Plan, Pool]:
    body, base = json.loads(document), unpack(packed)
    actions = [step_from_document(step).action for step in body["steps"]]
    return plan_from_document(body, replay(base, actions)), base


def _check_equal(plan: Plan, known: str, document: str) -> None:
    if known != document:
        raise Conflict(f"another plan has the id {plan.id}", fix="give each plan its own id")


async def _count_snapshot(connection: AsyncConnection, digest: str) -> bool:
    query = select(snapshots.c.taken_at).where(snapshots.c.digest == digest)
    return (await connection.execute(query)).first() is not None


def _listed(row: AnyRow, current: str) -> PlanRow:
    status = PlanStatus.USED if row.run_id else PlanStatus.OPEN
    if not row.run_id and current and current != row.based_on:
        status = PlanStatus.STALE
    return PlanRow(
        id=row.id,
        title=row.title,
        created_at=row.created_at,
        actor=row.actor,
        capabilities=tuple(json.loads(row.capabilities)),
        steps=row.steps,
        rejections=row.rejections,
        status=status,
        run_id=row.run_id or "",
        based_on=row.based_on,
    )
