# SPDX-License-Identifier: Apache-2.0
"""What hosts sell now and could sell, at which risk, and whether tenants get what was promised."""

from collections.abc import Callable

import numpy as np

from billow.capabilities.overcommit.classes import Allotment, Class
from billow.capabilities.overcommit.policy import OvercommitPolicy
from billow.model.kinds import State, code_of
from billow.model.plan import Finding, Severity
from billow.model.pool import Pool
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
from billow.model.resources import CPU, MEMORY, FloatArray

Ratio = Callable[[Class], float]

MOST_ROWS = 50
CURVE = 25
"""Points of the picture of risk by ratio."""

_COLUMNS = (
    Column("class", "Hosts"),
    Column("hosts", "Count", "hosts"),
    Column("cpu_ratio", "CPU sold per physical"),
    Column("cpu_possible", "CPU possible"),
    Column("cpu_risk", "Risk when sold out", "share"),
    Column("cpu_over", "Measured over the limit", "share"),
    Column("memory_ratio", "Memory sold per physical"),
    Column("memory_possible", "Memory possible"),
    Column("memory_risk", "Risk when sold out", "share"),
    Column("why", "Why"),
)


def reported(pool: Pool, policy: OvercommitPolicy, found: list[Class]) -> Report:
    """Return the report of all classes of hosts."""
    measures = (*_ratios(pool, policy, found), *_guarantee(pool, policy))
    figures = {measure.key: measure.value for measure in measures}
    sold, possible = figures["sellable_cpus"], figures["sellable_possible_cpus"]
    summary = (
        f"{sold:,.0f} CPUs can be sold on {figures['physical_cpus']:,.0f} physical ones, "
        f"{possible:,.0f} at the risk that is allowed ({policy.risk:.2%} over "
        f"{policy.limit_share:.0%})."
    )
    shown = sorted(found, key=lambda each: -int(each.members.sum()))
    return Report(
        "overcommit",
        "Overcommit",
        summary,
        measures,
        (_grid(policy, shown),),
        tuple(_pictures(policy, shown)),
        tuple(_broken(pool, policy)),
    )


def _ratios(pool: Pool, policy: OvercommitPolicy, found: list[Class]) -> list[Measure]:
    there = pool.hosts.capacity.sum(axis=1)
    cpus, mib = there[:, CPU] / 1000, there[:, MEMORY].astype(np.float64)
    best = Better.UP
    physical = _sum(found, cpus, lambda _: 1.0)
    memory = _sum(found, mib, lambda _: 1.0)
    sold = _sum(found, cpus, lambda each: each.cpu.now)
    able = _sum(found, cpus, lambda each: max(each.cpu.safe, 0.0))
    held = _sum(found, mib, lambda each: each.memory.now)
    may = _sum(found, mib, lambda each: each.memory.safe)
    least = Better.DOWN
    return [
        Measure("physical_cpus", "Physical CPUs of hosts that are on", physical, "cpus"),
        Measure("sellable_cpus", "CPUs that can be sold", sold, "cpus", best),
        Measure("sellable_possible_cpus", "CPUs that could be sold", able, "cpus"),
        Measure("cpu_ratio", "CPUs sold per physical one", sold / max(physical, 1e-9), "", best),
        Measure("sellable_memory_mib", "Memory that can be sold", held, "mib", best),
        Measure("sellable_possible_memory_mib", "Memory that could be sold", may, "mib"),
        Measure("memory_ratio", "Memory sold per MiB", held / max(memory, 1e-9), "", best),
        Measure(
            "cpu_risk_share",
            f"Risk that a host that sold out is over {policy.limit_share:.0%} of its CPUs",
            max((_risk(each.cpu, each.cpu.now, policy) or 0.0 for each in found), default=0.0),
            "share",
            least,
            note="the worst class of hosts",
        ),
        Measure(
            "cpu_over_share",
            f"Measured: time of hosts over {policy.limit_share:.0%} of their CPUs",
            max((each.cpu.odds.over for each in found if each.cpu.odds), default=0.0),
            "share",
            least,
            note="the worst class of hosts",
        ),
    ]


def _sum(found: list[Class], amount: FloatArray, ratio: Ratio) -> float:
    return sum(float(amount[each.members].sum()) * ratio(each) for each in found)


def _guarantee(pool: Pool, policy: OvercommitPolicy) -> list[Measure]:
    """Return what tenants really get: how long they wait for CPUs, how much memory was taken."""
    ours = pool.instances
    running = ours.state == code_of(State.RUNNING)
    wait = ours.cpu_wait[running & ~np.isnan(ours.cpu_wait)].astype(np.float64)
    late = float((wait > policy.fair_wait_share).mean()) if len(wait) else 0.0
    sizes = pool.demand[ours.shape, MEMORY].astype(np.float64)
    known = running & ~np.isnan(ours.ballooned)
    taken = float(ours.ballooned[known].sum()) / max(float(sizes[known].sum()), 1.0)
    note = f"of {len(wait)} instances that report it"
    return [
        Measure(
            "cpu_wait_share",
            "Time that instances wait for a CPU, on average",
            float(wait.mean()) if len(wait) else 0.0,
            "share",
            Better.DOWN,
            note=note,
        ),
        Measure(
            "late_share",
            f"Instances that wait for more than {policy.fair_wait_share:.0%} of their time",
            late,
            "share",
            Better.DOWN,
            bound=0.0,
            note=note,
        ),
        Measure("ballooned_share", "Memory taken back", taken, "share", Better.DOWN),
    ]


def _grid(policy: OvercommitPolicy, found: list[Class]) -> Grid:
    rows = tuple(_row(policy, each) for each in found[:MOST_ROWS])
    left = max(len(found) - MOST_ROWS, 0)
    return Grid("classes", "What each class of hosts sells", _COLUMNS, rows, left)


def _row(policy: OvercommitPolicy, each: Class) -> tuple[Cell, ...]:
    return (
        each.name,
        int(each.members.sum()),
        round(each.cpu.now, 3),
        each.cpu.safe,
        _risk(each.cpu, each.cpu.now, policy),
        each.cpu.odds.over if each.cpu.odds else None,
        round(each.memory.now, 3),
        each.memory.safe,
        _risk(each.memory, each.memory.now, policy),
        f"CPU: {each.cpu.why}; memory: {each.memory.why}",
    )


def _risk(allotment: Allotment, ratio: float, policy: OvercommitPolicy) -> float | None:
    return allotment.odds.risk(ratio, policy) if allotment.odds else None


def _pictures(policy: OvercommitPolicy, found: list[Class]) -> list[Picture]:
    shown = found[:MOST_ROWS]
    if not shown:
        return []
    labels = tuple(each.name for each in shown)
    bars = (
        Series("now", tuple(each.cpu.now for each in shown)),
        Series("possible", tuple(each.cpu.safe for each in shown)),
    )
    pictures = [Picture("ratios", "CPUs sold per physical one", Form.BARS, labels, bars)]
    first = shown[0].cpu
    if first.odds is not None:
        steps = np.linspace(0.5, policy.most_cpu_ratio, CURVE).tolist()
        risks = tuple(first.odds.risk(step, policy) for step in steps)
        title = f"Chance of a host over {policy.limit_share:.0%} by CPUs sold: {shown[0].name}"
        line = (Series("risk", risks),)
        pictures.append(Picture("risk", title, Form.LINES, tuple(steps), line, "share", "ratio"))
    return pictures


def _broken(pool: Pool, policy: OvercommitPolicy) -> list[Finding]:
    """Name the tenants' instances that do not get what was promised, the worst first."""
    ours = pool.instances
    wait = np.nan_to_num(ours.cpu_wait)
    late = np.flatnonzero((wait > policy.fair_wait_share) & (ours.host >= 0))
    worst = late[np.argsort(-wait[late], kind="stable")][:MOST_ROWS]
    return [
        Finding(
            f"instance/{ours.id[row]}",
            Severity.WARNING,
            f"waits for a CPU for {wait[row]:.0%} of its time on {pool.hosts.id[ours.host[row]]}",
        )
        for row in worst.tolist()
    ]
