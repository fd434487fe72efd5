# SPDX-License-Identifier: Apache-2.0
"""Reports: what capabilities say of the pool, alone or before and after a plan; and their knobs."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from billow.model.access import Role
from billow.model.report import Measure, Picture, Report
from billow.plan.amounts import amount, change, verdict
from billow.policies import about
from billow.web import commands
from billow.web.knob_form import given_in, query_of, shown, values_of
from billow.web.pictures import Drawing, draw
from billow.web.visit import Visit, go, under

ON_A_CARD = 6
"""Figures on a card."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A measure in words, with what it is after a plan."""

    measure: Measure
    value: str
    after: str = ""
    change: str = ""
    verdict: str = ""
    bound: str = ""


async def reports(visit: Visit) -> Response:
    """Show what can be reported; each card brings its figures by itself."""
    known = visit.billow.policies.reports
    plan_id = visit.asked.get("plan", "")[:100]
    cards = [(name, about(each), query_of({}, plan_id)) for name, each in known.items()]
    return await visit.page("reports.html", cards=cards, plan_id=plan_id)


async def card(visit: Visit) -> Response:
    """Send the main figures of a report."""
    name, plan_id = visit.path("name"), visit.asked.get("plan", "")[:100]
    before, after, _ = await visit.house.reports.told(name, {}, plan_id)
    figures = figures_of(before, after)[:ON_A_CARD]
    return visit.part("parts/report_card.html", report=after or before, figures=figures)


async def report(visit: Visit) -> Response:
    """Show a report: its figures, tables and pictures, and the knobs it was made with."""
    name, plan_id = visit.path("name"), visit.asked.get("plan", "")[:100]
    visit.billow.policies.reporting(name)
    knobs = visit.billow.policies.knobs(name)
    given = given_in(visit.asked.items(), knobs)
    before, after, seen_at = await visit.house.reports.told(name, values_of(given), plan_id)
    context: dict[str, Any] = {
        "name": name,
        "report": after or before,
        "before": before,
        "after": after,
        "seen_at": 0.0 if plan_id else seen_at,
        "figures": figures_of(before, after),
        "pictures": await asyncio.to_thread(_drawings, before, after),
        "plan_id": plan_id,
        "here": under("reports", name) + query_of(given, plan_id),
    }
    if visit.is_fragment:
        return visit.part("parts/report_live.html", **context)
    return await visit.page(
        "report.html",
        **context,
        knobs=[(knob, shown(knob.now), shown(knob.default)) for knob in knobs],
        given=given,
        line=commands.report(name, given, plan_id),
        plan_line=commands.plan(name, given),
        plans=hasattr(visit.billow.policies.capability(name), "propose"),
    )


async def show(visit: Visit) -> Response:
    """Go to the report with the knobs that a form gives."""
    form, name = await visit.form(Role.VIEWER), visit.path("name")
    given = given_in(form.pairs, visit.billow.policies.knobs(name))
    return go(under("reports", name) + query_of(given, form.text("plan")[:100]))


async def make(visit: Visit) -> Response:
    """Make the plan of a capability with the knobs that a form gives, and go there to read it."""
    form, name = await visit.form(), visit.path("name")
    given = given_in(form.pairs, visit.billow.policies.knobs(name))
    plan = await visit.billow.propose(name, values_of(given), actor=visit.person.name)
    return go(under("plans", plan.id))


def figures_of(before: Report, after: Report | None) -> list[Figure]:
    """Return a report's measures in words, compared with those after a plan."""
    later: Mapping[str, Measure] = {each.key: each for each in after.measures} if after else {}
    return [_figure(each, later.get(each.key)) for each in before.measures]


def _figure(measure: Measure, then: Measure | None) -> Figure:
    newest, unit = then or measure, measure.unit
    bound = "" if newest.bound is None else amount(newest.bound, unit)
    value = amount(measure.value, unit)
    if then is None:
        return Figure(measure, value, bound=bound)
    return Figure(
        measure,
        value,
        amount(then.value, unit),
        change(measure.value, then.value, unit),
        verdict(measure.value, then.value, measure.better),
        bound,
    )


def _drawings(before: Report, after: Report | None) -> list[tuple[Picture, Drawing, str]]:
    """Return each picture with its shapes; with a plan, before and after."""
    if after is None:
        return [(each, draw(each), "") for each in before.pictures]
    later = {each.key: each for each in after.pictures}
    both = []
    for each in before.pictures:
        both.append((each, draw(each), "before"))
        if each.key in later:
            both.append((later[each.key], draw(later[each.key]), "after"))
    return both
