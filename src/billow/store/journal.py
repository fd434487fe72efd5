# SPDX-License-Identifier: Apache-2.0
"""The journal: nothing is done that it does not know already.

Each write is one transaction that also checks the fence: only the holder of the lease writes, and
only to runs that it began or adopted. An outcome, once written, stays. Each method may be called
again with the same arguments, as after a lost connection, and does nothing then. This module must
not read a clock.
"""

from typing import Any, Final

from sqlalchemy import Double, Text, Update, bindparam, exists, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billow.errors import Bug, Conflict, NotFound
from billow.model.plan import Plan
from billow.model.run import Entry, Phase, Progress, Run, RunState
from billow.store.database import Database
from billow.store.latest import Latest
from billow.store.moves import migration_rows
from billow.store.rows import new_number
from billow.store.runs import entry_of, error_text, progress_text
from billow.store.standing import IN_RUN, RUN, check_fence, check_writer, find_run
from billow.store.tables import entries, migrations, plans, runs
from billow.store.text import storable

_INTEND: Final = (
    update(entries)
    .where(IN_RUN, entries.c.phase == Phase.PENDING.value)
    .values(phase=Phase.INTENDED.value, started_at=bindparam("at"))
)

_CONCLUDE: Final = (
    update(entries)
    .where(IN_RUN, entries.c.phase.in_(bindparam("earlier", expanding=True)))
    .values(
        phase=bindparam("outcome"),
        ended_at=bindparam("at"),
        error=bindparam("why"),
        started_at=func.coalesce(bindparam("began", type_=Double), entries.c.started_at),
        progress=func.coalesce(bindparam("newest", type_=Text), entries.c.progress),
    )
)

_UNDER_WAY: Final = exists().where(
    entries.c.run == runs.c.number, entries.c.phase == Phase.INTENDED.value
)

_END: Final = (
    update(runs)
    .where(RUN, ~_UNDER_WAY)
    .values(state=bindparam("outcome"), text=bindparam("words"), ended_at=bindparam("at"))
)


class Journal:
    """The journal in one database; it is `billow.ports.Journal`."""

    _database: Database
    _latest: Latest
    _fences: dict[str, int]  # of the runs that are carried out here

    async def begin(self, run: Run, plan: Plan) -> None:
        """Record that a saved plan is being carried out, and use it up; all actions are pending.

        Raises:
            Conflict: the plan was carried out before, or the run's id is taken.
            Leased: the run's fence is not the lease's.
            NotFound: the plan was not saved.
        """
        if run.plan_id != plan.id or run.state is not RunState.RUNNING:
            raise Bug(f"run {run.id} is not the beginning of plan {plan.id}")

        async def write(connection: AsyncConnection) -> None:
            await check_fence(connection, run.fence)
            if not await _begun(connection, run):
                await _add_run(connection, run, plan)

        await self._database.write(write)
        self._fences[run.id] = run.fence

    async def intend(self, run_id: str, action_id: str, *, fence: int, at: float) -> None:
        """Record that an action is about to be performed.

        Raises:
            Conflict: the action, or its run, has ended.
            Leased: the fence is not the lease's, or the run is not adopted.
            NotFound: no such run, or no such action in it.
        """
        values = _of(run_id, action_id, fence) | {"at": at}

        async def write(connection: AsyncConnection) -> None:
            if await _changed(connection, _INTEND, values):
                return
            known = await _known(connection, run_id, action_id, fence)
            if known.phase is not Phase.INTENDED:
                raise _ended_as(known)

        await self._database.write(write)
        self._fences[run_id] = fence

    async def progress(self, run_id: str, action_id: str, progress: Progress) -> None:
        """Record how far an intended action is, unless it ends within a moment.

        Of a run that is not carried out here, nothing is recorded.
        """
        fence = self._fences.get(run_id)
        if fence is not None:
            self._latest.put(run_id, action_id, progress, fence)

    async def conclude(self, run_id: str, entry: Entry, *, fence: int) -> None:
        """Record an action's outcome. The same phase and error again change nothing.

        Raises:
            Bug: the entry is no outcome, or says done of an action that was never intended.
            Conflict: the action has another outcome, or its run has ended.
            Leased: the fence is not the lease's, or the run is not adopted.
            NotFound: no such run, or no such action in it.
        """
        if not entry.phase.final:
            raise Bug(f"{entry.phase} is no outcome of action {entry.action_id}")
        values = _of(run_id, entry.action_id, fence) | _outcome(entry)

        async def write(connection: AsyncConnection) -> None:
            if await _changed(connection, _CONCLUDE, values):
                return
            known = await _known(connection, run_id, entry.action_id, fence)
            if known.phase is Phase.PENDING:
                raise Bug(f"action {entry.action_id} was done before it was intended")
            if (known.phase, known.error) != (entry.phase, entry.error):
                raise _ended_as(known)

        self._latest.drop(run_id, entry.action_id)
        await self._database.write(write)

    async def end(self, run_id: str, state: RunState, *, text: str, at: float, fence: int) -> None:
        """Record that the run has ended. The same state again changes nothing.

        Raises:
            Bug: the state is no end.
            Conflict: it ended otherwise, or one of its actions has an intent and no outcome.
            Leased: the fence is not the lease's, or the run is not adopted.
            NotFound: no such run.
        """
        if not state.final:
            raise Bug(f"{state} is no end of run {run_id}")
        values = {"of_run": storable(run_id), "under": fence, "outcome": state.value, "at": at}
        values["words"] = storable(text)

        async def write(connection: AsyncConnection) -> None:
            if await _changed(connection, _END, values):
                return
            row = await check_writer(connection, run_id, fence)
            if row.state == RunState.RUNNING.value:
                raise Conflict(
                    f"run {run_id} cannot end while an action is under way",
                    fix="conclude the action first",
                    code="run-busy",
                )
            if row.state != state.value:
                raise Conflict(f"run {run_id} has ended as {row.state}")

        await self._database.write(write)
        self._fences.pop(run_id, None)

    async def adopt(self, run_id: str, *, fence: int) -> None:
        """Take over an unfinished run under the lease's fence.

        Raises:
            Conflict: the run has ended.
            Leased: the fence is not the lease's.
            NotFound: no such run.
        """

        async def write(connection: AsyncConnection) -> None:
            await check_fence(connection, fence)
            row = await find_run(connection, run_id)
            if row.state != RunState.RUNNING.value:
                raise Conflict(f"run {run_id} has ended as {row.state}")
            ours = runs.c.number == row.number
            await connection.execute(update(runs).where(ours).values(fence=fence))

        await self._database.write(write)
        self._fences[run_id] = fence


def _of(run_id: str, action_id: str, fence: int) -> dict[str, Any]:
    return {"of_run": storable(run_id), "of_action": storable(action_id), "under": fence}


def _outcome(entry: Entry) -> dict[str, Any]:
    earlier = [Phase.INTENDED.value]
    if entry.phase is not Phase.DONE:
        earlier.append(Phase.PENDING.value)
    return {
        "earlier": earlier,
        "outcome": entry.phase.value,
        "at": entry.ended_at,
        "why": error_text(entry.error),
        "began": entry.started_at or None,
        "newest": progress_text(entry.progress) or None,
    }


async def _changed(connection: AsyncConnection, statement: Update, values: dict[str, Any]) -> bool:
    return (await connection.execute(statement, values)).rowcount > 0


async def _known(connection: AsyncConnection, run_id: str, action_id: str, fence: int) -> Entry:
    """Return what is known of an action whose row a statement did not change, or raise why not."""
    row = await check_writer(connection, run_id, fence)
    ours = (entries.c.run == row.number) & (entries.c.action_id == storable(action_id))
    found = (await connection.execute(select(entries).where(ours))).first()
    if found is None:
        raise NotFound(f"no action {action_id!a:.80} in run {run_id}")
    known = entry_of(found)
    if row.state != RunState.RUNNING.value and not known.phase.final:
        raise Conflict(f"run {run_id} has ended as {row.state}")
    return known


def _ended_as(known: Entry) -> Conflict:
    return Conflict(
        f"action {known.action_id} has ended as {known.phase}",
        details=tuple(f"{name}: {value}" for name, value in known.error.items()),
        code="action-ended",
    )


async def _begun(connection: AsyncConnection, run: Run) -> bool:
    """Return whether this very run is recorded. Raises Conflict for another of its id or plan."""
    same = or_(runs.c.id == run.id, runs.c.plan_id == run.plan_id)
    for row in await connection.execute(select(runs).where(same)):
        if (row.id, row.plan_id, row.fence) == (run.id, run.plan_id, run.fence):
            return True
        raise Conflict(
            f"plan {row.plan_id} was carried out by run {row.id}",
            fix="make a new plan: each is carried out once",
            code="plan-used",
        )
    return False


async def _add_run(connection: AsyncConnection, run: Run, plan: Plan) -> None:
    if await connection.scalar(select(plans.c.number).where(plans.c.id == plan.id)) is None:
        raise NotFound(f"no plan {plan.id!a:.80}", fix="save the plan before it is carried out")
    added = await connection.execute(insert(runs).values(_run_row(run)))
    number = new_number(added)
    rows = [
        {"run": number, "action_id": step.action.id, "position": place, "phase": Phase.PENDING}
        for place, step in enumerate(plan.steps)
    ]
    if rows:
        await connection.execute(insert(entries), rows)
    if moves := migration_rows(plan, number):
        await connection.execute(insert(migrations), moves)


def _run_row(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "plan_id": run.plan_id,
        "actor": storable(run.actor),
        "fence": run.fence,
        "started_at": run.started_at,
        "state": run.state.value,
        "text": storable(run.text),
    }
