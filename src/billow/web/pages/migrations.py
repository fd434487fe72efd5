# SPDX-License-Identifier: Apache-2.0
"""Live migrations: the list, one migration with its curve, cancelling, assessing beforehand."""

from typing import Any

from starlette.responses import JSONResponse, Response

from billow.model.document import written
from billow.plan.convergence import outlook
from billow.web import commands
from billow.web.listing import address
from billow.web.visit import Visit, go, under

PER_PAGE = 100
LONGEST_ID = 300


async def migrations(visit: Visit) -> Response:
    """Show live migrations, newest first: all, those of a run or an instance, those under way."""
    asked = {name: visit.asked.get(name, "")[:LONGEST_ID] for name in ("run", "instance")}
    before, running = visit.asked.get("before", "")[:LONGEST_ID], "running" in visit.asked
    found = await visit.billow.migrations.page(
        limit=PER_PAGE, before=before, running=running, **asked
    )
    context: dict[str, Any] = {
        "moves": found,
        "at": address("/migrations", visit.asked, ("run", "instance", "running", "before")),
        "more": found[-1].id if len(found) == PER_PAGE else "",
        "line": commands.migrations(**asked, running=running),
    }
    if visit.is_fragment:
        return visit.part("parts/migration_rows.html", **context)
    return await visit.page("migrations.html", **context)


async def migration(visit: Visit) -> Response:
    """Show one live migration: how it goes or went, and its curve."""
    found = await visit.billow.migrations.one(visit.path("id"))
    context: dict[str, Any] = {
        "move": found,
        "flow": found.flow,
        "cancel_line": commands.cancel(found.id),
    }
    if visit.is_fragment:
        return visit.part("parts/migration_live.html", **context)
    return await visit.page("migration.html", **context)


async def curve(visit: Visit) -> Response:
    """Send how a migration went, oldest first."""
    found = await visit.billow.migrations.one(visit.path("id"))
    flows = await visit.billow.migrations.curve(found.id)
    return JSONResponse([written(flow) for flow in flows])


async def cancel(visit: Visit) -> Response:
    """Take a migration back, and go to what became of it."""
    await visit.form()
    await visit.billow.migrations.cancel(visit.path("id"))
    return go(under("migrations", visit.path("id")))


async def assessment(visit: Visit) -> Response:
    """Measure a move of an instance, and say whether it will end; nothing is changed."""
    name, target = (visit.asked.get(key, "")[:LONGEST_ID] for key in ("instance", "target"))
    found = await visit.billow.migrations.assess(name, target)
    context: dict[str, Any] = {
        "found": found,
        "ahead": outlook(found),
        "line": commands.assess(name, target),
    }
    if visit.is_fragment:
        return visit.part("parts/assessment.html", **context)
    return await visit.page("assessment.html", **context)
