# SPDX-License-Identifier: Apache-2.0
"""What instances want at a moment: a seeded day, or a recorded trace, for all rows at once.

Everything here is a function of seconds and names: no state, no dice, the same for whoever asks.
"""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from billow.model.kinds import Service, code_of
from billow.model.pool import Pool
from billow.model.resources import CPU, HUGE, MEMORY, FloatArray

DAY_S = 86_400.0
_WOBBLE_S = 300.0


class Usage(ABC):
    """What instances want; what they get of it is `contention`'s business.

    Attributes:
        every_s: How often it is measured, seconds of the world; between two measurements it stays.
    """

    every_s: float = 60.0

    @abstractmethod
    def measure(self, pool: Pool, now: float) -> tuple[FloatArray, FloatArray]:
        """Return the CPU wanted and the memory used by each instance, `(instances,) float64`.

        Thousandths of a CPU and MiB; NaN where nothing is known.
        """


class Diurnal(Usage):
    """A made-up day: each instance has a level, a time of day, and a wobble of its own, by seed.

    Batch instances want nearly all of their CPUs at any hour.
    """

    def __init__(self, seed: int = 0) -> None:
        """Fix the dice."""
        self._seed = seed

    def measure(self, pool: Pool, now: float) -> tuple[FloatArray, FloatArray]:
        """Return what instances want by time of day."""
        names = _name_seeds(pool.instances.id)
        level = 0.05 + 0.45 * _dice(names, self._seed, 1) ** 2
        swing = level * _dice(names, self._seed, 2)
        phase = 0.15 * _dice(names, self._seed, 3)
        wave = np.sin(2 * np.pi * (now / DAY_S - 0.3 + phase))
        wobble = 0.1 * (_dice(names, self._seed, 4 + int(now // _WOBBLE_S)) - 0.5)
        batch = pool.instances.service == code_of(Service.BATCH)
        mean = np.where(batch, 0.9, level + swing * wave)
        busy = np.clip(mean + wobble, 0.01, 1.0)
        full = np.clip(0.35 + 0.5 * _dice(names, self._seed, 0) + 0.05 * busy, 0.0, 1.0)
        cpu, memory = _shape_amounts(pool)
        return busy * cpu, full * memory


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
