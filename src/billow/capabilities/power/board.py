# SPDX-License-Identifier: Apache-2.0
"""How likely each host is to be asked for more CPU than it has, kept up to date move by move.

A host's use is the sum of its instances': means add up, and the spread of the sum is taken half
from what its instances did together lately and half from their own spreads as if they knew nothing
of each other. What is many times smaller than a host adds mean and hardly any spread, so hosts
are filled by their risk and not by their mean.
"""

import numpy as np
import numpy.typing as npt

from billow.capabilities.power.forecast import Forecast
from billow.model.instances import NOWHERE
from billow.model.resources import FloatArray, RowArray

TOGETHER_SHARE = 0.5
"""How much the common history of a host's instances counts against their own spreads."""
FULL_HISTORY = 72
"""Samples after which it counts that much."""

Rows = npt.NDArray[np.intp]
_SLOPE = 0.4
"""How fast the tail of a normal value falls at its mean, per standard deviation."""


class Board:
    """Expected use of hosts; instances that use nothing anywhere are not on it.

    Attributes:
        forecast: Of each instance.
        limit: What each host may be asked for, `(hosts,) float64`.
        host: Host row of each instance or NOWHERE, `(instances,)`.
        mean, variance: Of each host, `(hosts,) float64`.
        count: How many instances are on each host, `(hosts,) int64`.
    """

    def __init__(self, forecast: Forecast, limit: FloatArray, host: RowArray) -> None:
        self.forecast = forecast
        self.limit = np.maximum(limit, 1e-6)
        self.host = host.astype(np.int64)
        rows, placed = len(limit), np.flatnonzero(self.host != NOWHERE)
        where = self.host[placed]
        self.mean: FloatArray = np.zeros(rows)
        self.variance: FloatArray = np.zeros(rows)
        np.add.at(self.mean, where, forecast.mean[placed])
        np.add.at(self.variance, where, forecast.variance[placed])
        self.count = np.bincount(where, minlength=rows)
        samples = forecast.errors.shape[1]
        self._share = TOGETHER_SHARE * min(1.0, samples / FULL_HISTORY)
        self._per_sample = self._share / max(samples, 1)
        self._errors = np.zeros((rows, samples), dtype=np.float32)
        np.add.at(self._errors, where, forecast.errors[placed])
        self._own = np.einsum("ij,ij->i", forecast.errors, forecast.errors).astype(np.float64)
        self._sum = np.einsum("ij,ij->i", self._errors, self._errors).astype(np.float64)
        self._order = np.argsort(self.host, kind="stable")
        self._starts = np.searchsorted(self.host[self._order], np.arange(rows + 1))
        self._crews: dict[int, set[int]] = {}
        self._risk = self._risk_of(slice(None))
        self._stale: set[int] = set()
        self._changed: set[int] = set()

    def risk(self) -> FloatArray:
        """Return how likely each host is over its limit, `(hosts,)`; 0 for an empty one."""
        if self._stale:
            rows = np.array(sorted(self._stale), dtype=np.intp)
            self._risk[rows] = self._risk_of(rows)
            self._stale.clear()
        return self._risk.copy()

    def changed(self) -> list[int]:
        """Return the hosts that got or lost instances since this was asked last, ascending."""
        changed = sorted(self._changed)
        self._changed.clear()
        return changed

    def drop(self, instances: Rows) -> FloatArray:
        """Return how much risk each placed instance takes away when it leaves its host."""
        ahead, host = self.forecast, self.host[instances]
        mean = self.mean[host] - ahead.mean[instances]
        variance = self.variance[host] - ahead.variance[instances]
        cross = np.einsum("ij,ij->i", ahead.errors[instances], self._errors[host])
        total = self._sum[host] + self._own[instances] - 2 * cross
        left = self._tail(mean, self._spread(variance, total), self.limit[host])
        dropped: FloatArray = self.risk()[host] - left
        return dropped

    def risk_with(self, instances: Rows, hosts: Rows) -> FloatArray:
        """Return the risk of hosts with each one of some more instances, `(instances, hosts)`."""
        ahead = self.forecast
        mean = self.mean[hosts] + ahead.mean[instances, None]
        variance = self.variance[hosts] + ahead.variance[instances, None]
        total = self._sum[hosts] + self._own[instances, None]
        if self._share:
            total += 2 * (ahead.errors[instances] @ self._errors[hosts].T)
        return self._tail(mean, self._spread(variance, total), self.limit[hosts])

    def move(self, instance: int, host: int) -> None:
        """Put an instance on a host, or on none."""
        was = int(self.host[instance])
        self.host[instance] = host
        if was != NOWHERE:
            self._crew(was).discard(instance)
            self._add(was, instance, -1)
        if host != NOWHERE:
            self._crew(host).add(instance)
            self._add(host, instance, 1)

    def on(self, host: int) -> Rows:
        """Return the instances on a host, ascending."""
        return np.array(sorted(self._crew(host)), dtype=np.intp)

    def _crew(self, host: int) -> set[int]:
        crew = self._crews.get(host)
        if crew is None:
            there = self._order[self._starts[host] : self._starts[host + 1]]
            crew = self._crews[host] = set(there.tolist())
        return crew

    def _add(self, row: int, instance: int, sign: int) -> None:
        ahead = self.forecast
        self.mean[row] += sign * ahead.mean[instance]
        self.variance[row] += sign * ahead.variance[instance]
        self.count[row] += sign
        self._errors[row] += np.float32(sign) * ahead.errors[instance]
        self._sum[row] = float(self._errors[row] @ self._errors[row])
        self._stale.add(row)
        self._changed.add(row)

    def _risk_of(self, rows: Rows | slice) -> FloatArray:
        spread = self._spread(self.variance[rows], self._sum[rows])
        risk = self._tail(self.mean[rows], spread, self.limit[rows])
        return np.where(self.count[rows] > 0, risk, 0.0)

    def _spread(self, variance: FloatArray, squares: FloatArray) -> FloatArray:
        mixed = (1 - self._share) * variance + self._per_sample * squares
        spread: FloatArray = np.sqrt(np.maximum(mixed, 1e-12))
        return spread

    @staticmethod
    def _tail(mean: FloatArray, spread: FloatArray, limit: FloatArray) -> FloatArray:
        """Return how likely a normal value is above a limit (to 0.0002, Page 1977).

        Above one half it goes on as a straight line, so that a host that is certainly over its
        limit is better off by every instance that leaves it.
        """
        depth = np.clip((limit - mean) / spread, -100.0, 8.0)
        above = np.maximum(depth, 0.0)
        tail: FloatArray = 1.0 / (1.0 + np.exp(above * (1.5976 + 0.07056 * above * above)))
        return tail - _SLOPE * np.minimum(depth, 0.0)
