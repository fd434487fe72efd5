# SPDX-License-Identifier: Apache-2.0
"""Failures of hosts: the list, one step by step, releasing it; and how hosts are watched."""

from typing import Any

from starlette.responses import Response

from billow.errors import Invalid
from billow.incidents import Leave
from billow.model.ha.care import Reach
from billow.plan.ha.watch import worst_first
from billow.web import commands, storyline
from billow.web.forms import Form
from billow.web.listing import address
from billow.web.visit import Visit, go, under

PER_PAGE = 100
LONGEST = 300
READY_SHOWN = 200
HOUR_S = 3600.0
MOST_HOURS = 720


async def incidents(visit: Visit) -> Response:
    """Show failures of hosts, newest first: all, those of a host, those that are open."""
    host, before = (visit.asked.get(name, "")[:LONGEST] for name in ("host", "before"))
    is_open = "open" in visit.asked
    found = await visit.billow.incidents.page(
        limit=PER_PAGE, before=before, host=host, is_open=is_open
    )
    pool = await visit.billow.pool()
    context: dict[str, Any] = {
        "incidents": [storyline.row(each, pool) for each in found],
        "at": address("/incidents", visit.asked, ("host", "open", "before")),
        "more": found[-1].id if len(found) == PER_PAGE else "",
        "line": commands.incidents(host, is_open=is_open),
    }
    if visit.is_fragment:
        return visit.part("parts/incident_rows.html", **context)
    return await visit.page("incidents.html", **context)


async def incident(visit: Visit) -> Response:
    """Show one failure: what was seen, why it was decided so, each step and its time."""
    name = visit.path("id")
    found = await visit.billow.incidents.one(name)
    steps = await visit.billow.incidents.steps(name)
    context: dict[str, Any] = {
        "incident": found,
        "story": storyline.story(found, await visit.billow.pool(), steps),
        "gates": storyline.GATES,
        "release_line": commands.release(name),
    }
    if visit.is_fragment:
        return visit.part("parts/incident_live.html", **context)
    alarms = await visit.billow.incidents.alarms(name)
    return await visit.page("incident.html", **context, alarms=alarms)


async def release(visit: Visit) -> Response:
    """Let a held incident go on by this person's word."""
    form, name = await visit.form(), visit.path("id")
    await visit.billow.incidents.release(
        name,
        actor=visit.person.name,
        why=form.text("why")[:500],
        is_dead=form.text("dead") == "yes",
    )
    return go(under("incidents", name))


async def ha(visit: Visit) -> Response:
    """Show who watches hosts, what is left alone, and whose death could be proved."""
    status = await visit.billow.incidents.status()
    hosts = list(worst_first(status.hosts))[:READY_SHOWN]
    return await visit.page("ha.html", status=status, hosts=hosts, reaches=_NAMED)


async def card(visit: Visit) -> Response:
    """Show in a line how high availability is, for the map's page."""
    return visit.part("parts/ha_card.html", status=await visit.billow.incidents.status())


async def on_host(visit: Visit) -> Response:
    """Show whether a host failed, or is left alone, for its page."""
    host = visit.asked.get("host", "")[:LONGEST]
    return visit.part("parts/host_ha.html", **await looked_after(visit, host), name=host)


async def looked_after(visit: Visit, host: str) -> dict[str, Any]:
    """Return what a host's page says of its failure, and of whoever leaves it alone."""
    found = await visit.billow.incidents.page(limit=1, host=host, is_open=True)
    status = await visit.billow.incidents.status()
    left = [each for each in status.maintenances if (each.reach, each.name) == (Reach.HOST, host)]
    return {"incidents": found, "left": left}


async def leave(visit: Visit) -> Response:
    """Leave hosts alone for a while; the pool is disarmed so."""
    form = await visit.form()
    reach = _reach(form)
    hours = form.measure("hours", 1, most=MOST_HOURS)
    asked = Leave(reach, _name(form, reach), hours * HOUR_S, form.text("why")[:500])
    await visit.billow.incidents.leave(asked, actor=visit.person.name)
    return go("/ha")


async def resume(visit: Visit) -> Response:
    """Look after hosts again before the time is over."""
    form = await visit.form()
    reach = _reach(form)
    name = _name(form, reach)
    await visit.billow.incidents.resume(reach, name, actor=visit.person.name)
    return go("/ha")


_NAMED = [each.value for each in Reach if each is not Reach.POOL]


def _reach(form: Form) -> Reach:
    try:
        return Reach(form.text("reach"))
    except ValueError:
        raise Invalid("hosts are left alone by host, rack, zone or pool") from None


def _name(form: Form, reach: Reach) -> str:
    return "" if reach is Reach.POOL else form.text("name")[:LONGEST]
