# SPDX-License-Identifier: Apache-2.0
"""A recorded trace as the usage of a simulated pool, and the formats that it is read from.

Billow's own form is CSV with a head: `time,instance,cpu_milli,memory_mib`. PlanetLab days (a name
and 288 percentages a line) and Bitbrains tables hold CPU only; their machines are given to the
pool's instances one by one, in order. A trace starts anew when it has ended.
"""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Self

import numpy as np
import numpy.typing as npt

from billow.engines.sim.usage import Usage
from billow.errors import Invalid
from billow.model.pool import Pool
from billow.model.resources import CPU, FloatArray

Sample = tuple[str, float, float, float]
STEP_S = 300.0
"""How often PlanetLab and Bitbrains were sampled."""


class Recorded(Usage):
    """Samples by instance; each holds until the next one of its instance.

    Instances without samples have unknown use (NaN).
    """

    def __init__(
        self, samples: Iterable[Sample], *, relative: bool = False, step_s: float = 60.0
    ) -> None:
        """Take samples in any order: instance, seconds, CPU, MiB of memory (NaN when not known).

        Args:
            samples: At least one.
            relative: Whether the CPU is a share (1.0 = all of its own) and not thousandths.
            step_s: How long the last sample of all holds before the trace starts anew.

        Raises:
            Invalid: no sample, or one that is no number.
        """
        rows = sorted(samples, key=lambda row: row[:2])
        if not rows:
            raise Invalid("the trace is empty", fix="give at least one sample", code=_CODE)
        self.names = tuple(dict.fromkeys(row[0] for row in rows))
        number = {name: place for place, name in enumerate(self.names)}
        values = np.array([row[1:] for row in rows], dtype=np.float64)
        if not (np.isfinite(values[:, 0]).all() and (values[:, 0] >= 0).all()):
            raise Invalid("a sample's time is not a number of seconds", code=_CODE)
        self.length_s = float(values[:, 0].max()) + step_s
        self._relative = relative
        self._keys = np.array([number[row[0]] for row in rows]) * self.length_s + values[:, 0]
        self._values = values[:, 1:]

    @classmethod
    def read_csv(cls, lines: Iterable[str]) -> Self:
        """Read Billow's own form. Raises Invalid that names the line."""
        samples = []
        for number, row in enumerate(csv.DictReader(lines), 2):
            try:
                samples.append(_own_sample(row))
            except (KeyError, TypeError, ValueError) as error:
                raise Invalid(
                    f"line {number} of the trace is not understood: {error}",
                    fix="the head is time,instance,cpu_milli,memory_mib",
                    code=_CODE,
                ) from error
        return cls(samples)

    @classmethod
    def read_planetlab(cls, lines: Iterable[str], instances: Sequence[str]) -> Self:
        """Read a PlanetLab day for these instances, one line each. Raises Invalid."""
        samples: list[Sample] = []
        for name, row in zip(instances, csv.reader(lines), strict=False):
            shares = [_share(text, name) for text in row[1:]]
            samples += [(name, step * STEP_S, share, math.nan) for step, share in enumerate(shares)]
        return cls(samples, relative=True, step_s=STEP_S)

    @classmethod
    def read_bitbrains(cls, lines: Iterable[str], instances: Sequence[str]) -> Self:
        """Read a Bitbrains table for these instances, one machine each. Raises Invalid."""
        ours: dict[str, str] = {}
        names = iter(instances)
        samples: list[Sample] = []
        for row in csv.DictReader(lines):
            if row["id"] not in ours:
                ours[row["id"]] = next(names, "")
            if name := ours[row["id"]]:
                share = float(row["cpu_mhz"]) / max(float(row["cap_mhz"]), 1.0)
                samples.append((name, float(row["t_s"]), min(share, 1.0), math.nan))
        return cls(samples, relative=True, step_s=STEP_S)

    def measure(self, pool: Pool, now: float) -> tuple[FloatArray, FloatArray]:
        """Return what was recorded at this moment of the trace."""
        traced = _traced(pool.instances.id, self.names)
        wanted = traced * self.length_s + now % self.length_s
        found = np.searchsorted(self._keys, wanted, side="right") - 1
        known = (traced >= 0) & (self._keys[found] >= traced * self.length_s) & (found >= 0)
        cpu, memory = np.where(known[:, None], self._values[found], np.nan).T
        if self._relative:
            cpu = cpu * pool.demand[pool.instances.shape, CPU]
        return cpu, memory


_CODE = "invalid-trace"


def _own_sample(row: Mapping[str, str]) -> Sample:
    return (
        row["instance"],
        float(row["time"]),
        float(row["cpu_milli"]),
        float(row["memory_mib"] or math.nan),
    )


def _share(text: str, name: str) -> float:
    if text.isdigit() and int(text) <= 100:
        return int(text) / 100
    raise Invalid(
        f"{text!a} is no percentage, in the line for {name}",
        fix="a line is a name and whole numbers from 0 to 100",
        code=_CODE,
    )


@lru_cache(maxsize=4)
def _traced(names: tuple[str, ...], traced: tuple[str, ...]) -> npt.NDArray[np.int64]:
    """Return which of the traced each name is, -1 for none. Linear in Python, once for a set."""
    place = {name: number for number, name in enumerate(traced)}
    return np.array([place.get(name, -1) for name in names], dtype=np.int64)
