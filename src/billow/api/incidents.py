# SPDX-License-Identifier: Apache-2.0
"""Routes of failures of hosts: listed, read step by step, released by a person."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field, StrictBool
from starlette.responses import JSONResponse

from billow.api import incident_answers
from billow.api.caller import Operator, Viewed
from billow.api.plans import Limit
from billow.api.requests import Sent
from billow.app import Billow
from billow.errors import Unavailable
from billow.model.pool import Pool

router = APIRouter(prefix="/v1", tags=["incidents"])

Before = Annotated[str, Query(max_length=300, description="Where the page before ended.")]
OfHost = Annotated[str, Query(max_length=300, description="Only those of this host.")]
Open = Annotated[bool, Query(alias="open", description="Only those that are open.")]
Why = Annotated[str, Field(min_length=1, max_length=500, description="One sentence.")]


class Word(Sent):
    """What a person says of an incident."""

    why: Why
    dead: StrictBool = Field(
        False, description="The person saw that nothing of the host runs any more: that is a proof."
    )


@router.get(
    "/incidents",
    summary="Failures of hosts, newest first",
    response_model=incident_answers.IncidentPage,
)
async def list_incidents(
    billow: Viewed,
    limit: Limit = 50,
    cursor: Before = "",
    host: OfHost = "",
    *,
    is_open: Open = False,
) -> JSONResponse:
    """Return one page of incidents. They are kept for ever."""
    found = await billow.incidents.page(limit=limit, before=cursor, host=host, is_open=is_open)
    more = found[-1].id if len(found) == limit else ""
    pool = await _seen(billow)
    items = [incident_answers.incident_row(each, pool) for each in found]
    return JSONResponse({"items": items, "cursor": more})


@router.get(
    "/incidents/{incident}",
    summary="One failure of a host",
    response_model=incident_answers.IncidentDocument,
)
async def show_incident(billow: Viewed, incident: str) -> JSONResponse:
    """Return an incident with every step, what was known at each, and why it was taken."""
    found = await billow.incidents.one(incident)
    steps, alarms = await billow.incidents.steps(incident), await billow.incidents.alarms(incident)
    pool = await _seen(billow)
    return JSONResponse(incident_answers.incident_answer(found, pool, steps, alarms))


@router.post(
    "/incidents/{incident}/release",
    summary="Let a held incident go on",
    response_model=incident_answers.IncidentRow,
)
async def release_incident(caller: Operator, incident: str, body: Word) -> JSONResponse:
    """Open the gates that count hosts for it, or vouch that its host is dead."""
    found = await caller.billow.incidents.release(
        incident, actor=caller.person.name, why=body.why, is_dead=body.dead
    )
    pool = await _seen(caller.billow)
    return JSONResponse(incident_answers.incident_row(found, pool))


async def _seen(billow: Billow) -> Pool | None:
    """Return the pool as last seen; None when nobody has: failures are shown all the same."""
    try:
        return await billow.pool()
    except Unavailable:
        return None
