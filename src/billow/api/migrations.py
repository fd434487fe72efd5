# SPDX-License-Identifier: Apache-2.0
"""Routes of live migrations: listed, read with their curve, cancelled."""

import math
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import JSONResponse

from billow.api.answers import Answer, Measure, Paged, Seconds
from billow.api.caller import Operator, Viewed
from billow.api.plan_answers import FlowDocument
from billow.api.plans import Limit
from billow.model.assessment import Way
from billow.model.document import Document, written
from billow.model.kinds import MigrationPolicy
from billow.model.migration import Migration, MigrationState

router = APIRouter(prefix="/v1", tags=["migrations"])

Before = Annotated[str, Query(max_length=300, description="Where the page before ended.")]
OfRun = Annotated[str, Query(max_length=300, description="Only those of this run.")]
OfInstance = Annotated[str, Query(max_length=300, description="Only those of this instance.")]
Running = Annotated[bool, Query(description="Only those that are under way.")]


class MigrationRow(Answer):
    """A live migration in the list: a step of a run that moves an instance."""

    id: str = Field(description="The id of its action.")
    run_id: str
    plan_id: str
    actor: str
    instance: str
    source: str
    target: str
    policy: MigrationPolicy
    promise_s: Measure = Field(
        description="How long it may stand still; null for as the pool says."
    )
    state: MigrationState
    way: Way | None = Field(description="How it gets across; null while that is not known.")
    why: str = Field(description="Why it is another way than its policy asks for; empty when not.")
    channel: str = Field(description="By what channel it goes, and why; empty while nobody chose.")
    started_at: Seconds
    ended_at: Seconds
    phase: str = Field(description="What the engine does now, or did last.")
    fraction: Measure
    left_s: Measure
    copied_mib: float
    left_mib: Measure
    rate_mib_s: Measure
    throttle: Measure = Field(description="Share of time that is taken from all vCPUs.")
    downtime_s: Measure = Field(description="How long it stood still; null before the end.")
    error: dict[str, str]


class MigrationDocument(MigrationRow):
    """A live migration with its curve."""

    flow: FlowDocument | None = Field(description="How it goes now, or went last.")
    curve: list[FlowDocument] = Field(description="How it went, oldest first; 200 at most.")


class MigrationPage(Paged):
    """Migrations, newest first."""

    items: list[MigrationRow]


@router.get("/migrations", summary="Live migrations, newest first", response_model=MigrationPage)
async def list_migrations(
    billow: Viewed,
    limit: Limit = 50,
    cursor: Before = "",
    run: OfRun = "",
    instance: OfInstance = "",
    *,
    running: Running = False,
) -> JSONResponse:
    """Return one page of live migrations. They are kept as long as their runs."""
    found = await billow.migrations.page(
        limit=limit, before=cursor, run=run, instance=instance, running=running
    )
    more = found[-1].id if len(found) == limit else ""
    return JSONResponse({"items": [migration_row(each) for each in found], "cursor": more})


@router.get(
    "/migrations/{migration}", summary="One live migration", response_model=MigrationDocument
)
async def show_migration(billow: Viewed, migration: str) -> JSONResponse:
    """Return how a migration goes or went, with its curve."""
    found = await billow.migrations.one(migration)
    curve = [written(each) for each in await billow.migrations.curve(migration)]
    return JSONResponse({**migration_row(found), "flow": written(found.flow), "curve": curve})


@router.post(
    "/migrations/{migration}/cancel", summary="Cancel a migration", response_model=MigrationRow
)
async def cancel_migration(caller: Operator, migration: str) -> JSONResponse:
    """Take it back: when this answers, the instance runs where it was and the target is clean.

    One that waits for room on its links does not begin.
    """
    return JSONResponse(migration_row(await caller.billow.migrations.cancel(migration)))


def migration_row(found: Migration) -> Document:
    """Return a migration without its curve."""
    flow, progress = found.flow, found.entry.progress
    row = {
        "id": found.id,
        "run_id": found.run_id,
        "plan_id": found.plan_id,
        "actor": found.actor,
        "instance": found.instance,
        "source": found.source,
        "target": found.target,
        "policy": found.policy,
        "promise_s": found.promise_s,
        "state": found.state,
        "way": flow.way if flow else None,
        "why": flow.why if flow else "",
        "channel": flow.channel if flow else "",
        "started_at": found.entry.started_at,
        "ended_at": found.entry.ended_at,
        "phase": progress.phase if progress else "",
        "fraction": progress.fraction if progress else math.nan,
        "left_s": progress.left_s if progress and not found.state.final else math.nan,
        "copied_mib": found.copied_mib,
        "left_mib": flow.left_mib if flow else math.nan,
        "rate_mib_s": flow.rate_mib_s if flow else math.nan,
        "throttle": flow.throttle if flow else math.nan,
        "downtime_s": flow.downtime_s if flow else math.nan,
        "error": found.entry.error,
    }
    return {name: written(value) for name, value in row.items()}
