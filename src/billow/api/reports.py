# SPDX-License-Identifier: Apache-2.0
"""Routes of reports: what capabilities say of the pool without changing it."""

import json
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Query
from starlette.responses import JSONResponse

from billow.api import render, report_answers
from billow.api.caller import Viewed
from billow.errors import Invalid
from billow.policies import about

router = APIRouter(prefix="/v1", tags=["reports"])

MOST_POLICY = 20_000
PlanId = Annotated[
    str, Query(max_length=253, description="Report on this plan's pool, before and after it.")
]


async def _knobs(
    policy: Annotated[
        str,
        Query(
            max_length=MOST_POLICY,
            description="Knobs as a JSON object; the rest is as it is set.",
            examples=['{"moves": 50}'],
        ),
    ] = "",
) -> dict[str, object]:
    """Return the knobs in a query. Raises Invalid."""
    try:
        knobs = json.loads(policy or "{}")
    except (ValueError, RecursionError) as error:
        raise Invalid("the policy is no JSON", (str(error)[:200],), fix=FIX) from error
    if not isinstance(knobs, dict):
        raise Invalid("the policy is no JSON object", fix=FIX)
    return knobs


FIX = 'send policy={"KNOB": VALUE}, encoded for a URL'
Knobs = Annotated[dict[str, object], Depends(_knobs)]


@router.get("/reports", summary="Every report", response_model=report_answers.ReportList)
async def list_reports(billow: Viewed) -> JSONResponse:
    """Return what can be reported of the pool."""
    reports = billow.policies.reports
    items = [{"name": name, "about": about(each)} for name, each in reports.items()]
    return JSONResponse({"items": items})


@router.get("/reports/{name}", summary="One report", response_model=report_answers.ReportAnswer)
async def show_report(billow: Viewed, name: str, knobs: Knobs, plan: PlanId = "") -> JSONResponse:
    """Return what a capability says of the pool, or of a plan's pool before and after."""
    made = await billow.report(name, knobs, plan)
    rules = billow.policies.of(name, knobs)
    return JSONResponse(await to_thread.run_sync(render.report_answer, made, rules, plan))
