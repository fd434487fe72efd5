# SPDX-License-Identifier: Apache-2.0
"""A peer for hotspot: the rule of OpenStack Watcher's strategy `workload_stabilization`.

Rebuilt from its published description, with none of its code: if the standard deviation of hosts'
load is above a threshold, every instance's move is simulated, the moves are sorted by the
deviation that they would leave, and done in that order while each lowers it, until it is below the
threshold. Loads are averages over 10 minutes of a host and 12 of an instance. `retry` tries one
random other host for each instance (the default), `fullsearch` all.
"""

from enum import StrEnum

import numpy as np

from benchmarks.hotspot_replay import Moves
from billow.model.pool import Pool
from billow.model.resources import CPU, FloatArray, RowArray
from billow.plan.draft import Draft

HOST_SAMPLES = 2
INSTANCE_SAMPLES = 2


class Choice(StrEnum):
    """Which hosts are tried for an instance."""

    RETRY = "retry"
    FULLSEARCH = "fullsearch"


class Watcher:
    """The rule with its state: the dice of `retry`, and the load before."""

    def __init__(self, threshold: float = 0.2, choice: Choice = Choice.RETRY) -> None:
        self._threshold = threshold
        self._choice = choice
        self._dice = np.random.default_rng(7)
        self._loads: list[FloatArray] = []

    def __call__(self, pool: Pool) -> Moves:
        """Return what the rule moves after this sample."""
        capacity = pool.hosts.capacity[:, :, CPU].sum(axis=1).astype(np.float64)
        self._loads = [*self._loads, pool.hosts.cpu_used / capacity][-HOST_SAMPLES:]
        load = np.mean(self._loads, axis=0)
        if load.std() <= self._threshold:
            return []
        assert pool.history is not None
        recent = pool.history.cpu[:, -INSTANCE_SAMPLES:]
        use = np.nan_to_num(recent).mean(axis=1).astype(np.float64)
        return self._done(pool, load, use, capacity)

    def _done(
        self, pool: Pool, load: FloatArray, use: FloatArray, capacity: FloatArray
    ) -> list[tuple[int, int]]:
        draft, moves, least = Draft(pool), [], 1.0
        host = pool.instances.host
        target, left = self._simulated(load, use, capacity, host)
        for row in np.argsort(left, kind="stable").tolist():
            to, source = int(target[row]), int(host[row])
            after = load.copy()
            after[source] -= use[row] / capacity[source]
            after[to] += use[row] / capacity[to]
            deviation = float(after.std())
            if deviation < least and draft.assign(row, to):
                least, load = deviation, after
                moves.append((row, to))
            if deviation < self._threshold:
                break
        return moves

    def _simulated(
        self, load: FloatArray, use: FloatArray, capacity: FloatArray, host: RowArray
    ) -> tuple[RowArray, FloatArray]:
        """Return for each instance the host that is tried, and the deviation it would leave."""
        count, rows = len(load), np.arange(len(use))
        away = use / capacity[host]
        squares, mean = float((load**2).sum()), load.mean()

        def left(to: RowArray) -> FloatArray:
            more = use / capacity[to]
            total = squares - load[host] ** 2 + (load[host] - away) ** 2
            total = total - load[to] ** 2 + (load[to] + more) ** 2
            variance = total / count - (mean + (more - away) / count) ** 2
            deviation: FloatArray = np.sqrt(np.maximum(variance, 0))
            return deviation

        if self._choice is Choice.RETRY:
            target = ((host + self._dice.integers(1, count, len(use))) % count).astype(np.int32)
            return target, left(target)
        every = np.array([left(np.full(len(use), to, dtype=np.int32)) for to in range(count)])
        every[host, rows] = np.inf
        target = every.argmin(axis=0).astype(np.int32)
        return target, every[target, rows]
