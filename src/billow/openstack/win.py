# SPDX-License-Identifier: Apache-2.0
"""What a plan to defragment would win: the plan made, read and thrown away. Nothing is changed."""

from collections.abc import Iterator
from typing import Any, Final

from billow.model.action import Migrate
from billow.model.plan import Plan
from billow.model.policy import Limits, Policy
from billow.model.pool import Pool
from billow.model.report import Cell, Column, Grid, Report
from billow.plan.amounts import amount
from billow.plan.compose import Stamp, compose
from billow.ports import Capability, Reporting

MOST_MOVES: Final = 12
_COLUMNS: Final = (
    Column("instance", "instance", link="instance"),
    Column("source", "from", link="host"),
    Column("target", "to", link="host"),
    Column("copied_mib", "to copy", "mib"),
    Column("reason", "what for"),
)
_SHAPES: Final = (
    Column("shape", "shape"),
    Column("fit", "fit now", "slots"),
    Column("after", "fit after", "slots"),
    Column("won", "won", "slots"),
)


def defrag_plan(pool: Pool, capability: Capability[Any], policy: Policy) -> Plan:
    """Return the plan that defragmentation would make, not kept anywhere. Raises Invalid."""
    proposal = capability.propose(pool, policy)
    return compose(pool, [proposal], Limits(), Stamp("report", title="what defrag would win"))


def win(
    pool: Pool, plan: Plan, capability: Reporting[Any], policy: Policy
) -> tuple[Report, Report]:
    """Return the figures of fragmentation as they are, and as they are after a plan."""
    before, after = (capability.report(each, policy) for each in (pool, plan.predicted))
    grids = (_won(before, after), _moves(plan)) if plan.steps else ()
    return _told(before, before.summary), _told(after, _sentence(plan, before, after), grids)


def _told(report: Report, summary: str, grids: tuple[Grid, ...] = ()) -> Report:
    title = "What would a plan win?"
    return Report("win", title, summary, report.measures, grids)


def _sentence(plan: Plan, before: Report, after: Report) -> str:
    if not plan.steps:
        why = plan.findings[0].text if plan.findings else "it is as good as it can be"
        return f"A plan to defragment would win nothing: {why}."
    then = after.figures.get("slots", 0.0)
    won, label = then - before.figures.get("slots", 0.0), _label(before)
    cost = plan.cost
    return (
        f"{amount(len(plan.steps), 'moves')} would make room for {won:,.0f} more: {then:,.0f} "
        f"{label}. That copies {amount(cost.copied_mib, 'mib')} in about "
        f"{amount(cost.seconds, 's')}."
    )


def _label(report: Report) -> str:
    return next((each.label for each in report.measures if each.key == "slots"), "slots")


def _won(before: Report, after: Report) -> Grid:
    then = dict(_fits(after))
    rows = tuple(
        (shape, fit, then[shape], then[shape] - fit)
        for shape, fit in _fits(before)
        if shape in then
    )
    note = "Each shape alone, on the pool as it is and as the plan leaves it."
    return Grid("won", "Per shape", _SHAPES, rows, note=note)


def _fits(report: Report) -> Iterator[tuple[str, int]]:
    for grid in report.grids:
        if grid.key == "shapes":
            at = [column.key for column in grid.columns].index("fit")
            yield from ((str(row[0]), int(row[at] or 0)) for row in grid.rows)


def _moves(plan: Plan) -> Grid:
    moves = [step for step in plan.steps if isinstance(step.action, Migrate)]
    rows: list[tuple[Cell, ...]] = []
    for step in moves[:MOST_MOVES]:
        action = step.action
        assert isinstance(action, Migrate)  # noqa: S101 - chosen above
        where = action.instance, action.source, action.target
        rows.append((*where, step.cost.copied_mib, action.reason))
    more = max(len(moves) - MOST_MOVES, 0)
    return Grid("moves", "The first moves", _COLUMNS, tuple(rows), more)
