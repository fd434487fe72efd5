# SPDX-License-Identifier: Apache-2.0
"""What instances will want of their hosts, from what they used: one resource at a time.

Deviations are kept sample by sample, so that moving an instance takes its peaks along, and those
who never peak together may share a host.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from billow.capabilities.hotspot.policy import HotspotPolicy
from billow.model.history import History, Samples
from billow.model.kinds import State, code_of
from billow.model.pool import Pool
from billow.model.resources import CPU, MEMORY, BoolArray, FloatArray
from billow.plan.forecast import Outlook, leaning, outlook, persistence, skewed, sums, thirds

Rows = npt.NDArray[np.intp]

Depths = tuple[FloatArray, FloatArray]
"""How many deviations below full: soon, and in the long run."""

LEAST_OPEN = 0.05
MOST_OVERHEAD = 1.25
"""What hosts use beyond their instances counts up to this; more is a finding, not a rule."""


@dataclass(eq=False)
class Demand:
    """One resource of the whole pool, now and to come; moves change the hosts' rows.

    Attributes:
        capacity: What hosts have for instances, `(hosts,)`.
        ahead, usual: Expected use of each instance over the horizon and in the long run,
            `(instances,)`.
        last: What it uses now, `(instances,)`.
        seen: Whether that was ever seen, `(instances,)`.
        swing: Its samples less their mean, weighted so that the squares of a row sum to their
            variance; zero where not seen, `(instances, window)`.
        alone: Variance that these samples do not show, `(instances,)`.
        third: Third central moment of each, `(instances,)`: how heavy its upper tail is.
        forecast, usually, now: Sums over a host's instances, `(hosts,)`.
        sway, apart, lean: Sums of `swing`, `alone` and `third`; the first `(hosts, window)`,
            the others `(hosts,)`.
        stays: Which part of a deviation is still there, on average over the horizon.
    """

    capacity: FloatArray
    ahead: FloatArray
    usual: FloatArray
    last: FloatArray
    seen: BoolArray
    swing: Samples
    alone: FloatArray
    third: FloatArray
    forecast: FloatArray
    usually: FloatArray
    now: FloatArray
    sway: FloatArray
    apart: FloatArray
    lean: FloatArray
    stays: float

    @property
    def open(self) -> float:
        """Which part of a variance is still open over the horizon."""
        return max(1.0 - self.stays**2, LEAST_OPEN)

    @property
    def depth(self) -> FloatArray:
        """How many deviations each host's forecast is below full, `(hosts,)`."""
        return self.depths_of(np.arange(len(self.capacity)))[0]

    def depths_of(self, hosts: Rows) -> Depths:
        """Return the same for some hosts, soon and in the long run, `(len,)` each."""
        variance = self._square[hosts] + self.apart[hosts]
        means = self.forecast[hosts], self.usually[hosts]
        return self._depths(self.capacity[hosts], means, variance, self.lean[hosts])

    def depths_with(self, instance: int, hosts: Rows) -> Depths:
        """Return the same as if each of these hosts had this instance as well."""
        swing = self.swing[instance].astype(np.float64)
        together = self.sway[hosts] @ swing
        variance = self._square[hosts] + 2 * together + swing @ swing
        variance += self.apart[hosts] + self.alone[instance]
        means = (
            self.forecast[hosts] + self.ahead[instance],
            self.usually[hosts] + self.usual[instance],
        )
        lean = self.lean[hosts] + self.third[instance]
        return self._depths(self.capacity[hosts], means, variance, lean)

    def depths_without(self, instances: Rows, host: int) -> Depths:
        """Return the same for one host as if each of these had left it."""
        swing = self.swing[instances].astype(np.float64)
        together = swing @ self.sway[host]
        variance = self._square[host] - 2 * together + (swing**2).sum(axis=1)
        variance += self.apart[host] - self.alone[instances]
        means = (
            self.forecast[host] - self.ahead[instances],
            self.usually[host] - self.usual[instances],
        )
        lean = self.lean[host] - self.third[instances]
        return self._depths(self.capacity[host], means, variance, lean)

    def move(self, instance: int, source: int, target: int) -> None:
        """Take an instance from one host's sums to another's."""
        for host, sign in ((source, -1.0), (target, 1.0)):
            self.forecast[host] += sign * self.ahead[instance]
            self.usually[host] += sign * self.usual[instance]
            self.now[host] += sign * self.last[instance]
            self.sway[host] += sign * self.swing[instance]
            self.apart[host] += sign * self.alone[instance]
            self.lean[host] += sign * self.third[instance]
            self._square[host] = self.sway[host] @ self.sway[host]

    def _depths(
        self,
        room: FloatArray | np.float64,
        means: tuple[FloatArray, FloatArray],
        variance: FloatArray,
        lean: FloatArray,
    ) -> Depths:
        least = (1e-3 * room) ** 2 + 1e-9  # a thousandth of a host is never known better
        soon, usually = means
        near = np.sqrt(np.maximum(self.open * variance, least))
        far = np.sqrt(np.maximum(variance, least))
        fresh = max(1.0 - self.stays**3, LEAST_OPEN) * lean
        return (
            skewed((room - soon) / near, fresh / near**3),
            skewed((room - usually) / far, lean / far**3),
        )

    def __post_init__(self) -> None:
        self._square: FloatArray = (self.sway**2).sum(axis=1)


def demands(pool: Pool, policy: HotspotPolicy) -> tuple[Demand, Demand]:
    """Return what is wanted of CPUs and of memory. Linear in instances times window."""
    return _cpu(pool, policy), _memory(pool, policy)


def _cpu(pool: Pool, policy: HotspotPolicy) -> Demand:
    ours = pool.instances
    size = pool.demand[ours.shape, CPU].astype(np.float64)
    size[ours.state != code_of(State.RUNNING)] = 0.0
    waited = np.clip(np.nan_to_num(ours.cpu_wait), 0.0, 0.9)
    last = np.minimum(ours.cpu_used / (1.0 - waited), np.maximum(size, ours.cpu_used))
    past = None if pool.history is None else pool.history.cpu_of(ours.id)
    capacity = pool.hosts.capacity[:, :, CPU].sum(axis=1) / _overhead(pool)
    return _demand(pool, policy, _Input(size, last.astype(np.float64), past, capacity))


def _memory(pool: Pool, policy: HotspotPolicy) -> Demand:
    ours = pool.instances
    size = pool.demand[ours.shape, MEMORY].astype(np.float64)
    size[(ours.state != code_of(State.RUNNING)) & (ours.state != code_of(State.PAUSED))] = 0.0
    last = (ours.memory_used + np.nan_to_num(ours.ballooned)).astype(np.float64)
    past = None if pool.history is None else pool.history.memory_of(ours.id)
    capacity = pool.hosts.capacity[:, :, MEMORY].sum(axis=1).astype(np.float64)
    return _demand(pool, policy, _Input(size, last, past, capacity))


@dataclass(frozen=True, eq=False)
class _Input:
    size: FloatArray
    last: FloatArray
    past: Samples | None
    capacity: FloatArray


def _demand(pool: Pool, policy: HotspotPolicy, given: _Input) -> Demand:
    samples = _samples(given, policy.window_samples)
    samples[given.size == 0] = np.nan
    own = outlook(samples, policy.half_life_samples)
    lean = leaning(own, given.size)
    stays = 1.0 if given.past is None else persistence(samples, policy.horizon_samples)
    last = np.where(np.isnan(given.last), lean.last, given.last)
    last[given.size == 0] = 0.0
    ahead = lean.mean + stays * (last - lean.mean)
    swing = _swing(samples, own, policy.half_life_samples)
    alone = np.maximum(lean.variance - (swing.astype(np.float64) ** 2).sum(axis=1), 0.0)
    third = thirds(samples, own.mean, given.size, policy.half_life_samples)
    host, count = pool.instances.host, len(pool.hosts)
    return Demand(
        capacity=given.capacity,
        ahead=ahead,
        usual=lean.mean,
        last=last,
        seen=own.seen > 0,
        swing=swing,
        alone=alone,
        third=third,
        forecast=_by_host(pool, ahead),
        usually=_by_host(pool, lean.mean),
        now=_by_host(pool, last),
        sway=sums(swing, host, count, np.zeros(len(host))),
        apart=_by_host(pool, alone),
        lean=_by_host(pool, third),
        stays=stays,
    )


def _by_host(pool: Pool, values: FloatArray) -> FloatArray:
    """Add what instances have by host, `(hosts,)`."""
    placed = pool.instances.host >= 0
    host = pool.instances.host[placed]
    return np.bincount(host, values[placed], len(pool.hosts)).astype(np.float64)


def _samples(given: _Input, window: int) -> Samples:
    """Return the past, or what is seen now where there is none, `(instances, window) float32`."""
    now = given.last[:, None].astype(np.float32)
    if given.past is None or np.isnan(given.past).all():
        return now
    samples = given.past[:, -window:].astype(np.float32)
    unknown = np.isnan(samples).all(axis=1)
    samples[unknown, -1] = now[unknown, 0]
    return samples


def _swing(samples: Samples, own: Outlook, half_life: float) -> Samples:
    count = samples.shape[1]
    weights = np.exp2(-np.arange(count - 1, -1, -1) / half_life)
    there = ~np.isnan(samples)
    total = np.maximum(there @ weights, 1e-9)
    apart = np.where(there, samples - own.mean[:, None], 0.0)
    swing: Samples = (apart * np.sqrt(weights / total[:, None])).astype(np.float32)
    return swing


def _overhead(pool: Pool) -> float:
    """Return how much more hosts use than their instances, as a factor that no move changes."""
    hosts, ours = pool.hosts, pool.instances
    placed = ours.host >= 0
    if np.isnan(hosts.cpu_used).any() or not placed.any():
        return 1.0
    inside = float(ours.cpu_used[placed].sum())  # NaN when one was not seen
    if not inside > 0:
        return 1.0
    return float(np.clip(hosts.cpu_used.sum() / inside, 1.0, MOST_OVERHEAD))


def moves_lately(history: History | None) -> int:
    """Return how many moves there were within the last day.

    Where nobody counted them, those of which an instance still shows that it was moved.
    """
    if history is None:
        return 0
    if history.moved is not None:
        return history.moved
    moved = (history.settled > history.until - 86_400.0) & (history.settled > history.born)
    return int(moved.sum())
