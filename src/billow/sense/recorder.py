# SPDX-License-Identifier: Apache-2.0
"""Keep what a pool did lately, look by look, so that planners may know of the past.

Several looks within one step become their mean. This module decides nothing and does no I/O;
`history_file` keeps what must outlive the process.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from billow.model.history import History, Levels, Lives, Samples
from billow.model.instances import NOWHERE
from billow.model.kinds import Power, code_of
from billow.model.pool import Pool
from billow.model.resources import CPU, HUGE, MEMORY, FloatArray, IntArray, RowArray
from billow.sense.window import Slots, Window

STEP_S: Final = 300.0
LEVEL_S: Final = 3600.0
MOST_LEVELS: Final = 24 * 400
MOST_LIVES: Final = 200_000
DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Life:
    """An instance that is gone; times in seconds since the epoch."""

    cpu_milli: int
    memory_mib: int
    tenant: str
    born: float
    ended: float


@dataclass(slots=True)
class Past:
    """What is known of the past besides the samples.

    Attributes:
        lives: Of instances that are gone, oldest first.
        levels: `(at, reserved, sellable)` of the pool, oldest first.
        power: Code of each host's power at the last look, by id.
        switched: When power was last seen to change, by host id.
        wakes: When hosts were powered on lately, by host id.
        moves: When instances were moved within the last day, and how many, oldest first.
    """

    lives: deque[Life] = field(default_factory=lambda: deque(maxlen=MOST_LIVES))
    levels: deque[tuple[float, IntArray, IntArray]] = field(
        default_factory=lambda: deque(maxlen=MOST_LEVELS)
    )
    power: dict[str, int] = field(default_factory=dict)
    switched: dict[str, float] = field(default_factory=dict)
    wakes: dict[str, list[float]] = field(default_factory=dict)
    moves: deque[tuple[float, int]] = field(default_factory=deque)


class Recorder:
    """Takes note of each look at the pool.

    Attributes:
        window: The samples, and who is where since when.
        past: The rest of what is known.
        hosts: Host ids that `window.home` points into.
    """

    def __init__(self, step_s: float = STEP_S) -> None:
        self.step_s = step_s
        self.window = Window()
        self.past = Past()
        self.hosts: list[str] = []
        self._host_slot: dict[str, int] = {}
        self._known: Pool | None = None
        self._slots: Slots = np.zeros(0, dtype=np.intp)
        self._history: History | None = None
        self._step = float("nan")
        self._sums: tuple[Samples, Samples, int] | None = None

    @property
    def has_seen(self) -> bool:
        """Whether it has seen a pool yet."""
        return self._known is not None

    def look(self, pool: Pool) -> Pool:
        """Take note of a pool that was sensed just now and return it with its past.

        Linear in instances when something changed or a step is over, else in NumPy only.
        """
        changed = self._note(pool)
        sampled = self._sample(pool)
        if self._history is None or changed or sampled:
            self._history = self._told(pool)
        return pool.with_history(self._history)

    def remember(self, hosts: list[str], window: Window, past: Past) -> None:
        """Begin with what an earlier process knew. `window.home` points into `hosts`."""
        self.hosts, self.window, self.past = hosts, window, past
        self._host_slot = {name: slot for slot, name in enumerate(hosts)}

    def _note(self, pool: Pool) -> bool:
        """Note who came, went and moved, and which hosts were switched; whether any did."""
        known = self._known
        level = self._note_level(pool)
        if known is not None and known.digest == pool.digest:
            return level
        if known is None or known.instances.id != pool.instances.id:
            self._note_comings(pool, known)
        self._note_homes(pool)
        self._note_power(pool)
        self._known = pool
        return True

    def _note_comings(self, pool: Pool, known: Pool | None) -> None:
        before = self._slots
        self._slots = self.window.slots_of(pool.instances.id, pool.taken_at)
        gone = self.window.retain(self._slots)
        if known is not None and len(gone):
            for row in np.flatnonzero(np.isin(before, gone)).tolist():
                was, born = known.instance(known.instances.id[row]), self.window.born[before[row]]
                size = was.shape.cpu_milli, was.shape.memory_mib
                self.past.lives.append(Life(*size, was.tenant, float(born), pool.taken_at))
        if self.window.sparse:
            self.window = self.window.compacted()
            self._slots = self.window.slots_of(pool.instances.id, pool.taken_at)
        self._sums = None

    def _note_homes(self, pool: Pool) -> None:
        names, slot = pool.hosts.id, self._host_slot
        for name in names:
            if name not in slot:
                slot[name] = len(self.hosts)
                self.hosts.append(name)
        places = np.array([*map(slot.__getitem__, names), NOWHERE], dtype=np.int32)
        home = places[pool.instances.host]  # NOWHERE counts from the end
        before = self.window.home[self._slots]
        moved = self._slots[before != home]
        self._note_moves(int(((before != home) & (before >= 0) & (home >= 0)).sum()), pool.taken_at)
        settled = self.window.settled.copy()  # the old one was handed out
        settled[moved] = pool.taken_at
        self.window.settled = settled
        self.window.home[self._slots] = home

    def _note_moves(self, count: int, at: float) -> None:
        moves = self.past.moves
        if count:
            moves.append((at, count))
        while moves and moves[0][0] <= at - DAY_S:
            moves.popleft()

    def _note_power(self, pool: Pool) -> None:
        past, at = self.past, pool.taken_at
        for name, power in zip(pool.hosts.id, pool.hosts.power.tolist(), strict=True):
            was = past.power.get(name)
            if was == power:
                continue
            past.power[name] = power
            if was is None:
                continue
            past.switched[name] = at
            if power == _ON:
                recent = [when for when in past.wakes.get(name, ()) if when > at - DAY_S]
                past.wakes[name] = [*recent, at]

    def _note_level(self, pool: Pool) -> bool:
        levels = self.past.levels
        if levels and pool.taken_at < levels[-1][0] + LEVEL_S:
            return False
        on = pool.hosts.power == _ON
        sellable = pool.hosts.sellable[on].sum(axis=(0, 1))
        levels.append((pool.taken_at, pool.reserved[on].sum(axis=0), sellable))
        return True

    def _sample(self, pool: Pool) -> bool:
        """Add a look to its step; return whether it began a new one."""
        step = pool.taken_at // self.step_s
        new = step != self._step
        if new:
            self.window.open_sample()
            self._sums = None
        if self._sums is None:
            zeros = np.zeros(len(pool.instances), dtype=np.float32)
            self._sums = zeros, zeros.copy(), 0
        cpu, memory, looks = self._sums
        cpu += pool.instances.cpu_used
        memory += pool.instances.memory_used
        self._sums, self._step = (cpu, memory, looks + 1), step
        many = np.float32(looks + 1)
        self.window.set_sample(self._slots, cpu / many, memory / many)
        return new

    def _told(self, pool: Pool) -> History:
        cpu, memory = self.window.samples()
        past, hosts, nan = self.past, pool.hosts.id, float("nan")
        return History(
            step_s=self.step_s,
            until=pool.taken_at,
            instances=tuple(self.window.names),
            cpu=cpu,
            memory=memory,
            born=self.window.born,
            settled=self.window.settled,
            hosts=hosts,
            switched=np.array([past.switched.get(name, nan) for name in hosts]),
            wakes=_wakes(past, hosts, pool.taken_at),
            lives=_lives(past, self.window.born[self._slots], pool),
            levels=_levels(past),
            moved=sum(count for at, count in past.moves if at > pool.taken_at - DAY_S),
        )


_ON = code_of(Power.ON)


def _wakes(past: Past, hosts: tuple[str, ...], at: float) -> RowArray:
    counts = np.zeros(len(hosts), dtype=np.int32)
    for row, name in enumerate(hosts):
        if name in past.wakes:
            counts[row] = sum(when > at - DAY_S for when in past.wakes[name])
    return counts


def _lives(past: Past, born: FloatArray, pool: Pool) -> Lives:
    gone, ours = list(past.lives), pool.instances
    demand = pool.demand[ours.shape]
    memory = demand[:, MEMORY] + demand[:, HUGE]
    return Lives(
        cpu_milli=np.array([*(life.cpu_milli for life in gone), *demand[:, CPU]], dtype=np.int64),
        memory_mib=np.array([*(life.memory_mib for life in gone), *memory], dtype=np.int64),
        tenant=(*(life.tenant for life in gone), *ours.tenant.values()),
        born=np.array([*(life.born for life in gone), *born], dtype=np.float64),
        ended=np.array([*(life.ended for life in gone), *(np.full(len(ours), np.nan))]),
    )


def _levels(past: Past) -> Levels:
    return Levels(
        at=np.array([at for at, _, _ in past.levels]),
        reserved=np.array([reserved for _, reserved, _ in past.levels]),
        sellable=np.array([sellable for _, _, sellable in past.levels]),
    )
