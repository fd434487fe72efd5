# SPDX-License-Identifier: Apache-2.0
"""How a route answers with a plan to read (201), or with the run of it (202)."""

from typing import Any

from anyio import to_thread
from starlette.responses import JSONResponse

from billow.api import plan_answers, render
from billow.api.caller import Caller
from billow.errors import Blocked
from billow.model.plan import Plan

_LOCATION = {"Location": {"description": "Where it is from now on.", "schema": {"type": "string"}}}
CREATED: dict[int | str, dict[str, Any]] = {
    201: {"model": plan_answers.PlanDocument, "description": "The plan.", "headers": _LOCATION}
}
STARTED: dict[int | str, dict[str, Any]] = {
    202: {"model": plan_answers.RunDocument, "description": "The run of it.", "headers": _LOCATION}
}
OFFERED = CREATED | STARTED


async def offered(caller: Caller, plan: Plan) -> JSONResponse:
    """Answer with a plan that was just made."""
    before = await caller.billow.base_of(plan.id)
    now = await caller.billow.pool()
    body = await to_thread.run_sync(render.plan_answer, plan, before, now)
    return JSONResponse(body, 201, headers={"Location": f"/v1/plans/{plan.id}"})


async def carried_out(caller: Caller, plan_id: str, if_match: str = "") -> JSONResponse:
    """Start a plan and answer with its run."""
    run = await caller.billow.apply(plan_id, actor=caller.person.name, if_match=if_match)
    location = {"Location": f"/v1/runs/{run.id}"}
    return JSONResponse(render.run_answer(run), 202, headers=location)


async def settled(caller: Caller, plan: Plan, *, apply: bool) -> JSONResponse:
    """Answer with the plan, or carry it out at once where that was asked.

    Raises:
        Blocked: it was asked, but nothing of it is possible.
    """
    if not apply:
        return await offered(caller, plan)
    if not plan.steps and plan.rejections:
        raise Blocked(
            plan.rejections[0].reason,
            tuple(cause for each in plan.rejections[:20] for cause in (each.subject, *each.causes)),
            fix=plan.rejections[0].fix or f"read plan {plan.id}",
            code="not-possible",
        )
    return await carried_out(caller, plan.id)
