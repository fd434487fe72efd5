# SPDX-License-Identifier: Apache-2.0
"""What the two classes want of each host: the peak of one by forecast, what the other may use.

All of it comes from measurements that no step of a plan changes, and from limits and states that
steps do change: so what is decided on it is decided once.
"""

from dataclasses import dataclass

import numpy as np

from billow.capabilities.mixed.policy import MixedPolicy
from billow.model.kinds import Power, Service, State, code_of
from billow.model.pool import Pool
from billow.model.resources import CPU, BoolArray, FloatArray
from billow.plan.forecast import depth, newest, outlook, sums

UNSEEN_SHARE = 0.5
"""Part of its CPUs that an instance is taken to want when nothing was ever seen of it."""
GROWTH = 0.1
"""What latency-sensitive instances may want beyond now when there is no past: of their CPUs."""
FEWEST = 8
"""Samples below which the past says too little of how fast use grows."""
_MOST_WAIT = 0.9


@dataclass(frozen=True, eq=False)
class Demand:
    """Thousandths of a CPU, unless stated otherwise.

    Attributes:
        capacity: What hosts have, `(hosts,)`; nothing when they are not on.
        latency: What latency-sensitive instances want of their host now, `(hosts,)`.
        peak: The most that they will want within the horizon, `(hosts,)`.
        other: What a host needs for itself, on average over the pool.
        wait: Share of time that latency-sensitive instances waited, NaN where not seen, `(hosts,)`.
        size: What each instance was given, `(instances,)`.
        used: What each used, 0 where not seen, `(instances,)`.
        wanted: What each would use if it were alone, `(instances,)`.
        batch: Whose turn it is to give way: batch instances on hosts, `(instances,)`.
        running: Who runs on a host, `(instances,)`.
    """

    capacity: FloatArray
    latency: FloatArray
    peak: FloatArray
    other: float
    wait: FloatArray
    size: FloatArray
    used: FloatArray
    wanted: FloatArray
    batch: BoolArray
    running: BoolArray

    def most(self, share: float) -> FloatArray:
        """Return what batch may use when only this share of a host is to be filled, `(hosts,)`."""
        room: FloatArray = np.maximum(share * self.capacity - self.other - self.peak, 0.0)
        return np.where(self.capacity > 0, room, 0.0)


def demand_of(pool: Pool, policy: MixedPolicy) -> Demand:
    """Return what is wanted. Linear in instances times window."""
    ours, count = pool.instances, len(pool.hosts)
    size = pool.demand[ours.shape, CPU].astype(np.float64)
    used = ours.cpu_used.astype(np.float64)
    waited = np.clip(np.nan_to_num(ours.cpu_wait.astype(np.float64)), 0.0, _MOST_WAIT)
    wanted = np.clip(used / (1 - waited), used, np.maximum(size, used))
    batch = (ours.service == code_of(Service.BATCH)) & (ours.host >= 0)
    running = (ours.state == code_of(State.RUNNING)) & (ours.host >= 0)
    wanted = np.where(np.isnan(wanted), np.where(batch, 1.0, UNSEEN_SHARE) * size, wanted)
    first = running & ~batch
    latency = _summed(pool, np.where(first, wanted, 0.0))
    on = pool.hosts.power == code_of(Power.ON)
    capacity = pool.hosts.capacity[:, :, CPU].sum(axis=1).astype(np.float64)
    growth = GROWTH * _summed(pool, np.where(first, size, 0.0))
    return Demand(
        capacity=np.where(on, capacity, 0.0),
        latency=latency,
        peak=_peak(pool, policy, first, latency, growth),
        other=_overhead(pool) if count else 0.0,
        wait=_waited(pool, first, wanted),
        size=size,
        used=np.nan_to_num(used),
        wanted=wanted,
        batch=batch,
        running=running,
    )


def waiting(pool: Pool, policy: MixedPolicy, wait: FloatArray, part: float = 1.0) -> BoolArray:
    """Return the hosts whose latency-sensitive instances wait longer than part of the threshold.

    A host where nobody measures that waits when it is under pressure.
    """
    pressed: BoolArray = pool.hosts.cpu_pressure > part * policy.pressure_hot_share
    waits: BoolArray = wait > part * policy.wait_hot_share
    return np.where(np.isnan(wait), pressed, waits)


def _peak(
    pool: Pool, policy: MixedPolicy, first: BoolArray, latency: FloatArray, growth: FloatArray
) -> FloatArray:
    """Return the peak: now, and the growth within the horizon as it was within the window."""
    history = pool.history
    if history is None:
        return latency + growth
    ahead = policy.horizon_samples
    rows = np.flatnonzero(first)
    ids = [pool.instances.id[row] for row in rows.tolist()]
    samples = history.cpu_of(ids)[:, -(policy.window_samples + ahead) :]
    if samples.shape[1] < ahead + FEWEST:
        return latency + growth
    gap = np.nan_to_num(newest(samples))
    total = sums(samples, pool.instances.host[rows], len(pool.hosts), gap)
    grown = outlook(total[:, ahead:] - total[:, :-ahead])
    more = np.maximum(grown.peak(depth(policy.risk)), 0.0)
    rise: FloatArray = np.maximum(latency, total[:, -1]) + more
    return rise


def _waited(pool: Pool, first: BoolArray, wanted: FloatArray) -> FloatArray:
    """Return how long a host's latency-sensitive instances wait, each by what it wants."""
    ours = pool.instances
    seen = first & ~np.isnan(ours.cpu_wait) & (ours.cpu_limit == 0)
    weight = np.where(seen, wanted, 0.0)
    lost = _summed(pool, weight * np.nan_to_num(ours.cpu_wait.astype(np.float64)))
    total = _summed(pool, weight)
    known = np.bincount(ours.host[seen], minlength=len(pool.hosts)) > 0
    share: FloatArray = np.divide(lost, total, out=np.zeros_like(lost), where=total > 0)
    return np.where(known, share, np.nan)


def _overhead(pool: Pool) -> float:
    """Return what an average host uses beside its instances."""
    hosts, ours = pool.hosts, pool.instances
    on = (hosts.power == code_of(Power.ON)) & ~np.isnan(hosts.cpu_used)
    if not on.any():
        return 0.0
    placed = np.nan_to_num(ours.cpu_used[ours.host >= 0].astype(np.float64))
    return max(float(hosts.cpu_used[on].sum() - placed.sum()) / int(on.sum()), 0.0)


def _summed(pool: Pool, amounts: FloatArray) -> FloatArray:
    placed = pool.instances.host >= 0
    rows = pool.instances.host[placed]
    return np.bincount(rows, amounts[placed], minlength=len(pool.hosts)).astype(np.float64)
