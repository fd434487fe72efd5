# SPDX-License-Identifier: Apache-2.0
"""How full the pool is and when its hosts are expected to be empty. It reads; it places nothing."""

from typing import Final

import numpy as np

from billow.capabilities.placement.emptying import expected_emptying
from billow.capabilities.placement.lifetimes import AHEAD, expected_s
from billow.capabilities.placement.past import Past, numbered, past_of
from billow.capabilities.placement.solve import requests
from billow.model.history import Lives
from billow.model.instances import NOWHERE
from billow.model.pool import Pool
from billow.model.report import Better, Column, Form, Grid, Measure, Picture, Report, Series
from billow.model.resources import CPU, MEMORY, FloatArray, IntArray

MOST_ROWS: Final = 50
"""Rows of a table at most; the rest is counted."""
_AHEAD_H: Final = (1.0, 4.0, 12.0, 24.0, 72.0)
"""For which times ahead the emptying of hosts is shown, hours."""


def placement_report(pool: Pool) -> Report:
    """Return how full a pool is and, when lives are known, how its hosts are expected to empty."""
    serving = pool.hosts.schedulable
    used = np.bincount(_hosts_of(pool), minlength=len(pool.hosts)) > 0
    cpu, memory = (_filled(pool, resource) for resource in (CPU, MEMORY))
    waiting = len(requests(pool))
    measures = (
        Measure("placed", "instances on hosts", float(len(_hosts_of(pool))), "instances"),
        Measure("waiting", "requests", float(waiting), "instances", Better.DOWN),
        Measure("hosts_used", "hosts with instances", float(used.sum()), "hosts", Better.DOWN),
        Measure("hosts_empty", "empty hosts", float((serving & ~used).sum()), "hosts", Better.UP),
        Measure("cpu_sold_share", "CPU sold", cpu, "share"),
        Measure("memory_sold_share", "memory sold", memory, "share"),
    )
    summary = (
        f"{int(used.sum())} of {len(pool.hosts)} hosts carry instances; "
        f"{100 * cpu:.0f} % of the CPU and {100 * memory:.0f} % of the memory are sold."
    )
    grids, pictures = _expected(pool, past_of(pool))
    return Report("placement", "Placement", summary, measures, grids, pictures)


def _hosts_of(pool: Pool) -> IntArray:
    host = pool.instances.host
    there: IntArray = host[host != NOWHERE].astype(np.int64)
    return there


def _filled(pool: Pool, resource: int) -> float:
    serving = pool.hosts.schedulable
    reserved = float(pool.reserved[serving, resource].sum())
    total = reserved + float(pool.free[serving, resource].sum())
    return reserved / total if total else 0.0


def _expected(pool: Pool, past: Past | None) -> tuple[tuple[Grid, ...], tuple[Picture, ...]]:
    if past is None or pool.history is None or pool.history.lives is None:
        return (), ()
    hosts = expected_emptying(pool, past)
    return (_emptying_grid(pool, hosts), _lives_grid(pool.history.lives, past)), (_picture(hosts),)


def _emptying_grid(pool: Pool, empty: FloatArray) -> Grid:
    used = np.flatnonzero(~np.isnan(empty[:, 0]))
    left_h = expected_s(1.0 - empty[used]) / 3600.0
    order = np.argsort(left_h, kind="stable")[:MOST_ROWS]
    half_day = int(np.searchsorted(AHEAD, 12 * 3600.0))
    count = np.bincount(_hosts_of(pool), minlength=len(pool.hosts))
    return Grid(
        "emptying",
        "Hosts by when they are expected to be empty",
        (
            Column("host", "host", link="host"),
            Column("instances", "instances", "instances"),
            Column("left_h", "expected hours left", "h"),
            Column("empty_12h_share", "chance to be empty in 12 hours", "share"),
        ),
        tuple(
            (
                pool.hosts.id[used[row]],
                int(count[used[row]]),
                round(float(left_h[row]), 2),
                round(float(empty[used[row], half_day]), 4),
            )
            for row in order.tolist()
        ),
        left_out=max(0, len(used) - MOST_ROWS),
        note="Without new arrivals; beyond five days nothing is foretold.",
    )


def _lives_grid(lives: Lives, past: Past) -> Grid:
    which, first = numbered(lives.cpu_milli, lives.memory_mib)
    seen = np.bincount(which, minlength=len(first))
    ended = np.bincount(which, ~np.isnan(lives.ended), minlength=len(first))
    shapes = np.stack([lives.cpu_milli[first], lives.memory_mib[first]], axis=1)
    order = np.lexsort((shapes[:, 1], shapes[:, 0], -seen))
    pairs = [(int(cpu), int(memory)) for cpu, memory in shapes[order]]
    groups = np.array([past.lifetimes.group(pair) for pair in pairs], dtype=np.int64)
    survival = past.lifetimes.survival(groups, np.zeros(len(groups)))
    mean_h = expected_s(survival) / 3600.0 if len(groups) else np.zeros(0)
    hour, day = (int(np.searchsorted(AHEAD, hours * 3600.0)) for hours in (1.0, 24.0))
    rows = tuple(
        (
            cpu / 1000.0,
            memory,
            int(seen[order[row]]),
            int(ended[order[row]]),
            round(float(mean_h[row]), 2),
            round(float(survival[row, hour]), 4),
            round(float(survival[row, day]), 4),
        )
        for row, (cpu, memory) in enumerate(pairs[:MOST_ROWS])
    )
    columns = (
        Column("cpus", "CPUs", "cpus"),
        Column("memory_mib", "memory", "mib"),
        Column("seen", "seen", "instances"),
        Column("ended", "ended", "instances"),
        Column("life_h", "expected life", "h"),
        Column("over_1h_share", "live longer than about an hour", "share"),
        Column("over_24h_share", "live longer than about a day", "share"),
    )
    left_out = max(0, len(pairs) - MOST_ROWS)
    return Grid("lifetimes", "Learned lives by shape", columns, rows, left_out)


def _picture(empty: FloatArray) -> Picture:
    used = empty[~np.isnan(empty[:, 0])]
    places = [int(np.searchsorted(AHEAD, hours * 3600.0)) for hours in _AHEAD_H]
    freed = tuple(round(float(used[:, place].sum()), 3) for place in places)
    labels = tuple(f"{hours:g} h" for hours in _AHEAD_H)
    return Picture(
        "emptying",
        "Hosts expected to be empty, without new arrivals",
        Form.BARS,
        labels,
        (Series("hosts", freed),),
        "hosts",
    )
