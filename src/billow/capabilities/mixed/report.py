# SPDX-License-Identifier: Apache-2.0
"""How both classes share each host, who waits, and what batch got of it."""

from collections.abc import Iterator

import numpy as np

from billow.capabilities.mixed.solve import Sharing
from billow.model.kinds import State, code_of
from billow.model.plan import Finding, Severity
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
from billow.model.resources import BoolArray, FloatArray
from billow.plan.amounts import amount

TITLE = "Batch beside latency-sensitive work"
SHOWN = 50
STRIPES = 24
_HOUR_S = 3600.0
_MILLI = 1000.0

_COLUMNS = (
    Column("host", "Host", link="host"),
    Column("latency_share", "Latency-sensitive", "share"),
    Column("peak_share", "Their peak soon", "share"),
    Column("batch_share", "Batch", "share"),
    Column("batch_allowed_cpus", "Batch may use", "cpus"),
    Column("wait_share", "They waited", "share"),
    Column("throttled", "Limited"),
    Column("suspended", "Suspended"),
)


def findings(sharing: Sharing) -> tuple[Finding, ...]:
    """Return the hosts where somebody waits and no batch is left to blame."""
    return tuple(_findings(sharing))


def reported(sharing: Sharing) -> Report:
    """Return the report."""
    facts = _Facts(sharing)
    return Report(
        "mixed",
        TITLE,
        facts.summary(),
        tuple(facts.measures()),
        (facts.grid(),) if len(facts.rows) else (),
        (facts.picture(),) if len(facts.rows) else (),
        findings(sharing),
    )


def _findings(sharing: Sharing) -> Iterator[Finding]:
    demand, ids = sharing.demand, sharing.pool.hosts.id
    for host in np.flatnonzero(sharing.hot & (demand.capacity > 0)).tolist():
        if sharing.in_use(host) <= 0:
            yield Finding(
                f"host/{ids[host]}",
                Severity.WARNING,
                "instances wait for CPUs, and no batch runs there: "
                "the capability hotspot moves instances away",
            )


class _Facts:
    """Sums by host."""

    def __init__(self, sharing: Sharing) -> None:
        pool, demand = sharing.pool, sharing.demand
        self._sharing, self._pool, self._demand = sharing, pool, demand
        ours = pool.instances
        self._batch = demand.batch
        limited = demand.batch & demand.running & (ours.cpu_limit > 0)
        suspended = demand.batch & (ours.state == code_of(State.PAUSED))
        self._throttled, self._suspended = self._count(limited), self._count(suspended)
        self._got = self._by_host(np.where(demand.batch & demand.running, demand.used, 0.0))
        first = demand.running & ~demand.batch
        self._latency = self._by_host(np.where(first, demand.used, 0.0))
        self._wait = np.nan_to_num(demand.wait)
        on = demand.capacity > 0
        shared = on & (self._count(demand.batch) > 0)
        order = np.lexsort((np.arange(len(on)), -self._got, -self._suspended, -self._wait))
        self.rows: list[int] = [row for row in order.tolist() if shared[row]]

    def summary(self) -> str:
        promised = self._sharing.policy.wait_hot_share
        batch = int(self._batch.sum())
        if not batch:
            return "No instance is batch: nothing shares a host with latency-sensitive work."
        return (
            f"Latency-sensitive instances waited {self._mean_wait():.2%} of the time "
            f"({promised:.2%} is promised); batch uses {amount(self._got.sum(), 'cpu_milli')}."
        )

    def measures(self) -> Iterator[Measure]:
        demand, down, up = self._demand, Better.DOWN, Better.UP
        promised = f"promised: at most {self._sharing.policy.wait_hot_share:.2%} on any host"
        allowed = np.minimum(self._sharing.allowed(), demand.capacity)
        total = max(float(demand.capacity.sum()), 1.0)
        yield Measure(
            "latency_wait_share",
            "Time that latency-sensitive instances waited for a CPU",
            self._mean_wait(),
            "share",
            down,
            note=promised,
        )
        worst = float(self._wait.max(initial=0.0))
        yield Measure(
            "worst_wait_share", "The same on the worst host", worst, "share", down, note=promised
        )
        hot = float((self._sharing.hot & (demand.capacity > 0)).sum())
        yield Measure("waiting_hosts", "Hosts above what is promised", hot, "hosts", down)
        latency, got = float(self._latency.sum()), float(self._got.sum())
        yield Measure("latency_cpus", "Used by latency-sensitive", latency / _MILLI, "cpus")
        yield Measure("batch_cpus", "Used by batch", got / _MILLI, "cpus", up)
        yield Measure(
            "allowed_cpus", "What batch may use now", float(allowed.sum()) / _MILLI, "cpus", up
        )
        yield Measure("used_share", "CPUs used by both", (latency + got) / total, "share", up)
        throttled, suspended = float(self._throttled.sum()), float(self._suspended.sum())
        yield Measure("throttled", "Limited batch instances", throttled, "instances", down)
        yield Measure("suspended", "Suspended batch instances", suspended, "instances", down)
        yield from self._hours()

    def grid(self) -> Grid:
        return Grid(
            "hosts",
            "Hosts with batch, the longest waits first",
            _COLUMNS,
            tuple(map(self._row, self.rows[:SHOWN])),
            max(len(self.rows) - SHOWN, 0),
        )

    def picture(self) -> Picture:
        rows = self.rows[:STRIPES]
        capacity = self._demand.capacity[rows]
        latency = np.minimum(self._latency[rows] / capacity, 1.0)
        batch = np.minimum(self._got[rows] / capacity, 1.0 - latency)
        return Picture(
            "shares",
            "What the CPUs of these hosts do",
            Form.STRIPES,
            tuple(self._pool.hosts.id[row] for row in rows),
            (
                Series("latency-sensitive", tuple(latency.tolist())),
                Series("batch", tuple(batch.tolist())),
            ),
            "share",
        )

    def _row(self, row: int) -> tuple[Cell, ...]:
        demand = self._demand
        capacity, wait = float(demand.capacity[row]), float(demand.wait[row])
        return (
            self._pool.hosts.id[row],
            float(self._latency[row]) / capacity,
            float(demand.peak[row]) / capacity,
            float(self._got[row]) / capacity,
            float(self._sharing.allowed()[row]) / _MILLI,
            None if np.isnan(wait) else wait,
            int(self._throttled[row]),
            int(self._suspended[row]),
        )

    def _mean_wait(self) -> float:
        weight = np.where(np.isnan(self._demand.wait), 0.0, self._demand.latency)
        return float((weight * self._wait).sum() / max(float(weight.sum()), 1.0))

    def _hours(self) -> Iterator[Measure]:
        history, ours = self._pool.history, self._pool.instances
        if history is None:
            return
        ids = [ours.id[row] for row in np.flatnonzero(self._batch).tolist()]
        samples = history.cpu_of(ids)
        cpus = float(np.nansum(samples, dtype=np.float64)) / _MILLI
        seconds = history.step_s * samples.shape[1]
        yield Measure(
            "batch_cpu_hours",
            "CPU hours that batch got",
            cpus * history.step_s / _HOUR_S,
            "cpu_hours",
            Better.UP,
            note=f"within the last {seconds / _HOUR_S:.3g} h",
        )

    def _count(self, of: BoolArray) -> FloatArray:
        return self._by_host(of.astype(np.float64))

    def _by_host(self, amounts: FloatArray) -> FloatArray:
        host = self._pool.instances.host
        placed = host >= 0
        count = len(self._pool.hosts)
        return np.bincount(host[placed], amounts[placed], minlength=count).astype(np.float64)
