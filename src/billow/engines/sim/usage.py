# SPDX-License-Identifier: Apache-2.0
"""What instances really use at a moment: a seeded day, or a recorded trace, for all rows at once.

Everything here is a function of seconds and names: no state, no dice, the same for whoever asks.
"""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from billow.model.column import frozen
from billow.model.instances import Instances
from billow.model.kinds import Power, State, code_of
from billow.model.pool import Pool
from billow.model.resources import CPU, HUGE, MEMORY, FloatArray

DAY_S = 86_400.0
SYSTEM_CPU_MILLI = 500.0
SYSTEM_MEMORY_MIB = 2048.0
_WOBBLE_S = 300.0


class Usage(ABC):
    """What instances use.

    Attributes:
        every_s: How often it is measured, seconds of the world; between two measurements it stays.
    """

    every_s: float = 60.0

    @abstractmethod
    def measure(self, pool: Pool, now: float) -> tuple[FloatArray, FloatArray]:
        """Return CPU and memory used by each instance if it runs, `(instances,) float64`.

        Thousandths of a CPU and MiB; NaN where nothing is known.
        """


class Diurnal(Usage):
    """A made-up day: each instance has a level, a time of day, and a wobble of its own, by seed."""

    def __init__(self, seed: int = 0) -> None:
        """Fix the dice."""
        self._seed = seed

    def measure(self, pool: Pool, now: float) -> tuple[FloatArray, FloatArray]:
        """Return what instances use by time of day."""
        names = _name_seeds(pool.instances.id)
        level = 0.05 + 0.45 * _dice(names, self._seed, 1) ** 2
        swing = level * _dice(names, self._seed, 2)
        phase = 0.15 * _dice(names, self._seed, 3)
        wave = np.sin(2 * np.pi * (now / DAY_S - 0.3 + phase))
        wobble = 0.1 * (_dice(names, self._seed, 4 + int(now // _WOBBLE_S)) - 0.5)
        busy = np.clip(level + swing * wave + wobble, 0.01, 1.0)
        full = np.clip(0.35 + 0.5 * _dice(names, self._seed, 0) + 0.05 * busy, 0.0, 1.0)
        cpu, memory = _shape_amounts(pool)
        return busy * cpu, full * memory


def measured(pool: Pool, usage: Usage, now: float) -> tuple[FloatArray, FloatArray]:
    """Return what each instance uses now: nothing unless it runs, `(instances,) float64`."""
    cpu, memory = usage.measure(pool, now)
    runs = _running(pool.instances)
    return np.where(runs, cpu, 0.0), np.where(runs, memory, 0.0)


def host_sums(pool: Pool, cpu: FloatArray, memory: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return what each host uses: its instances and itself, at most what it has, `(hosts,)`."""
    placed = pool.instances.host >= 0
    rows = pool.instances.host[placed]
    on = pool.hosts.power == code_of(Power.ON)
    has = pool.hosts.capacity.sum(axis=1)
    sums = []
    for amounts, system, most in (
        (cpu, SYSTEM_CPU_MILLI, has[:, CPU]),
        (memory, SYSTEM_MEMORY_MIB, has[:, MEMORY] + has[:, HUGE]),
    ):
        total = np.bincount(rows, np.nan_to_num(amounts[placed]), minlength=len(pool.hosts))
        sums.append(frozen(np.where(on, np.minimum(total + system, most), 0.0)))
    return sums[0], sums[1]


def _running(table: Instances) -> npt.NDArray[np.bool_]:
    runs: npt.NDArray[np.bool_] = table.state == code_of(State.RUNNING)
    return runs


def _shape_amounts(pool: Pool) -> tuple[FloatArray, FloatArray]:
    """Return the CPU and the memory, huge or not, that each instance was given."""
    demand = pool.demand[pool.instances.shape].astype(np.float64)
    return demand[:, CPU], demand[:, MEMORY] + demand[:, HUGE]


@lru_cache(maxsize=4)
def _name_seeds(names: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Return a number for each name. Linear in Python, once for each set of names."""
    numbers = np.fromiter((zlib.crc32(name.encode()) for name in names), np.uint64, len(names))
    numbers.setflags(write=False)
    return numbers


def _dice(names: npt.NDArray[np.uint64], seed: int, roll: int) -> FloatArray:
    """Return a number in [0, 1) for each name, the same for the same seed and roll (SplitMix64)."""
    with np.errstate(over="ignore"):
        mixed = names + np.uint64((seed * 0x9E3779B97F4A7C15 + roll * 0xD1B54A32D192ED03) % 2**64)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    dice: FloatArray = (mixed >> np.uint64(11)).astype(np.float64) / 2**53
    return dice
