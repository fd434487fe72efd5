# SPDX-License-Identifier: Apache-2.0
"""Plans: the list, the page on which a plan is read and approved, and its maps before and after."""

import asyncio
from typing import Any

from starlette.responses import JSONResponse, Response

from billow.model.plan import Plan
from billow.plan import explain
from billow.web import commands
from billow.web.consequence import consequences, is_grave
from billow.web.listing import number_in
from billow.web.planmap import plan_map
from billow.web.visit import Visit, go, under

PER_PAGE = 50
STEPS_PER_PAGE = 200


async def plans(visit: Visit) -> Response:
    """Show the plans, newest first."""
    before = visit.asked.get("before", "")[:100]
    rows = await visit.billow.plans(limit=PER_PAGE, before=before)
    digest = await _digest(visit)
    more = rows[-1].id if len(rows) == PER_PAGE else ""
    template = "parts/plan_rows.html" if visit.is_fragment else "plans.html"
    context = {"rows": rows, "digest": digest, "more": more, "before": before}
    return (
        visit.part(template, **context)
        if visit.is_fragment
        else await visit.page(template, **context)
    )


async def plan(visit: Visit) -> Response:
    """Show one plan: what changes, why, what it costs, what is not possible, how to undo it."""
    one, base = await visit.house.plan(visit.path("id"))
    context = await _context(visit, one)
    if visit.is_fragment:
        return visit.part("parts/plan_verdict.html", **context)
    lines = await asyncio.to_thread(explain.lines, one)
    number = number_in(
        visit.asked.get("page", ""), 1, most=max(1, -(-len(lines) // STEPS_PER_PAGE))
    )
    first = (number - 1) * STEPS_PER_PAGE
    return await visit.page(
        "plan.html",
        **context,
        lines=lines[first : first + STEPS_PER_PAGE],
        total=len(lines),
        number=number,
        pages=max(1, -(-len(lines) // STEPS_PER_PAGE)),
        footer=await asyncio.to_thread(explain.footer, base, one),
        undo=explain.undo_text(one),
        told=sorted(visit.billow.policies.reports, key=lambda name: name not in one.capabilities),
    )


async def apply(visit: Visit) -> Response:
    """Begin to carry a plan out, and go to its run."""
    await visit.form()
    run = await visit.billow.apply(visit.path("id"), actor=visit.person.name)
    return go(under("runs", run.id))


async def map_document(visit: Visit) -> Response:
    """Send a plan's maps before and after, with its moves."""
    one, base = await visit.house.plan(visit.path("id"))
    whole = visit.asked.get("hosts") == "all"
    return JSONResponse(await asyncio.to_thread(plan_map, one, base, whole=whole))


async def _context(visit: Visit, one: Plan) -> dict[str, Any]:
    run_id = await _run_of(visit, one.id)
    stale = not run_id and one.based_on != await _digest(visit)
    return {
        "plan": one,
        "run_id": run_id,
        "stale": stale,
        "effects": consequences(one),
        "grave": is_grave(one),
        "line": commands.apply(one.id),
        "not_now": _not_now(one, run_id),
    }


def _not_now(one: Plan, run_id: str) -> str:
    """Return why a plan cannot be approved; empty when it can."""
    if run_id:
        return "it was carried out: a plan is used once"
    return "" if one.steps else "it has no steps"


async def _run_of(visit: Visit, plan_id: str) -> str:
    """Return the run that used a plan up; empty for none."""
    for event in await visit.billow.events(subject=f"plan/{plan_id}", limit=50):
        for subject in event.subjects:
            kind, _, name = subject.partition("/")
            if kind == "run":
                return name
    return ""


async def _digest(visit: Visit) -> str:
    pool = await visit.billow.pool()
    return await asyncio.to_thread(lambda: pool.digest)
