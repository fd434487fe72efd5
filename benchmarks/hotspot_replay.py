# SPDX-License-Identifier: Apache-2.0
"""A pool that lives through a trace under a controller, sample by sample.

The controller sees the pool and its history up to the sample that has just been taken, and only
what a host could give: on a host that is over capacity every instance is seen to use less than it
wanted. Its moves hold from the next sample on.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.hotspot_traces import STEP_S, Trace
from billow.model.column import frozen
from billow.model.history import History, Samples
from billow.model.hosts import Hosts
from billow.model.instances import Instances
from billow.model.kinds import State, code_of
from billow.model.pool import Pool
from billow.model.resources import FloatArray, RowArray
from billow.model.shape import Shape

Moves = Sequence[tuple[int, int]]
"""Rows of instances and of the hosts that they go to."""
Controller = Callable[[Pool], Moves]
NEAR_FULL = 0.9
DAY = 86_400 // STEP_S
SLACK = 1.25
"""A host may sell so many times what the pool sells on average, so that something can move."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run.

    Attributes:
        over: Share of host time in which more CPU was wanted than there is.
        near: Share of host time over 90 %.
        lost: Share of the wanted CPU time that was not given.
        moves: Per host and day.
        seconds: Processor time of the controller, in all.
    """

    sold: float
    hosts: int
    over: float
    near: float
    lost: float
    moves: float
    seconds: float


def replayed(trace: Trace, cpus: float, times: float, controller: Controller) -> Outcome:
    """Run a trace on as many hosts as sell each CPU at least `times` times."""
    return replayed_on(trace, cpus, hosts_for(trace, cpus, times), controller)


def hosts_for(trace: Trace, cpus: float, times: float) -> int:
    """Return on how many hosts each CPU is sold at least `times` times."""
    return max(2, int(trace.bought.sum() / (1000 * cpus * times)))


def replayed_on(
    trace: Trace,
    cpus: float,
    count: int,
    controller: Controller,
    give_up: tuple[float, float] = (math.inf, math.inf),
) -> Outcome:
    """Run a trace on so many hosts.

    It ends early, with shares that count the rest of the time as free of overload and moves, when
    overload and moves per host and day can no longer stay below what `give_up` says.
    """
    pool = start(trace, cpus, count)
    capacity = 1000 * cpus
    wanted = np.nan_to_num(trace.wanted)
    seen = np.full(trace.wanted.shape, np.nan, dtype=np.float32)
    host = pool.instances.host.copy()
    settled = np.zeros(len(host))
    totals = np.zeros((wanted.shape[1], count))
    seconds, days = 0.0, wanted.shape[1] * STEP_S / 86_400
    made = np.zeros(wanted.shape[1], dtype=np.int64)
    for at in range(wanted.shape[1]):
        total = np.bincount(host, wanted[:, at], count)
        totals[at] = total
        given = np.minimum(1.0, capacity / np.maximum(total, 1e-9))[host]
        seen[:, at] = np.where(np.isnan(trace.wanted[:, at]), np.nan, wanted[:, at] * given)
        lately = int(made[max(0, at - DAY) : at].sum())
        now = sensed(pool, host, settled, seen[:, : at + 1], 1.0 - given, moved=lately)
        began = time.process_time()
        wishes = controller(now)
        seconds += time.process_time() - began
        for row, target in wishes:
            host[row], settled[row] = target, STEP_S * (at + 1.0)
        made[at] = len(wishes)
        if (totals > capacity).mean() > give_up[0] or made.sum() > give_up[1] * count * days:
            break
    return Outcome(
        sold=float(trace.bought.sum() / (capacity * count)),
        hosts=count,
        over=float((totals > capacity).mean()),
        near=float((totals > NEAR_FULL * capacity).mean()),
        lost=float(np.maximum(totals - capacity, 0).sum() / totals.sum()),
        moves=float(made.sum()) / count / days,
        seconds=seconds,
    )


def start(trace: Trace, cpus: float, count: int) -> Pool:
    """Return the pool at the start: only what was bought is known, spread evenly by that."""
    capacity = np.zeros((count, 1, 4), dtype=np.int64)
    capacity[:, 0, 0] = 1000 * cpus
    capacity[:, 0, 1] = int(4 * trace.memory_mib.sum() / count)
    sold = float(trace.bought.sum() / (1000 * cpus * count))
    hosts = Hosts.of_columns(
        [f"h{number:04}" for number in range(count)], capacity, cpu_ratio=SLACK * max(sold, 1.0)
    )
    kinds = sorted(
        {(int(cpu), int(mib)) for cpu, mib in zip(trace.bought, trace.memory_mib, strict=True)}
    )
    shapes = [Shape(f"s{cpu}-{mib}", cpu, mib) for cpu, mib in kinds]
    place = {kind: number for number, kind in enumerate(kinds)}
    shape = [
        place[int(cpu), int(mib)] for cpu, mib in zip(trace.bought, trace.memory_mib, strict=True)
    ]
    instances = Instances.of_columns(
        [f"i{number:05}" for number in range(len(shape))],
        np.array(shape),
        _spread(trace, count),
        state=np.full(len(shape), code_of(State.RUNNING), dtype=np.uint8),
    )
    return Pool.of_columns(hosts, instances, shapes=shapes)


def sensed(
    pool: Pool, host: RowArray, settled: FloatArray, seen: Samples, wait: FloatArray, moved: int
) -> Pool:
    """Return the pool as it is seen at the last sample, `moved` moves after the day before."""
    at = seen.shape[1] - 1
    instances = replace(
        pool.instances,
        host=frozen(host.copy()),
        cpu_used=frozen(seen[:, -1].astype(np.float32)),
        cpu_wait=frozen(wait.astype(np.float32)),
    )
    history = History(
        STEP_S, STEP_S * at, pool.instances.id, seen, np.full(seen.shape, np.nan, np.float32),
        np.zeros(len(host)), settled, moved=moved,
    )  # fmt: skip
    used = np.bincount(host, np.nan_to_num(seen[:, -1]), len(pool.hosts))
    hosts = replace(pool.hosts, cpu_used=frozen(used))
    return replace(pool, hosts=hosts, instances=instances, taken_at=STEP_S * at, history=history)


def _spread(trace: Trace, count: int) -> RowArray:
    """Return a host for each instance: the largest first, each to who has sold least."""
    sold, host = np.zeros(count), np.zeros(len(trace.bought), dtype=np.int32)
    for row in np.argsort(-trace.bought, kind="stable").tolist():
        host[row] = int(sold.argmin())
        sold[host[row]] += trace.bought[row]
    return host
