# SPDX-License-Identifier: Apache-2.0
"""Replays arrivals on hosts without end, with one chooser; a chooser learns of ends as they come.

What a chooser sees: what is free now, what arrives now (a batch is one request, so its size is
known), and what ended before now. The trace's ends stay here.
"""

import heapq
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from benchmarks.arrivals_trace import Trace
from billow.capabilities.placement.company import Company, Guest
from billow.capabilities.placement.lifetimes import Lifetimes, expected_s, traits_of
from billow.model.resources import BoolArray, FloatArray, IntArray

CORES, MEMORY_GB = 64, 256
"""What a host has."""
MORE = 512
"""Hosts that are added when all are in use."""
LOOK_S = 300
"""How often is learned from what happened, seconds."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a replay came to; `floor_host_hours` is what perfect packing at each instant needs."""

    host_hours: float
    floor_host_hours: float
    peak_hosts: int
    cpu_s: float
    moves: int = 0


class Move(NamedTuple):
    """A live migration: which arrival goes from which host (row) to which."""

    arrival: int
    source: int
    target: int


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

    def choose(self, arrival: int, now: float, hosts: Hosts, fits: BoolArray, /) -> int | None:
        """Return a used host (row) with room, or None for an empty one."""

    def placed(self, arrival: int, host: int) -> None:
        """Learn where it went."""

    def ended(self, arrival: int, host: int) -> None:
        """Learn that it is gone."""

    def moves(self, now: float, hosts: Hosts, /) -> Iterable[Move]:
        """Yield what is to move now; each is done before the next is asked for."""


class FirstFit:
    """The first host in use that has room."""

    def choose(  # the first and the best fit know nothing but room
        self, _arrival: int, _now: float, _hosts: Hosts, fits: BoolArray
    ) -> int | None:
        """Return the first."""
        first = int(fits.argmax())
        return first if fits[first] else None

    def placed(self, arrival: int, host: int) -> None:
        """Learn nothing."""

    def ended(self, arrival: int, host: int) -> None:
        """Learn nothing."""

    def moves(self, _now: float, _hosts: Hosts) -> Iterable[Move]:
        """Move nothing."""
        return ()


class BestFit(FirstFit):
    """The host in use that has room and the least left of both resources together."""

    def choose(self, _arrival: int, _now: float, hosts: Hosts, fits: BoolArray) -> int | None:
        """Return the fullest."""
        left = np.where(fits, hosts.cores / CORES + hosts.memory_gb / MEMORY_GB, np.inf)
        best = int(left.argmin())
        return best if fits[best] else None


class Together:
    """The host of the best company, by the placement capability's own learner and costs."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._batch_size: list[int] = np.bincount(trace.batch)[trace.batch].tolist()
        cores = np.bincount(trace.batch, trace.cores)[trace.batch]
        self._batch_cores: list[float] = np.log2(cores).tolist()
        self._batch: list[int] = trace.batch.tolist()
        self._shapes = list(zip(trace.cores.tolist(), trace.memory_gb.tolist(), strict=True))
        self._lifetimes = Lifetimes()
        self._company = Company(MORE)
        self._group = np.zeros(len(trace), dtype=np.int64)
        self._told: FloatArray = trace.arrival_s.copy()
        self._here = np.zeros(len(trace), dtype=np.bool_)
        self._guests: dict[int, Guest] = {}
        self._lives: dict[int, float] = {}
        self._ends: list[int] = []
        self._told_at = -math.inf

    def choose(self, arrival: int, now: float, _hosts: Hosts, fits: BoolArray) -> int | None:
        """Return the host that suits best."""
        if now - self._told_at >= LOOK_S:
            self._look(arrival, now)
        if len(fits) > len(self._company):
            self._company.grow(len(fits))
        guest = self._guests[arrival] = self._guest(arrival, now)
        candidates = np.flatnonzero(fits)
        if not len(candidates):
            return None
        return int(candidates[self._company.misfit(guest, candidates).argmin()])

    def placed(self, arrival: int, host: int) -> None:
        """Count it in."""
        self._here[arrival] = True
        if host >= len(self._company):
            self._company.grow(host + MORE)
        self._company.enter(host, self._guests[arrival])

    def ended(self, arrival: int, host: int) -> None:
        """Count it out, and learn of it at the next look."""
        self._here[arrival] = False
        self._ends.append(arrival)
        self._company.leave(host, self._guests.pop(arrival))

    def moves(self, _now: float, _hosts: Hosts) -> Iterable[Move]:
        """Move nothing."""
        return ()

    def _guest(self, arrival: int, now: float) -> Guest:
        size, (cores, memory_gb) = self._batch_size[arrival], self._shapes[arrival]
        traits = traits_of((cores, int(memory_gb * 1024)), size, int(now // 3600 % 24))
        group = self._lifetimes.group(traits)
        self._group[arrival] = group
        life = self._lives.get(group)
        if life is None:
            survival = self._lifetimes.survival(np.array([group]), np.zeros(1))
            life = self._lives[group] = math.log2(expected_s(survival)[0] / 3600)
        return Guest(cores, life, self._batch_cores[arrival], now / 3600, self._batch[arrival])

    def _look(self, arrival: int, now: float) -> None:
        """Learn of those that ended since the last look, and of the ages of those that run."""
        self._told_at = now
        self._lives = {}
        gone, here = np.array(self._ends, dtype=np.int64), np.flatnonzero(self._here[:arrival])
        self._ends = []
        self._learn(gone, self._trace.leaves_s[gone], ended=True)
        self._learn(here, np.full(len(here), now), ended=False)

    def _learn(self, rows: IntArray, until: FloatArray, *, ended: bool) -> None:
        born = self._trace.arrival_s[rows]
        since, until_age = self._told[rows] - born, until - born
        self._lifetimes.learn(self._group[rows], since, until_age, ended=ended)
        self._told[rows] = until


class Meter:
    """Counts host-hours, and the least that perfect packing at each instant would need."""

    def __init__(self, begin: float) -> None:
        self.hosts_s = self.floor_s = 0.0
        self.peak = 0
        self._last = begin
        self._cores, self._memory_gb = 0, 0.0

    def until(self, now: float, used: int) -> None:
        """Count the time up to now with so many hosts in use."""
        if now > self._last:
            least = max(self._cores / CORES, self._memory_gb / MEMORY_GB)
            self.hosts_s += used * (now - self._last)
            self.floor_s += math.ceil(least) * (now - self._last)
            self._last = now

    def change(self, cores: int, memory_gb: float, used: int) -> None:
        """Note that so much came (or left, when negative), and how many hosts are in use then."""
        self._cores += cores
        self._memory_gb += memory_gb
        self.peak = max(self.peak, used)


class _Replay:
    """A trace under way: what is where, and what it costs."""

    def __init__(self, trace: Trace, chooser: Chooser) -> None:
        self.hosts = Hosts()
        self.meter = Meter(float(trace.arrival_s[0]) if len(trace) else 0.0)
        self.moves = 0
        self._chooser = chooser
        self._takes = list(zip(trace.cores.tolist(), trace.memory_gb.tolist(), strict=True))
        self._host = [0] * len(trace)
        self._queue = list[tuple[float, int]]()

    def end_until(self, now: float) -> None:
        """Let all go that end at or before a time, and count the time up to it."""
        while self._queue and self._queue[0][0] <= now:
            at, gone = heapq.heappop(self._queue)
            self.meter.until(at, self.hosts.used)
            cores, memory_gb = self._takes[gone]
            self.hosts.change(self._host[gone], cores, memory_gb, -1)
            self.meter.change(-cores, -memory_gb, self.hosts.used)
            self._chooser.ended(gone, self._host[gone])
        self.meter.until(now, self.hosts.used)

    def move(self, now: float) -> None:
        """Let the chooser move what it wants to.

        Raises:
            ValueError: a move is not from where the instance is, or to where no room is.
        """
        hosts = self.hosts
        for arrival, source, target in self._chooser.moves(now, hosts):
            cores, memory_gb = self._takes[arrival]
            room = hosts.cores[target] >= cores and hosts.memory_gb[target] >= memory_gb
            if self._host[arrival] != source or not room:
                raise ValueError(f"no such move: {arrival} from {source} to {target}")
            hosts.change(target, cores, memory_gb, 1)
            hosts.change(source, cores, memory_gb, -1)
            self._host[arrival] = target
            self.moves += 1

    def place(self, arrival: int, now: float, leaves: float) -> None:
        """Place one arrival."""
        hosts, (cores, memory_gb) = self.hosts, self._takes[arrival]
        fits = (hosts.cores >= cores) & (hosts.memory_gb >= memory_gb) & (hosts.count > 0)
        chosen = self._chooser.choose(arrival, now, hosts, fits)
        host = self._host[arrival] = hosts.empty() if chosen is None else chosen
        hosts.change(host, cores, memory_gb, 1)
        self.meter.change(cores, memory_gb, hosts.used)
        if leaves < math.inf:
            heapq.heappush(self._queue, (leaves, arrival))
        self._chooser.placed(arrival, host)


def replay(trace: Trace, chooser: Chooser) -> Result:
    """Place every arrival in turn; ends at or before an arrival come first, then moves."""
    started = time.process_time()
    under_way, last = _Replay(trace, chooser), -math.inf
    for arrival, (now, leaves) in enumerate(trace.spans()):
        if now > last:
            under_way.end_until(now)
            under_way.move(now)
            last = now
        under_way.place(arrival, now, leaves)
    meter, spent = under_way.meter, time.process_time() - started
    hours = meter.hosts_s / 3600, meter.floor_s / 3600
    return Result(*hours, meter.peak, spent, under_way.moves)
