# SPDX-License-Identifier: Apache-2.0
"""Replays arrivals on hosts without end, with one chooser; a chooser learns of ends as they come.

What a chooser sees: what is free now, what arrives now (a batch is one request, so its size is
known), and what ended before now. The trace's ends stay here.
"""

import heapq
import math
import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from benchmarks.arrivals_trace import Trace
from billow.capabilities.placement.lifetimes import Lifetimes, traits_of
from billow.capabilities.placement.outlook import Outlook
from billow.model.resources import BoolArray, FloatArray, IntArray

CORES, MEMORY_GB = 64, 256
"""What a host has."""
MORE = 512
"""Hosts that are added when all are in use."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a replay came to; `floor_host_hours` is what perfect packing at each instant needs."""

    host_hours: float
    floor_host_hours: float
    peak_hosts: int
    cpu_s: float


class Hosts:
    """What is free on each host, those never used included."""

    def __init__(self) -> None:
        self.cores: IntArray = np.full(MORE, CORES, dtype=np.int64)
        self.memory_gb: FloatArray = np.full(MORE, float(MEMORY_GB))
        self.count: IntArray = np.zeros(MORE, dtype=np.int64)
        self.used = 0

    def change(self, host: int, cores: int, memory_gb: float, sign: int) -> None:
        """Take (sign 1) from a host (row), or give back (sign -1)."""
        self.cores[host] -= sign * cores
        self.memory_gb[host] -= sign * memory_gb
        before = self.count[host]
        self.count[host] = before + sign
        self.used += int(not before) if sign > 0 else -int(before == 1)

    def empty(self) -> int:
        """Return the first host (row) without anything on it."""
        if self.used == len(self.count):
            self.cores = np.append(self.cores, np.full(MORE, CORES))
            self.memory_gb = np.append(self.memory_gb, np.full(MORE, float(MEMORY_GB)))
            self.count = np.append(self.count, np.zeros(MORE, dtype=np.int64))
        return int((self.count == 0).argmax())


class Chooser(Protocol):
    """Says where an arrival goes."""

    def choose(self, arrival: int, now: float, hosts: Hosts, fits: BoolArray) -> int | None:
        """Return a used host (row) with room, or None for an empty one."""

    def placed(self, arrival: int, host: int) -> None:
        """Learn where it went."""

    def ended(self, arrival: int, at: float, host: int, hosts: Hosts) -> None:
        """Learn that it is gone."""


class FirstFit:
    """The first host in use that has room."""

    def choose(self, arrival: int, now: float, hosts: Hosts, fits: BoolArray) -> int | None:
        """Return the first."""
        first = int(fits.argmax())
        return first if fits[first] else None

    def placed(self, arrival: int, host: int) -> None:
        """Learn nothing."""

    def ended(self, arrival: int, at: float, host: int, hosts: Hosts) -> None:
        """Learn nothing."""


class BestFit(FirstFit):
    """The host in use that has room and the least left of both resources together."""

    def choose(self, arrival: int, now: float, hosts: Hosts, fits: BoolArray) -> int | None:
        """Return the fullest."""
        left = np.where(fits, hosts.cores / CORES + hosts.memory_gb / MEMORY_GB, np.inf)
        best = int(left.argmin())
        return best if fits[best] else None


class Together:
    """Placement's lifetimes and outlook: the host that is kept in use the least by it."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._size = np.bincount(trace.batch)[trace.batch]
        self._cores = np.bincount(trace.batch, trace.cores)[trace.batch]
        self._learner = Lifetimes()
        self._outlook = Outlook(MORE)
        self._group = np.zeros(len(trace), dtype=np.int64)
        self._told: FloatArray = trace.arrival_s.copy()
        self._host = np.full(len(trace), -1, dtype=np.int64)
        self._now = -math.inf
        self._ends: list[int] = []
        self._batch_now = -1
        self._last: tuple[int, FloatArray] = (-1, np.zeros(0))

    def choose(self, arrival: int, now: float, hosts: Hosts, fits: BoolArray) -> int | None:
        """Return the host of the best score."""
        if now > self._now:
            self._renew(arrival, now, len(hosts.count))
        trace = self._trace
        if trace.batch[arrival] != self._batch_now:
            self._batch_now = int(trace.batch[arrival])
            self._need = float(self._cores[arrival])
        shape = int(trace.cores[arrival]), int(trace.memory_gb[arrival] * 1024)
        traits = traits_of(shape, int(self._size[arrival]), int(now // 3600 % 24))
        group = self._group[arrival] = self._learner.group(traits)
        if self._last[0] != group:
            survival = self._learner.survival(np.array([group]), np.zeros(1))[0]
            self._last = (group, survival)
        self._survival = self._last[1]
        if not fits.any():
            return None
        if len(fits) > len(self._outlook):
            self._outlook.grow(len(fits))
        wish = self._outlook.extension_h(self._survival, self._batch_now)[: len(fits)]
        same = self._outlook.batch[: len(fits)] == self._batch_now
        need = min(self._need, CORES)
        covered = np.minimum(hosts.cores, need) / need
        cost = wish - same - covered + np.arange(len(fits)) * 1e-4
        cost[~fits] = np.inf
        return int(cost.argmin())

    def placed(self, arrival: int, host: int) -> None:
        """Count it in."""
        self._host[arrival] = host
        self._need -= float(self._trace.cores[arrival])
        if host >= len(self._outlook):
            self._outlook.grow(host + MORE)
        self._outlook.enter(host, self._batch_now, self._survival)

    def ended(self, arrival: int, at: float, host: int, hosts: Hosts) -> None:
        """Remember it for the next look."""
        self._host[arrival] = -1
        self._ends.append(arrival)
        if not hosts.count[host]:
            self._outlook.clear(host)

    def _renew(self, arrival: int, now: float, hosts: int) -> None:
        """Learn what happened since the last look, and tell anew when hosts will be empty."""
        self._now = now
        born, leaves = self._trace.arrival_s, self._trace.leaves_s
        gone = np.array(self._ends, dtype=np.int64)
        self._ends = []
        self._learner.learn(
            self._group[gone], self._told[gone] - born[gone], leaves[gone] - born[gone], ended=True
        )
        here = np.flatnonzero(self._host[:arrival] >= 0)
        age = now - born[here]
        self._learner.learn(self._group[here], self._told[here] - born[here], age, ended=False)
        self._told[here] = now
        self._last = (-1, np.zeros(0))
        survival = self._learner.survival(self._group[here], age)
        self._outlook.renew(self._host[here], self._trace.batch[here], survival)


def replay(trace: Trace, chooser: Chooser) -> Result:
    """Place every arrival in turn; ends at or before an arrival come first."""
    started = time.process_time()
    hosts = Hosts()
    queue: list[tuple[float, int, int]] = []
    area = floor = 0.0
    cores, memory, peak = 0, 0.0, 0
    last = float(trace.arrival_s[0]) if len(trace) else 0.0
    columns = (trace.arrival_s, trace.cores, trace.memory_gb, trace.leaves_s)
    for arrival, (now, take, take_gb, leaves) in enumerate(
        zip(*(c.tolist() for c in columns), strict=True)
    ):
        while queue and queue[0][0] <= now:
            at, gone, host = heapq.heappop(queue)
            area += hosts.used * (at - last)
            floor += math.ceil(max(cores / CORES, memory / MEMORY_GB)) * (at - last)
            last = at
            lost, lost_gb = int(trace.cores[gone]), float(trace.memory_gb[gone])
            cores, memory = cores - lost, memory - lost_gb
            hosts.change(host, lost, lost_gb, -1)
            chooser.ended(gone, at, host, hosts)
        area += hosts.used * (now - last)
        floor += math.ceil(max(cores / CORES, memory / MEMORY_GB)) * (now - last)
        last = now
        fits = (hosts.cores >= take) & (hosts.memory_gb >= take_gb) & (hosts.count > 0)
        chosen = chooser.choose(arrival, now, hosts, fits)
        host = hosts.empty() if chosen is None else chosen
        hosts.change(host, take, take_gb, 1)
        cores, memory = cores + take, memory + take_gb
        peak = max(peak, hosts.used)
        if leaves < math.inf:
            heapq.heappush(queue, (leaves, arrival, host))
        chooser.placed(arrival, host)
    return Result(area / 3600, floor / 3600, peak, time.process_time() - started)
