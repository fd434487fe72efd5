# SPDX-License-Identifier: Apache-2.0
"""What there is to say of heat without changing anything: who is hot, who soon, who makes it so."""

from dataclasses import dataclass

import numpy as np

from billow.capabilities.hotspot.demand import Demand, Rows, demands
from billow.capabilities.hotspot.heat import Heat, heat_of
from billow.capabilities.hotspot.noisy import Noisy, neighbours, told
from billow.capabilities.hotspot.policy import HotspotPolicy
from billow.model.kinds import Power, code_of
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
from billow.model.resources import CPU, FloatArray
from billow.plan.amounts import amount
from billow.plan.forecast import over, sums

SHOWN = 50
STRIPES = 24

_HOSTS = (
    Column("host", "Host", link="host"),
    Column("state", "State"),
    Column("cpu_share", "CPUs in use", "share"),
    Column("cpu_forecast_share", "CPUs by forecast", "share"),
    Column("risk_share", "Chance that CPUs do not suffice", "share"),
    Column("cpu_reserved_share", "CPUs sold, of physical", "share"),
    Column("memory_share", "Memory in use", "share"),
    Column("memory_forecast_share", "Memory by forecast", "share"),
    Column("load", "Load per CPU"),
    Column("cpu_pressure", "Waiting for CPU", "share"),
    Column("memory_pressure", "Waiting for memory", "share"),
    Column("swap_mib_s", "Swapping", "mib/s"),
)
_NOISY = (
    Column("instance", "Instance", link="instance"),
    Column("host", "Host", link="host"),
    Column("used_share", "Of the host's CPUs", "share"),
    Column("beyond_cpus", "Beyond its part", "cpus"),
    Column("victims", "Who waits beside it"),
)


@dataclass(frozen=True, eq=False)
class _Sight:
    pool: Pool
    policy: HotspotPolicy
    cpu: Demand
    heat: Heat
    noisy: list[Noisy]
    on: Rows
    """Hosts that are on, the hottest first."""
    reserved: FloatArray


def reported(pool: Pool, policy: HotspotPolicy) -> Report:
    """Return the report. Linear in instances times window."""
    cpu, memory = demands(pool, policy)
    heat = heat_of(pool, policy, cpu, memory)
    on = np.flatnonzero(pool.hosts.power == code_of(Power.ON))
    share = np.nan_to_num(heat.cpu_share[on])
    calm = ~(heat.now | heat.acting)[on]
    on = on[np.lexsort((-share, -heat.risk[on], calm))]
    there = np.maximum(pool.hosts.capacity[:, :, CPU].sum(axis=1), 1)
    reserved = pool.reserved[:, CPU] / there
    sight = _Sight(pool, policy, cpu, heat, neighbours(pool, policy, cpu, heat), on, reserved)
    return Report(
        "hotspot",
        "Hot spots",
        _summary(sight),
        tuple(_measures(sight)),
        (_hosts(sight), _loud(sight)),
        tuple(_pictures(sight)),
        tuple(
            Finding(f"instance/{pool.instances.id[each.instance]}", _grave(each), told(pool, each))
            for each in sight.noisy[:SHOWN]
        ),
    )


def _grave(noisy: Noisy) -> Severity:
    return Severity.WARNING if noisy.victims else Severity.INFO


def _summary(sight: _Sight) -> str:
    hot, acting = int(sight.heat.now.sum()), int(sight.heat.acting.sum())
    return (
        f"Hot now: {hot} of {amount(len(sight.on), 'hosts')}; in need of relief by forecast: "
        f"{acting}; noisy instances: {len(sight.noisy)}."
    )


def _measures(sight: _Sight) -> list[Measure]:
    heat, on, down = sight.heat, sight.on, Better.DOWN
    used = heat.cpu_share[on]
    used = used[~np.isnan(used)]
    return [
        Measure("hot_hosts", "Hosts hot now", float(heat.now.sum()), "hosts", down, 0.0),
        Measure("acting_hosts", "Hosts to cool", float(heat.acting.sum()), "hosts", down, 0.0),
        Measure(
            "risk_share",
            "Expected host time in which CPUs do not suffice",
            float(heat.risk[on].mean()) if len(on) else 0.0,
            "share",
            down,
        ),
        Measure(
            "overload_share",
            f"Measured host time over {sight.policy.cpu_hot_share:.0%} of the CPUs",
            _overload(sight),
            "share",
            down,
            note="of the samples that history holds, with the instances where they are now",
        ),
        Measure("used_share", "CPUs in use", float(used.mean()) if len(used) else 0.0, "share"),
        Measure(
            "reserved_share",
            "CPUs sold, of physical",
            float(sight.reserved[on].mean()) if len(on) else 0.0,
            "share",
        ),
        Measure("noisy_instances", "Noisy instances", float(len(sight.noisy)), "", down),
    ]


def _overload(sight: _Sight) -> float:
    """Return which share of host samples was hot, as if everybody had been where it is now."""
    pool, past = sight.pool, sight.pool.history
    if past is None or not past.cpu.shape[1]:
        return float(np.mean(sight.heat.now[sight.on])) if len(sight.on) else 0.0
    samples = past.cpu_of(pool.instances.id)
    gap = np.zeros(len(samples))
    total = sums(samples, pool.instances.host, len(pool.hosts), gap)
    on = np.zeros(len(pool.hosts), dtype=np.bool_)
    on[sight.on] = True
    return over(total, sight.policy.cpu_hot_share * sight.cpu.capacity, on)


def _hosts(sight: _Sight) -> Grid:
    rows = tuple(_host(sight, row) for row in sight.on[:SHOWN].tolist())
    left = max(len(sight.on) - SHOWN, 0)
    return Grid("hosts", "Hosts, the hottest first", _HOSTS, rows, left)


def _host(sight: _Sight, row: int) -> tuple[Cell, ...]:
    hosts, heat = sight.pool.hosts, sight.heat
    cpus = max(float(hosts.capacity[row, :, CPU].sum()) / 1000, 1e-9)
    state = "to cool" if heat.acting[row] else "hot now" if heat.now[row] else "cool"
    return (
        hosts.id[row],
        state,
        _cell(heat.cpu_share[row]),
        _cell(heat.cpu_ahead[row]),
        _cell(heat.risk[row]),
        _cell(sight.reserved[row]),
        _cell(heat.memory_share[row]),
        _cell(heat.memory_ahead[row]),
        _cell(hosts.load[row] / cpus),
        _cell(hosts.cpu_pressure[row]),
        _cell(hosts.memory_pressure[row]),
        _cell(hosts.swap[row]),
    )


def _cell(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)


def _loud(sight: _Sight) -> Grid:
    ids, hosts = sight.pool.instances.id, sight.pool.hosts.id
    rows = tuple(
        (
            ids[each.instance],
            hosts[each.host],
            round(each.used_share, 4),
            round(each.beyond_milli / 1000, 2),
            ", ".join(f"{ids[row]} {wait:.0%}" for row, wait in each.victims),
        )
        for each in sight.noisy[:SHOWN]
    )
    left = max(len(sight.noisy) - SHOWN, 0)
    return Grid("noisy", "Noisy neighbours", _NOISY, rows, left)


def _pictures(sight: _Sight) -> list[Picture]:
    rows = sight.on[:STRIPES]
    if not len(rows):
        return []
    heat = sight.heat
    labels = tuple(sight.pool.hosts.id[row] for row in rows.tolist())
    series = (
        Series("in use", _values(heat.cpu_share[rows])),
        Series("by forecast", _values(heat.cpu_ahead[rows])),
        Series("sold", _values(sight.reserved[rows])),
    )
    title = "CPUs of the hottest hosts: in use, by forecast, sold"
    return [Picture("hosts", title, Form.BARS, labels, series, "share")]


def _values(column: FloatArray) -> tuple[float, ...]:
    return tuple(np.nan_to_num(column).round(4).tolist())
