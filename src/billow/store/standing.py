# SPDX-License-Identifier: Apache-2.0
"""Whether a controller may write to a run: it holds the lease, and the run is its own.

`IN_RUN` and `RUN` are that question as conditions of one statement, so that a journal write is one
round trip; `check_writer` finds out afterwards why a statement changed nothing.
"""

from typing import Final

from sqlalchemy import bindparam, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from billow.errors import Leased, NotFound
from billow.model.run import RunState
from billow.store.lease import not_ours, read_lease
from billow.store.rows import AnyRow
from billow.store.tables import CONTROLLER, entries, leases, runs
from billow.store.text import storable

HELD: Final = exists().where(
    leases.c.name == CONTROLLER, leases.c.holder != "", leases.c.fence == bindparam("under")
)
"""Somebody holds the lease, and `under` is its fence."""

RUN: Final = (
    (runs.c.id == bindparam("of_run"))
    & (runs.c.fence == bindparam("under"))
    & (runs.c.state == RunState.RUNNING.value)
    & HELD
)
"""The run `of_run`, where `under` is its fence and the lease's, and it has not ended."""

IN_RUN: Final = (entries.c.action_id == bindparam("of_action")) & (
    entries.c.run == select(runs.c.number).where(RUN).scalar_subquery()
)
"""The action `of_action` of that run."""


async def check_fence(connection: AsyncConnection, fence: int) -> None:
    """Raise Leased unless the fence is that of a lease that somebody holds."""
    lease = await read_lease(connection)
    if lease is None or not lease.holder or lease.fence != fence:
        raise not_ours(lease, fence)


async def check_writer(connection: AsyncConnection, run_id: str, fence: int) -> AnyRow:
    """Return the run that this fence may write to, ended or not.

    Raises:
        Leased: the fence is not the lease's, or the run was not adopted under it.
        NotFound: no such run.
    """
    await check_fence(connection, fence)
    row = await find_run(connection, run_id)
    if row.fence != fence:
        raise Leased(
            f"run {run_id} is carried out under fence {row.fence}",
            details=(f"this controller's fence is {fence}",),
            fix="adopt the run first",
        )
    return row


async def find_run(connection: AsyncConnection, run_id: str) -> AnyRow:
    """Return the row of a run. Raises NotFound."""
    query = select(runs).where(runs.c.id == storable(run_id))
    row = (await connection.execute(query)).first()
    if row is None:
        raise NotFound(f"no run {run_id!a:.80}", fix="billow run list shows them")
    return row
