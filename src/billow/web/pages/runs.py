# SPDX-License-Identifier: Apache-2.0
"""Runs: the list, and the page on which a plan is watched while it is carried out."""

from typing import Any

from starlette.responses import Response

from billow.model.run import Phase
from billow.plan.explain import lines
from billow.web import commands
from billow.web.advance import advance_of
from billow.web.listing import number_in
from billow.web.visit import Visit, go, under

PER_PAGE = 50
STEPS_PER_PAGE = 200
MOVES_SHOWN = 100
"""Live migrations that are listed with their curves; the rest has a page of its own."""


async def runs(visit: Visit) -> Response:
    """Show the runs, newest first."""
    before = visit.asked.get("before", "")[:100]
    rows = await visit.billow.runs(limit=PER_PAGE, before=before)
    more = rows[-1].id if len(rows) == PER_PAGE else ""
    context = {"rows": rows, "more": more, "before": before}
    if visit.is_fragment:
        return visit.part("parts/run_rows.html", **context)
    return await visit.page("runs.html", **context)


async def run(visit: Visit) -> Response:
    """Show one run: waves, phases, time left, errors with their fix."""
    context = await _context(visit)
    if visit.is_fragment:
        return visit.part("parts/run_live.html", **context)
    return await visit.page("run.html", **context)


async def stop(visit: Visit) -> Response:
    """Start no new step of a run."""
    await visit.form()
    await visit.billow.stop(visit.path("id"), actor=visit.person.name)
    return go(under("runs", visit.path("id")))


async def undo(visit: Visit) -> Response:
    """Make the plan that leads back, and go there to read it."""
    await visit.form()
    plan = await visit.billow.undo(visit.path("id"), actor=visit.person.name)
    return go(under("plans", plan.id))


async def _context(visit: Visit) -> dict[str, Any]:
    one = await visit.billow.run(visit.path("id"))
    plan, _ = await visit.house.plan(one.plan_id)
    wanted = visit.asked.get("phase", "")
    steps = [
        (line, one.entries[line.id])
        for line in lines(plan)
        if line.id in one.entries and (not wanted or one.entries[line.id].phase == wanted)
    ]
    pages = max(1, -(-len(steps) // STEPS_PER_PAGE))
    number = number_in(visit.asked.get("page", ""), 1, most=pages)
    first = (number - 1) * STEPS_PER_PAGE
    return {
        "run": one,
        "plan": plan,
        "advance": advance_of(one, plan, visit.house.now()),
        "moves": await visit.billow.migrations.page(limit=MOVES_SHOWN, run=one.id),
        "steps": steps[first : first + STEPS_PER_PAGE],
        "total": len(steps),
        "number": number,
        "pages": pages,
        "phase": wanted if wanted in set(Phase) else "",
        "phases": [phase.value for phase in Phase],
        "stop_line": commands.stop(one.id),
        "undo_line": commands.undo(one.id),
    }
