# SPDX-License-Identifier: Apache-2.0
"""LR-MMT, the published controller, by its rules (Beloglazov and Buyya 2012; CloudSim 3.0.3).

A host is overloaded when a local regression (tricube weights) over its last ten samples foresees,
times a safety of 1.2, more than it has. Of an overloaded host the instance with the least memory
moves first, until it is overloaded no more; each goes, largest use first, where it adds least power
(PABFD). Then the host with the least use is emptied if all its instances find another place, and
so on. The regression is linear in the samples, so each instance has one number and hosts sum them.
"""

import numpy as np

from benchmarks.power_replay import (
    HOSTS_OF_A_KIND,
    MIPS,
    Array,
    Day,
    Mask,
    Outcome,
    Rows,
    Standing,
    replay,
    watts,
)
from billow.model.pool import Pool

SAMPLES = 10
SAFETY = 1.2
FIRST_THRESHOLD = 0.7
"""Of the present use, while there are fewer samples."""


def peer_day(day: Day, start: Standing) -> Outcome:
    """Return what LR-MMT makes of a day from the same first placement."""
    return replay(day, start, LocalRegression(day))


class LocalRegression:
    """One controller for a day."""

    def __init__(self, day: Day) -> None:
        self._memory = day.memory_mb
        self._mips = np.repeat(MIPS, HOSTS_OF_A_KIND).astype(np.float64)
        self._weights = _next_of(SAMPLES)
        self._use: Array = np.zeros(0)
        self._score: Array = np.zeros(0)
        self._host: Rows = np.zeros(0, dtype=np.int64)
        self._load: Array = np.zeros(0)
        self._foreseen: Array = np.zeros(0)

    def __call__(self, pool: Pool) -> Standing:
        """Return where instances are after one look at the hosts."""
        assert pool.history is not None
        past = pool.history.cpu.astype(np.float64)
        self._use = past[:, -1]
        enough = past.shape[1] >= SAMPLES
        foreseen = SAFETY * past[:, -SAMPLES:] @ self._weights if enough else None
        self._score = self._use / FIRST_THRESHOLD if foreseen is None else foreseen
        self._host = pool.instances.host.astype(np.int64)
        self._load = np.bincount(self._host, self._use, len(self._mips)).astype(np.float64)
        self._foreseen = np.bincount(self._host, self._score, len(self._mips)).astype(np.float64)
        self._empty(*self._relieve())
        return Standing(self._host, np.bincount(self._host, minlength=len(self._mips)) > 0)

    def _relieve(self) -> tuple[Mask, Mask]:
        hot = np.flatnonzero(self._foreseen >= self._mips)
        leaving: list[int] = []
        source = self._host.copy()
        for host in hot:
            there = np.flatnonzero(source == host)
            for instance in there[np.argsort(self._memory[there], kind="stable")]:
                if self._foreseen[host] < self._mips[host]:
                    break
                self._leave(int(instance))
                leaving.append(int(instance))
        closed = np.zeros(len(self._mips), dtype=np.bool_)
        closed[hot] = True
        busy = closed.copy()
        for instance in sorted(leaving, key=lambda each: -self._use[each]):
            target = self._place(instance, closed)
            self._enter(instance, int(source[instance]) if target is None else target)
            busy[self._host[instance]] = True
        return closed, busy

    def _empty(self, closed: Mask, tried: Mask) -> None:
        """Empty hosts, but for those that were hot (closed) or have just been given something."""
        tried |= np.bincount(self._host, minlength=len(self._mips)) == 0
        while not tried.all():
            share = np.where(tried, np.inf, self._load / self._mips)
            host = int(np.argmin(share))
            tried[host] = closed[host] = True
            off = ~(np.bincount(self._host, minlength=len(self._mips)) > 0)
            targets = self._all_away(host, closed | off)
            if targets is None:
                continue
            tried[targets] = True

    def _all_away(self, host: int, closed: Mask) -> list[int] | None:
        there = np.flatnonzero(self._host == host)
        placed: list[tuple[int, int]] = []
        for instance in there[np.argsort(-self._use[there], kind="stable")].tolist():
            target = self._place(instance, closed)
            if target is None:
                for back, _ in placed:
                    self._leave(back)
                    self._enter(back, host)
                return None
            self._leave(instance)
            self._enter(instance, target)
            placed.append((instance, target))
        return [target for _, target in placed]

    def _place(self, instance: int, closed: Mask) -> int | None:
        """Return the host whose draw grows least and that stays below its limits."""
        use, score = self._use[instance], self._score[instance]
        after = self._load + use
        good = ~closed & (after <= self._mips) & (self._foreseen + score < self._mips)
        if not good.any():
            return None
        more = watts(after / self._mips) - watts(self._load / self._mips)
        return int(np.argmin(np.where(good, more, np.inf)))

    def _leave(self, instance: int) -> None:
        host = self._host[instance]
        self._load[host] -= self._use[instance]
        self._foreseen[host] -= self._score[instance]

    def _enter(self, instance: int, host: int) -> None:
        self._host[instance] = host
        self._load[host] += self._use[instance]
        self._foreseen[host] += self._score[instance]


def _next_of(count: int) -> Array:
    """Return the weights of samples in what the local regression foresees for the next."""
    at = np.arange(count, dtype=np.float64)
    tricube = (1 - ((count - 1 - at) / count) ** 3) ** 3
    design = np.stack([np.ones(count), at])
    next_at = np.array([1.0, count])
    weights: Array = next_at @ np.linalg.inv(design * tricube @ design.T) @ (design * tricube)
    return weights
