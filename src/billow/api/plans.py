# SPDX-License-Identifier: Apache-2.0
"""Routes of plans: made, read, carried out; and the question why something is not possible."""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query
from starlette.responses import JSONResponse, PlainTextResponse, Response

from billow.api import plan_answers, render
from billow.api.caller import IfMatch, Operator, Viewed, check_match, wanted_digest
from billow.api.offer import CREATED, STARTED, carried_out, offered
from billow.api.requests import HostsWanted, NewPlan, Question, instances_of
from billow.app import Billow
from billow.model.document import written
from billow.model.plan import Plan
from billow.model.pool import Pool
from billow.plan import explain

router = APIRouter(prefix="/v1", tags=["plans"])

Limit = Annotated[int, Query(ge=1, le=500)]
Before = Annotated[str, Query(max_length=253, description="The cursor of the page before.")]


@router.post("/plans", summary="Make a plan", status_code=201, responses=CREATED)
async def make_plan(caller: Operator, body: NewPlan, if_match: IfMatch = "") -> Response:
    """Ask a capability what it wants of the pool. Nothing is changed."""
    pool = await caller.billow.pool()
    check_match(pool, if_match)
    plan = await caller.billow.propose(
        body.capability,
        body.policy,
        requests=instances_of(body.requests, pool),
        groups=[each.group() for each in body.groups],
        actor=caller.person.name,
    )
    return await offered(caller, plan)


@router.get("/plans", summary="Plans, newest first", response_model=plan_answers.PlanPage)
async def list_plans(billow: Viewed, limit: Limit = 50, cursor: Before = "") -> JSONResponse:
    """Return one page of plans."""
    rows = await billow.plans(limit=limit, before=cursor)
    more = rows[-1].id if len(rows) == limit else ""
    return JSONResponse({"items": [written(row) for row in rows], "cursor": more})


@router.get("/plans/{plan}", summary="One plan", response_model=plan_answers.PlanDocument)
async def show_plan(billow: Viewed, plan: str) -> JSONResponse:
    """Return a plan with every step; a used or stale plan still reads."""
    found, before = await _with_base(billow, plan)
    now = await billow.pool()
    return JSONResponse(await to_thread.run_sync(render.plan_answer, found, before, now))


@router.get("/plans/{plan}/text", summary="A plan in words", response_class=PlainTextResponse)
async def read_plan(billow: Viewed, plan: str) -> PlainTextResponse:
    """Return a plan in the words that the command line prints."""
    found, before = await _with_base(billow, plan)
    return PlainTextResponse(await to_thread.run_sync(explain.text, before, found))


@router.get("/plans/{plan}/diff", summary="What a plan changes", response_class=PlainTextResponse)
async def diff_plan(billow: Viewed, plan: str) -> PlainTextResponse:
    """Return the difference of the pool before and after, a line per host or instance."""
    found, before = await _with_base(billow, plan)
    return PlainTextResponse(await to_thread.run_sync(explain.diff, before, found.predicted))


@router.post("/plans/{plan}/runs", summary="Carry a plan out", status_code=202, responses=STARTED)
async def start_run(caller: Operator, plan: str, if_match: IfMatch = "") -> Response:
    """Start a plan, once. The answer comes at once; the run goes on."""
    return await carried_out(caller, plan, wanted_digest(if_match))


@router.post("/why-not", summary="Why not?", response_model=plan_answers.Rejections)
async def why_not(billow: Viewed, body: Question) -> JSONResponse:
    """Say what rules out which hosts for a request, by kind of host; empty when all fit.

    Nothing is changed or kept.
    """
    pool = await billow.pool()
    rejections = await billow.why_not(body.request.instance(pool))
    return JSONResponse({"rejections": render.rejection_documents(rejections)})


@router.post(
    "/choices", summary="Where would the engine place them?", response_model=plan_answers.Chosen
)
async def choose(billow: Viewed, body: HostsWanted) -> JSONResponse:
    """Ask a scheduler that the engine has itself, as Placement of OpenStack.

    Nothing is changed or kept; the answer is a knob of the plan that places them.
    """
    pool = await billow.pool()
    return JSONResponse({"chosen": await billow.choose(instances_of(body.instances, pool))})


async def _with_base(billow: Billow, plan_id: str) -> tuple[Plan, Pool]:
    return await billow.plan(plan_id), await billow.base_of(plan_id)
