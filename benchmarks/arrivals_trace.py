# SPDX-License-Identifier: Apache-2.0
"""A trace of arrivals as columns. It says what happens, never what a placer may know of it."""

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from billow.model.resources import BoolArray, FloatArray, IntArray

COLUMNS = ("arrival_s", "batch", "cores", "mem_gb", "dur_lo_s", "dur_hi_s", "censored")


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Instances in the order in which they arrive.

    Attributes:
        arrival_s: `(instances,) float64`, never falling.
        batch: Who came together from one tenant, numbered from 0, `(instances,) int64`.
        cores: `(instances,) int64`.
        memory_gb: `(instances,) float64`.
        leaves_s: When it ends, infinite for never, `(instances,) float64`.
    """

    arrival_s: FloatArray
    batch: IntArray
    cores: IntArray
    memory_gb: FloatArray
    leaves_s: FloatArray

    def __len__(self) -> int:
        return len(self.arrival_s)

    def spans(self) -> Iterator[tuple[float, float]]:
        """Yield when each arrives and when it leaves."""
        return zip(self.arrival_s.tolist(), self.leaves_s.tolist(), strict=True)

    def part(self, kept: BoolArray) -> "Trace":
        """Return only these instances, in their order."""
        batch = np.unique(self.batch[kept], return_inverse=True)[1].astype(np.int64)
        memory_gb, leaves_s = self.memory_gb[kept], self.leaves_s[kept]
        return Trace(self.arrival_s[kept], batch, self.cores[kept], memory_gb, leaves_s)


def read(path: Path) -> Trace:
    """Read a trace, gzip or plain CSV.

    Raises:
        SystemExit: the file is absent or not a trace; the words say what is missing.
    """
    if not path.exists():
        raise SystemExit(f"no trace at {path}: give one with --trace FILE ({', '.join(COLUMNS)})")
    with _open(path) as lines:
        rows = csv.reader(lines)
        header = next(rows, [])
        missing = [name for name in COLUMNS if name not in header]
        if missing:
            raise SystemExit(f"{path} has no column {', '.join(missing)}")
        places = [header.index(name) for name in COLUMNS]
        table = np.array([[float(row[place]) for place in places] for row in rows if row])
    return _trace(table.reshape(-1, len(COLUMNS)))


def _open(path: Path) -> TextIO:
    return gzip.open(path, "rt") if path.suffix == ".gz" else path.open()


def _trace(table: FloatArray) -> Trace:
    table = table[np.argsort(table[:, 0], kind="stable")]
    arrival, batch, cores, memory, low, high, censored = table.T
    leaves = np.where(censored > 0, np.inf, arrival + (low + high) / 2)
    number = np.unique(batch, return_inverse=True)[1]
    return Trace(arrival, number.astype(np.int64), cores.astype(np.int64), memory, leaves)
