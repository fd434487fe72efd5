# SPDX-License-Identifier: Apache-2.0
"""Routes of high availability itself: how it is, whom it leaves alone, armed or not."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field, StrictFloat, StrictInt
from starlette.requests import Request
from starlette.responses import JSONResponse

from billow.api import incident_answers
from billow.api.caller import Operator, Viewed
from billow.api.incidents import Why
from billow.api.requests import Sent, Text
from billow.incidents import LONGEST_S, Leave
from billow.model.ha.care import Reach
from billow.plan.ha.watch import worst_first

router = APIRouter(prefix="/v1", tags=["high availability"])

Most = Annotated[int, Query(ge=1, le=10_000, description="At most so many hosts.")]
Time = Annotated[
    StrictFloat | StrictInt,
    Field(gt=0, le=LONGEST_S, description="Seconds after which it ends by itself."),
]


class Disarm(Sent):
    """Why and for how long nothing is to be ended or started."""

    for_s: Time
    why: Why


class Rehearsed(Sent):
    """Whose death is to be rehearsed."""

    host: Text = Field(description="It must be empty and cordoned.")


class Named(Sent):
    """Hosts by one name."""

    reach: Reach = Field(description="`host`, `rack`, `zone`; `pool` for all.")
    name: Text = Field(
        "",
        description="Its name; of a rack `zone/rack`, or the rack alone where but one zone has it; "
        "empty for the pool.",
    )


class NewMaintenance(Named, Disarm):
    """Hosts that are to be left alone for a while."""


def _concern(request: Request, named: Named, more: str = "") -> None:
    """Let the audit say whom a call is about, and why it was made."""
    what = f"{named.reach} {named.name}".strip()
    subjects = (f"{named.reach}/{named.name}",) if named.name else ()
    request.state.concern = (f" ({what}{more})", subjects)


@router.get("/ha", summary="How high availability is", response_model=incident_answers.HaStatus)
async def show_status(billow: Viewed) -> JSONResponse:
    """Return who watches, what is left alone, and how many hosts could be proved dead."""
    return JSONResponse(incident_answers.status_answer(await billow.incidents.status()))


@router.get(
    "/ha/readiness",
    summary="Whose death could be proved",
    response_model=incident_answers.ReadinessPage,
)
async def list_readiness(billow: Viewed, limit: Most = 1000) -> JSONResponse:
    """Return the watched hosts, those first whose death could be proved least."""
    hosts = (await billow.incidents.status()).hosts
    items = [incident_answers.readiness_row(each) for each in worst_first(hosts)][:limit]
    return JSONResponse({"items": items, "hosts": len(hosts)})


@router.post(
    "/ha/disarm",
    summary="End and start nothing",
    status_code=201,
    response_model=incident_answers.MaintenanceDocument,
)
async def disarm(request: Request, caller: Operator, body: Disarm) -> JSONResponse:
    """Let failures be noted, and nothing be ended or started, until it is armed or time is over."""
    request.state.concern = (f" ({body.for_s:g} s: {body.why})", ())
    leave = Leave(Reach.POOL, "", float(body.for_s), body.why)
    made = await caller.billow.incidents.leave(leave, actor=caller.person.name)
    return JSONResponse(incident_answers.maintenance_answer(made), 201)


@router.post("/ha/arm", summary="Act again", response_model=incident_answers.MaintenanceDocument)
async def arm(caller: Operator) -> JSONResponse:
    """Let high availability act again; return what kept it from that."""
    ended = await caller.billow.incidents.resume(Reach.POOL, "", actor=caller.person.name)
    return JSONResponse(incident_answers.maintenance_answer(ended))


@router.post(
    "/ha/rehearse",
    summary="Rehearse a host's death",
    response_model=incident_answers.DrillDocument,
)
async def rehearse(request: Request, caller: Operator, body: Rehearsed) -> JSONResponse:
    """Turn an empty, cordoned host off by its management controller, prove it, turn it on again."""
    request.state.concern = (f" (host {body.host})", (f"host/{body.host}",))
    ha = caller.billow.ha
    drill = await caller.billow.incidents.rehearse(
        body.host, ha.rehearsal if ha else None, actor=caller.person.name
    )
    return JSONResponse(incident_answers.drill_answer(drill))


@router.get(
    "/ha/maintenance",
    summary="Who is left alone",
    response_model=incident_answers.Maintenances,
)
async def list_maintenance(billow: Viewed) -> JSONResponse:
    """Return the maintenance that is in force."""
    found = (await billow.incidents.status()).maintenances
    return JSONResponse({"items": [incident_answers.maintenance_answer(each) for each in found]})


@router.post(
    "/ha/maintenance",
    summary="Leave hosts alone for a while",
    status_code=201,
    response_model=incident_answers.MaintenanceDocument,
)
async def begin_maintenance(
    request: Request, caller: Operator, body: NewMaintenance
) -> JSONResponse:
    """Let failures of hosts be noted, and nothing be ended or started for them meanwhile."""
    _concern(request, body, f", {body.for_s:g} s: {body.why}")
    leave = Leave(body.reach, body.name, float(body.for_s), body.why)
    made = await caller.billow.incidents.leave(leave, actor=caller.person.name)
    return JSONResponse(incident_answers.maintenance_answer(made), 201)


@router.post(
    "/ha/maintenance/end",
    summary="Look after hosts again",
    response_model=incident_answers.MaintenanceDocument,
)
async def end_maintenance(request: Request, caller: Operator, body: Named) -> JSONResponse:
    """End a maintenance before its time; return it."""
    _concern(request, body)
    ended = await caller.billow.incidents.resume(body.reach, body.name, actor=caller.person.name)
    return JSONResponse(incident_answers.maintenance_answer(ended))
