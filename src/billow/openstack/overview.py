# SPDX-License-Identifier: Apache-2.0
"""The one-minute report: a pool becomes one value that answers what its owner asks first.

It is made of what capabilities say anyway. It asks nobody for anything: a pool comes in, a value
goes out, and a part that cannot be told says so instead of taking the others with it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from billow.errors import BillowError
from billow.model.group import Gap
from billow.model.listing import figures
from billow.model.plan import Finding, Severity
from billow.model.pool import Pool
from billow.model.report import Better, Column, Grid, Measure, Picture, Report
from billow.openstack.deaths import deaths_report
from billow.openstack.heat import Heat, heat_of
from billow.openstack.storage import storage_report
from billow.openstack.win import defrag_plan, win
from billow.plan.amounts import amount
from billow.plan.mix import frequencies
from billow.policies import Policies

MOST_ROWS: Final = 12
"""Rows of a table and labels of a picture at most; `billow report NAME` has all."""
MOST_FINDINGS: Final = 40
THINK_S: Final = 5.0
"""How long the plan may be thought about."""


@dataclass(frozen=True, slots=True)
class Section:
    """One question, and its answer; `after` is the answer once a plan were carried out."""

    key: str
    report: Report
    after: Report | None = None

    @property
    def summary(self) -> str:
        """The answer in a sentence."""
        return (self.after or self.report).summary


@dataclass(frozen=True, slots=True)
class Overview:
    """All that the report says.

    Attributes:
        name: Of the cloud, as its owner calls it.
        taken_at: When it was looked at, seconds since the epoch.
        sections: In the order in which they are read.
        gaps: What could not be seen.
    """

    name: str
    taken_at: float
    hosts: int
    instances: int
    heat: Heat
    totals: tuple[Measure, ...]
    sections: tuple[Section, ...]
    gaps: tuple[Gap, ...] = ()


def overview(
    pool: Pool,
    policies: Policies,
    *,
    name: str = "",
    findings: Sequence[Finding] = (),
    moves: int | None = None,
) -> Overview:
    """Return the report of a pool.

    `findings` are what its engine found wrong: allocations that leak, migrations half done.
    `moves` is how many migrations a plan may have at most.
    """
    return Overview(
        name,
        pool.taken_at,
        len(pool.hosts),
        len(pool.instances),
        heat_of(pool),
        tuple(_totals(pool)),
        tuple(_sections(pool, policies, tuple(findings), moves)),
        pool.gaps,
    )


def _totals(pool: Pool) -> Iterator[Measure]:
    hosts = pool.hosts
    for label, key, reserved, used in (
        ("CPU", "cpu", pool.reserved[:, :1], hosts.cpu_used),
        ("memory", "memory", pool.reserved[:, 1:3], hosts.memory_used),
    ):
        at = slice(0, 1) if key == "cpu" else slice(1, 3)
        sellable = float(hosts.sellable[..., at].sum())
        yield Measure(f"{key}_reserved_share", f"{label} reserved",
                      float(reserved.sum()) / max(sellable, 1.0), "share")  # fmt: skip
        seen = ~np.isnan(used)
        there = float(hosts.capacity[seen][..., at].sum())
        share = float(used[seen].sum()) / there if there else float("nan")
        if seen.any():
            yield Measure(f"{key}_used_share", f"{label} used", share, "share")
    down = float((figures.marks(hosts) >= figures.Mark.FAILED).sum())
    yield Measure("down_hosts", "hosts down or unknown", down, "hosts", Better.DOWN, 0.0)


def _sections(
    pool: Pool, policies: Policies, findings: tuple[Finding, ...], moves: int | None
) -> Iterator[Section]:
    knobs: dict[str, object] = {"time_limit_s": THINK_S}
    if moves is not None:
        knobs["moves"] = moves

    def told(name: str) -> Report:
        own = _counted(pool, policies) if name == "capacity" else {}
        return policies.reporting(name).report(pool, policies.of(name, own))

    def won() -> Section:
        policy = policies.of("defrag", knobs)
        plan = defrag_plan(pool, policies.capability("defrag"), policy)
        return Section("win", *win(pool, plan, policies.reporting("defrag"), policy))

    yield _tried(
        "fit",
        "What would fit?",
        lambda: Section("fit", _short(told("capacity"), ("shapes", "zones"), ("slots",))),
    )
    yield _tried(
        "fragmentation",
        "How fragmented is it?",
        lambda: Section("fragmentation", _short(told("defrag"), ("shapes", "hosts"), None)),
    )
    yield _tried("hot", "Which hosts are hot?", lambda: Section("hot", _hot(pool, told)))
    yield _tried(
        "deaths",
        "Whose death would it not survive?",
        lambda: Section("deaths", deaths_report(pool)),
    )
    yield _tried("win", "What would a plan win?", won)
    if storage := storage_report(pool):
        cut = tuple(_cut(each) for each in storage.grids)
        yield Section("storage", replace(storage, grids=cut))
    yield Section("wrong", _wrong(pool, findings))  # fmt: skip


def _counted(pool: Pool, policies: Policies) -> dict[str, object]:
    """Return the knobs with which room is counted: for flavors that nobody uses yet, too.

    Whose death is survived has a section of its own, host by host.
    """
    if policies.of("capacity").model_dump()["shapes"]:
        return {"failures": 0}
    uses = zip(frequencies(pool), pool.shapes, strict=True)
    order = sorted(uses, key=lambda each: (-each[0], -each[1].cpu_milli, each[1].name))
    return {"failures": 0, "shapes": tuple(shape.name for _, shape in order[:MOST_ROWS])}


_TITLES: Final = {
    "capacity": "What would fit?",
    "defrag": "How fragmented is it, per shape?",
    "hotspot": "Which hosts are hot?",
}


def _tried(key: str, title: str, tell: Callable[[], Section]) -> Section:
    """Return a section, or why there is none."""
    try:
        return tell()
    except BillowError as error:
        why = Finding("pool", Severity.WARNING, "; ".join((error.brief, *error.details)))
        return Section(
            key, Report(key, title, f"This cannot be told: {error.brief}.", (), (), (), (why,))
        )


def _short(report: Report, grids: Sequence[str], pictures: Sequence[str] | None) -> Report:
    """Return a capability's report with the tables and pictures that are asked for, cut."""
    return replace(
        report,
        title=_TITLES.get(report.name, report.title),
        grids=tuple(_cut(each) for key in grids for each in report.grids if each.key == key),
        pictures=tuple(
            _cropped(each) for each in report.pictures if pictures is None or each.key in pictures
        ),
        findings=report.findings[:MOST_ROWS],
    )


def _cut(grid: Grid) -> Grid:
    more = max(len(grid.rows) - MOST_ROWS, 0)
    return replace(grid, rows=grid.rows[:MOST_ROWS], left_out=grid.left_out + more)


def _cropped(picture: Picture) -> Picture:
    series = tuple(replace(each, values=each.values[:MOST_ROWS]) for each in picture.series)
    return replace(picture, labels=picture.labels[:MOST_ROWS], series=series)


def _hot(pool: Pool, told: Callable[[str], Report]) -> Report:
    """Return who is hot; where nothing is measured, who has sold most, and how to measure."""
    used = pool.hosts.cpu_used, pool.instances.cpu_used
    if any((~np.isnan(each)).any() for each in used) or pool.history is not None:
        return _short(told("hotspot"), ("hosts", "noisy"), ("hosts",))
    sold = figures.cpu_reserved(pool)
    fullest = np.argsort(-sold, kind="stable")[:MOST_ROWS].tolist()
    columns = (
        Column("host", "host", link="host"),
        Column("cpu_reserved_share", "CPU reserved", "share"),
        Column("memory_reserved_share", "memory reserved", "share"),
        Column("instances", "instances", "instances"),
    )
    memory, counts = figures.memory_reserved(pool), figures.instance_counts(pool)
    rows = tuple(
        (pool.hosts.id[row], float(sold[row]), float(memory[row]), int(counts[row]))
        for row in fullest
    )
    left_out = max(len(pool.hosts) - MOST_ROWS, 0)
    return Report(
        "hotspot",
        _TITLES["hotspot"],
        "Nobody knows: no real use was measured. Give --metrics-url (a Prometheus) to see it.",
        grids=(Grid("reserved", "Hosts by what is reserved", columns, rows, left_out),),
    )


def _wrong(pool: Pool, findings: tuple[Finding, ...]) -> Report:
    """Return what leaks, what was left half done, and what could not be seen."""
    subjects = (Column("subject", "subject"), Column("why", "why"))
    gaps = tuple((each.subject, each.why) for each in pool.gaps)
    grid = Grid("gaps", "What could not be seen", subjects, gaps)
    text = "Nothing leaks, nothing was left half done"
    if findings:
        text = f"{amount(len(findings), 'things')} need a look: {findings[0].subject}: "
        text += findings[0].text
    text += f"; {amount(len(gaps), 'things')} could not be seen." if gaps else "."
    return Report(
        "wrong",
        "What leaks, what could not be seen?",
        text,
        (
            Measure("findings", "leaks and half-done work", float(len(findings)), "",
                    Better.DOWN, 0.0),
            Measure("gaps", "not seen", float(len(gaps)), "", Better.DOWN, 0.0),
        ),
        (_cut(grid),) if gaps else (),
        (),
        findings[:MOST_FINDINGS],
    )  # fmt: skip
