# SPDX-License-Identifier: Apache-2.0
"""The capacity report: figures, tables and pictures of a survey. It words and arranges, no more."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from billow.capabilities.capacity.forecast import DAY_S, Forecast
from billow.capabilities.capacity.policy import CapacityPolicy
from billow.capabilities.capacity.survey import Area, Survey
from billow.capabilities.capacity.words import day, in_days
from billow.model.counting import counted
from billow.model.plan import Finding
from billow.model.report import (
    Better,
    Cell,
    Column,
    Form,
    Grid,
    Measure,
    Picture,
    Report,
    Series,
)
from billow.model.resources import CPU, GPU, HUGE, MEMORY
from billow.plan.fragmentation import resource_label
from billow.plan.slots import fragmentation

MOST_ROWS: Final = 50
MOST_POINTS: Final = 120
_STEPS: Final = 12


def report_of(found: Survey, policy: CapacityPolicy, findings: tuple[Finding, ...]) -> Report:
    """Return the report of a survey."""
    return Report(
        "capacity",
        "How much more fits",
        _summary(found, policy),
        tuple(_measures(found, policy)),
        tuple(_grids(found, policy)),
        tuple(_pictures(found)),
        findings,
    )


def _summary(found: Survey, policy: CapacityPolicy) -> str:
    main = found.main
    if main is None:
        return "No shape is in use or named, so there is nothing to count."
    text = f"{main.fit:,} more {main.wanted.shape.name} fit, at best {main.best:,}"
    if policy.failures:
        safe = f"the loss of {counted(policy.failures, 'host')} of any class is "
        lost = f"not covered: {counted(found.homeless, 'instance')} would find no room"
        text += f"; {safe}{lost if found.homeless else 'covered'}"
    if found.forecasts:
        first = found.forecasts[0]
        when = in_days(first.days)
        text += f"; {resource_label(first.resource)} runs out {when}"
        text += day(found.pool.taken_at, first.days)
    return f"{text}."


def _measures(found: Survey, policy: CapacityPolicy) -> Iterator[Measure]:
    main = found.main
    if main is not None:
        name, best = main.wanted.shape.name, float(main.best)
        yield Measure("slots", f"more {name}", float(main.fit), "slots", Better.UP, best)
        least = fragmentation(main.best, main.theoretical)
        text = f"of {main.theoretical:,} if all that is free were one host"
        yield Measure(
            "fragmentation_share", "fragmentation", main.share, "share", Better.DOWN, least, text
        )
    free = found.sale.free.sum(axis=0)
    yield Measure("free_cpus", "free CPUs on open hosts", free[CPU] / 1000, "cpus", Better.UP)
    memory = float(free[MEMORY:GPU].sum())
    yield Measure("free_mib", "free memory on open hosts", memory, "mib", Better.UP)
    if policy.failures:
        which = "largest host" if policy.failures == 1 else f"{policy.failures} largest hosts"
        text = f"if the {which} of a class died, one class at a time"
        yield Measure(
            "homeless", "without room", float(found.homeless), "instances", Better.DOWN, 0.0, text
        )
    dry = float(len(found.dry_zones(policy)))
    yield Measure("dry_zones", "zones without room", dry, "zones", Better.DOWN, 0.0)
    if found.forecasts and found.forecasts[0].days is not None:
        first = found.forecasts[0]
        label = f"days until {resource_label(first.resource)} runs out"
        yield Measure("days_left", label, first.days or 0.0, "days", Better.UP, note=_span(first))


def _span(each: Forecast) -> str:
    return f"{in_days(each.earliest)} at the earliest, {in_days(each.latest)} at the latest"


def _grids(found: Survey, policy: CapacityPolicy) -> Iterator[Grid]:
    yield _shapes(found)
    if any(area.name for area in found.zones):
        yield _areas("zones", "Headroom by zone", "zone", found.zones, found)
    if any(area.name for area in found.racks):
        yield _areas("racks", "Headroom by rack", "rack", found.racks, found)
    if policy.failures:
        yield _classes(found)
    if found.homeless:
        yield _homeless(found)
    if found.forecasts:
        yield _forecasts(found)


def _shapes(found: Survey) -> Grid:
    sold = found.sale.counts.sum(axis=1).tolist()
    tiers = {shape.name: count for shape, count in zip(found.sale.shapes, sold, strict=True)}
    rows: list[tuple[Cell, ...]] = []
    for each, in_use in zip(found.shapes, found.in_use, strict=True):
        shape = each.wanted.shape
        size = (shape.name, shape.cpu_milli / 1000, shape.memory_mib, shape.numa_nodes, shape.gpus)
        counts = (in_use, each.fit, each.best, each.theoretical, each.share, tiers[shape.name])
        rows.append((*size, *counts))
    columns = (
        Column("shape", "shape"),
        Column("cpus", "CPUs", "cpus"),
        Column("memory_mib", "memory", "mib"),
        Column("numa_nodes", "NUMA nodes"),
        Column("gpus", "GPUs"),
        Column("in_use", "in use", "instances"),
        Column("fit", "more fit now", "slots"),
        Column("best", "at best", "slots"),
        Column("theoretical", "in theory", "slots"),
        Column("fragmentation_share", "fragmentation", "share"),
        Column("tiered", "tiered", "slots"),
    )
    note = (
        "Each shape alone; no defragmentation gets beyond `at best`. Tiered: the largest until it "
        "fits no more, then the next smaller, all on top of each other."
    )
    return Grid("shapes", "How many more fit", columns, tuple(rows), note=note)


def _areas(key: str, title: str, noun: str, areas: Sequence[Area], found: Survey) -> Grid:
    name = found.main.wanted.shape.name if found.main else "instances"
    columns = (
        Column(noun, noun),
        Column("hosts", "hosts", "hosts"),
        Column("open", "open", "hosts"),
        Column("free_cpus", "free CPUs", "cpus"),
        Column("free_mib", "free memory", "mib"),
        Column("cpu_share", "CPU reserved", "share"),
        Column("memory_share", "memory reserved", "share"),
        Column("slots", f"more {name}", "slots"),
    )
    rows = tuple(
        (
            area.name or "none",
            area.hosts,
            area.open,
            area.free[CPU] / 1000,
            area.free[MEMORY] + area.free[HUGE],
            area.cpu_share,
            area.memory_share,
            area.slots,
        )
        for area in areas[:MOST_ROWS]
    )
    return Grid(key, title, columns, rows, max(len(areas) - MOST_ROWS, 0))


def _classes(found: Survey) -> Grid:
    columns = (
        Column("class", "class"),
        Column("size", "hosts", "hosts"),
        Column("lost", "die"),
        Column("instances", "to house", "instances"),
        Column("homeless", "without room", "instances"),
        Column("verdict", "verdict"),
        Column("more", "more hosts, at least", "hosts"),
    )
    rows = tuple(
        (
            loss.kind,
            loss.size,
            ", ".join(loss.hosts),
            loss.instances,
            len(loss.homeless),
            "covered" if not loss.homeless else "impossible" if loss.proven else "no room found",
            loss.more,
        )
        for loss in found.losses[:MOST_ROWS]
    )
    left_out = max(len(found.losses) - MOST_ROWS, 0)
    note = (
        "Each class on its own: its largest hosts die, and everything on them is placed elsewhere "
        "by all rules, the largest first. Impossible is proven by counting, unless others move; no "
        "room found is not proven."
    )
    return Grid("losses", "If the largest hosts of a class die", columns, rows, left_out, note)


def _homeless(found: Survey) -> Grid:
    columns = (
        Column("instance", "instance", link="instance"),
        Column("shape", "shape"),
        Column("host", "now on", link="host"),
        Column("reason", "why it finds no room"),
        Column("fix", "what would help"),
    )
    everyone = [each for loss in found.losses for each in loss.homeless]
    rows = tuple((e.instance, e.shape, e.host, e.reason, e.fix) for e in everyone[:MOST_ROWS])
    left_out = max(len(everyone) - MOST_ROWS, 0)
    return Grid("homeless", "Who would find no room", columns, rows, left_out)


def _forecasts(found: Survey) -> Grid:
    columns = (
        Column("resource", "resource"),
        Column("share", "reserved", "share"),
        Column("share_per_day", "growth a day", "share"),
        Column("days", "days left", "days"),
        Column("earliest", "at the earliest", "days"),
        Column("latest", "at the latest", "days"),
        Column("date", "date", "time"),
    )
    rows = tuple(
        (
            resource_label(each.resource),
            each.now / each.sellable,
            each.trend.slope / each.sellable,
            each.days,
            each.earliest,
            each.latest,
            None if each.days is None else found.pool.taken_at + each.days * DAY_S,
        )
        for each in found.forecasts
    )
    first = found.forecasts[0]
    note = (
        f"Theil-Sen trend of {first.trend.points} points over {first.history_days:.0f} days of "
        f"reservations; full at {first.full / first.sellable:.0%}. A dash: not within ten years."
    )
    return Grid("forecast", "When it runs out", columns, rows, note=note)


def _pictures(found: Survey) -> Iterator[Picture]:
    if found.shapes:
        names = tuple(each.wanted.shape.name for each in found.shapes)
        now = Series("now", tuple(float(each.fit) for each in found.shapes))
        best = Series("at best", tuple(float(each.best) for each in found.shapes))
        title = "How many more of each shape fit"
        yield Picture("slots", title, Form.BARS, names, (now, best), "slots")
    if found.forecasts:
        yield _past(found)
        yield _future(found)


def _past(found: Survey) -> Picture:
    levels = found.pool.history.levels if found.pool.history else None
    assert levels is not None, "a forecast rests on levels"  # noqa: S101 (checked by forecasts)
    step = -(-len(levels.at) // MOST_POINTS)
    rows = np.arange(len(levels.at) - 1, -1, -step)[::-1]
    series = []
    for each in found.forecasts:
        whole = np.maximum(levels.sellable[rows, each.resource], 1)
        share = levels.reserved[rows, each.resource] / whole
        series.append(Series(resource_label(each.resource), tuple(share.tolist())))
    labels = tuple(levels.at[rows].tolist())
    title = "Reserved share so far"
    return Picture("past", title, Form.LINES, labels, tuple(series), "share", "time")


def _future(found: Survey) -> Picture:
    first = found.forecasts[0]
    days = min(max(2 * (first.days or first.history_days), 7.0), 365.0)
    ahead = [days * step / _STEPS for step in range(_STEPS + 1)]
    slopes = (first.trend.slope, first.trend.low, first.trend.high)
    series = [
        Series(name, tuple(max(first.now + slope * at, 0.0) / first.sellable for at in ahead))
        for name, slope in zip(("trend", "slowest", "fastest"), slopes, strict=True)
    ]
    full = Series("full", (first.full / first.sellable,) * len(ahead))
    labels = tuple(found.pool.taken_at + DAY_S * at for at in ahead)
    title = f"Reserved share of {resource_label(first.resource)} to come"
    return Picture("future", title, Form.LINES, labels, (*series, full), "share", "time")
