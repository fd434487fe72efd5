# SPDX-License-Identifier: Apache-2.0
"""What instances get of what they want, and what that does to their hosts, for all rows at once.

A model, and a simple one: CPU time is a fluid that latency-sensitive instances draw from first, in
proportion to their size, and batch instances last; what is wanted goes up and down within a
measuring step as a normal value does; memory that is sold twice is taken back from instances, and
what cannot be is swapped. The README of this folder says what it leaves out.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from billow.engines.sim.fold import kept
from billow.engines.sim.watts import host_watts
from billow.model.column import frozen
from billow.model.kinds import Power, Service, State, code_of
from billow.model.pool import Pool
from billow.model.resources import CPU, HUGE, MEMORY, BoolArray, FloatArray, RowArray

SYSTEM_CPU_MILLI = 500.0
SYSTEM_MEMORY_MIB = 2048.0
BURST = 0.5
"""How far what a latency-sensitive instance wants goes up and down, as a share of its mean."""
YIELDING = 0.05
"""Part of the CPU time taken from batch by a burst that the burst has to wait for: a scheduler's
slice of some 4 ms, of bursts of some 80 ms."""
TOUCHED_S = 60.0
"""How often swapped memory is wanted again, seconds."""
DISK_MIB_S = 200.0
"""How fast swapping goes at which most of the time is spent waiting for it, MiB/s."""
_EVEN = 1e-9


Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Shares:
    """What instances got and how their hosts are, in the units of the pool's columns.

    Attributes:
        cpu, memory, wait, ballooned: `(instances,) float64`, NaN where nothing is known.
        host_cpu, host_memory, load, cpu_pressure, memory_pressure, swap, watts:
            `(hosts,) float64`; NaN for a host that nobody can see.
    """

    cpu: FloatArray
    memory: FloatArray
    wait: FloatArray
    ballooned: FloatArray
    host_cpu: FloatArray
    host_memory: FloatArray
    load: FloatArray
    cpu_pressure: FloatArray
    memory_pressure: FloatArray
    swap: FloatArray
    watts: FloatArray


def seen_with(pool: Pool, wanted: FloatArray, memory: FloatArray) -> Pool:
    """Return the pool with what would be measured when its instances want and use this much."""
    found = shared(pool, wanted, memory)
    ours, hosts = pool.instances, pool.hosts
    return kept(
        pool,
        instances=kept(
            ours,
            cpu_used=frozen(found.cpu.astype(np.float32)),
            memory_used=frozen(found.memory.astype(np.float32)),
            cpu_wait=frozen(found.wait.astype(np.float32)),
            ballooned=frozen(found.ballooned.astype(np.float32)),
        ),
        hosts=kept(
            hosts,
            cpu_used=found.host_cpu,
            memory_used=found.host_memory,
            load=found.load,
            cpu_pressure=found.cpu_pressure,
            memory_pressure=found.memory_pressure,
            swap=found.swap,
            watts=frozen(found.watts),
        ),
    )


def shared(pool: Pool, wanted: FloatArray, memory: FloatArray) -> Shares:
    """Return what instances that want this much CPU and use this much memory get.

    Args:
        pool: Where they are and of which class.
        wanted: Thousandths of a CPU, `(instances,)`, NaN where nothing is known.
        memory: MiB that each uses, likewise.
    """
    return _Scene(pool, wanted, memory).shares()


class _Scene:
    """Columns that all steps of the model need."""

    def __init__(self, pool: Pool, wanted: FloatArray, memory: FloatArray) -> None:
        ours = pool.instances
        self.pool = pool
        self.on: BoolArray = pool.hosts.power == code_of(Power.ON)
        self.placed: BoolArray = ours.host >= 0
        self.home: RowArray = np.where(self.placed, ours.host, 0)
        here = self.placed & self.on[self.home] if len(pool.hosts) else self.placed
        self.runs: BoolArray = here & (ours.state == code_of(State.RUNNING))
        self.holds: BoolArray = self.runs | (here & (ours.state == code_of(State.PAUSED)))
        self.batch: BoolArray = ours.service == code_of(Service.BATCH)
        self.wanted = np.where(self.runs, wanted, 0.0)
        self.memory = np.where(self.holds, memory, 0.0)
        self.has: FloatArray = pool.hosts.capacity.sum(axis=1).astype(np.float64)
        self.demand: FloatArray = pool.demand[ours.shape].astype(np.float64)

    def shares(self) -> Shares:
        known = np.nan_to_num(self.wanted)
        limit = self.pool.instances.cpu_limit
        may = np.where(limit > 0, np.minimum(known, limit), known)
        room = np.maximum(self.has[:, CPU] - SYSTEM_CPU_MILLI, 0.0)
        first = self._poured(may, ~self.batch, room)
        after = np.maximum(room - self._sums(first), 0.0)
        got = first + self._poured(may, self.batch, after)
        wait = _part(known - got, known)
        late, pressure = self._bursts(may, got, room)
        served: FloatArray = late[self.home] if len(late) else wait
        wait = np.where(self.batch | (known <= _EVEN), wait, np.maximum(wait, served))
        used, wants = self._sums(got), self._sums(may)
        cpu = self._seen(np.minimum(used + SYSTEM_CPU_MILLI, self.has[:, CPU]))
        ballooned, swapped = self._squeezed()
        swap = swapped * 2 / TOUCHED_S
        gaps = np.isnan(self.wanted)
        return Shares(
            cpu=np.where(gaps, np.nan, got),
            memory=self.memory,
            wait=np.where(gaps, np.nan, np.clip(wait, 0.0, 1.0)),
            ballooned=ballooned,
            host_cpu=cpu,
            host_memory=self._memory_of_hosts(),
            load=self._seen((wants + SYSTEM_CPU_MILLI) / 1000),
            cpu_pressure=self._seen(pressure),
            memory_pressure=self._seen(-np.expm1(-swap / DISK_MIB_S)),
            swap=self._seen(swap),
            watts=host_watts(self.pool.hosts, _part(cpu, self.has[:, CPU])),
        )

    def _seen(self, of_hosts: FloatArray) -> FloatArray:
        """Return a measurement of hosts: nothing when they are off."""
        return frozen(np.where(self.on, of_hosts, 0.0))

    def _sums(self, amounts: FloatArray, of: BoolArray | None = None) -> FloatArray:
        rows = self.placed if of is None else self.placed & of
        known = np.nan_to_num(amounts[rows])
        return np.bincount(self.home[rows], known, minlength=len(self.has)).astype(np.float64)

    def _poured(self, may: FloatArray, of: BoolArray, room: FloatArray) -> FloatArray:
        """Return what each of a class gets of its host's room, up to what it may take.

        Where there is too little, nobody gets more for each CPU of its size than who still wants.
        """
        got = np.where(of, may, 0.0)
        tight = self._sums(got) > room
        rows = np.flatnonzero(of & self.runs & tight[self.home]) if tight.any() else None
        if rows is not None:
            got[rows] = self._levelled(may[rows], rows, room)
        return got

    def _levelled(self, may: FloatArray, rows: Rows, room: FloatArray) -> FloatArray:
        home, weight = self.home[rows], np.maximum(self.demand[rows, CPU], 1.0)
        order = np.lexsort((may / weight, home))
        home, weight, may = home[order], weight[order], may[order]
        first = np.concatenate([[True], home[1:] != home[:-1]])
        start = np.maximum.accumulate(np.where(first, np.arange(len(home)), 0))
        spent = np.cumsum(may) - may
        heavy = np.cumsum(weight) - weight
        total = np.bincount(home, weight, minlength=len(room))
        left = np.maximum(room[home] - (spent - spent[start]), 0.0)
        level = left / np.maximum(total[home] - (heavy - heavy[start]), 1.0)
        over = np.where(may / weight > level, level, np.inf)
        final = np.full(len(room), np.inf)
        # The first who wants more than its part sets the level for all who come after.
        position = np.flatnonzero(np.isfinite(over))[::-1]
        final[home[position]] = over[position]
        got: FloatArray = np.empty(len(rows))
        got[order] = np.minimum(may, final[home] * weight)
        return got

    def _bursts(
        self, may: FloatArray, got: FloatArray, room: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return which part of their wants latency-sensitive instances wait for, and pressure."""
        wants = self._sums(may, ~self.batch)
        spread = BURST * np.sqrt(self._sums(may**2, ~self.batch))
        batch = self._sums(got, self.batch)
        lack = _above(wants - room, spread)
        shoved = _above(wants + batch - room, spread) - lack
        late = _part(lack + YIELDING * shoved, wants)
        both = self._sums(may)
        pressure = _tail((room - both) / np.maximum(spread, _EVEN))
        return np.clip(late, 0.0, 1.0), pressure

    def _squeezed(self) -> tuple[FloatArray, FloatArray]:
        """Return what is taken back of each instance, and what each host has on disk, MiB."""
        plain = self.holds & (self.demand[:, HUGE] == 0)
        held = np.where(plain, self.demand[:, MEMORY], 0.0)
        idle = np.where(plain, np.maximum(held - np.nan_to_num(self.memory, nan=np.inf), 0.0), 0.0)
        over = np.maximum(self._sums(held) - self.has[:, MEMORY], 0.0)
        spare = self._sums(idle)
        back = np.minimum(over, spare)
        part = _part(back, spare)
        ballooned: FloatArray = idle * part[self.home] if len(part) else idle
        return ballooned, over - back

    def _memory_of_hosts(self) -> FloatArray:
        most = self.has[:, MEMORY] + self.has[:, HUGE]
        return self._seen(np.minimum(self._sums(self.memory) + SYSTEM_MEMORY_MIB, most))


def _part(amount: FloatArray, of: FloatArray) -> FloatArray:
    """Return one amount as a share of another; nothing of nothing is 0."""
    share: FloatArray = np.divide(amount, of, out=np.zeros_like(of), where=of > _EVEN)
    return share


def _tail(distance: FloatArray) -> FloatArray:
    """Return how likely a normal value lies so many deviations above its mean, or more.

    To 1.5e-7 (Abramowitz and Stegun 7.1.26), by whole arrays.
    """
    reach = np.abs(distance) / math.sqrt(2)
    part = 1 / (1 + 0.3275911 * reach)
    series: FloatArray = np.full_like(part, 1.061405429)
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = series * part + factor
    half: FloatArray = 0.5 * series * part * np.exp(-(np.minimum(reach, 26.0) ** 2))
    return np.where(distance >= 0, half, 1 - half)


def _above(mean: FloatArray, spread: FloatArray) -> FloatArray:
    """Return the mean of what a normal value is above 0."""
    deviation = np.maximum(spread, _EVEN)
    distance = mean / deviation
    density = np.exp(-0.5 * np.minimum(np.abs(distance), 38.0) ** 2) / math.sqrt(2 * math.pi)
    high: FloatArray = np.maximum(deviation * density + mean * _tail(-distance), 0.0)
    return high
