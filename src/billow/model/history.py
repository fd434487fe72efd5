# SPDX-License-Identifier: Apache-2.0
"""What a pool did lately: use sample by sample, who moved when, who lived how long.

A planner has no clock and no memory; what it may know of the past comes with the pool it is given.
Rows are found by id, so a pool that grows or loses instances needs no new history.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from billow.model.resources import FloatArray, IntArray, RowArray

Samples = npt.NDArray[np.float32]
Kind = TypeVar("Kind", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Lives:
    """How long instances lived, those that are still there included: one row per instance.

    Attributes:
        cpu_milli, memory_mib: What it took, `(lives,) int64`.
        tenant: Who asked for it; `""` when unknown.
        born: When it was first seen, seconds since the epoch, `(lives,) float64`.
        ended: When it was gone, NaN while it is there, `(lives,) float64`.
    """

    cpu_milli: IntArray
    memory_mib: IntArray
    tenant: tuple[str, ...]
    born: FloatArray
    ended: FloatArray


@dataclass(frozen=True, eq=False)
class Levels:
    """How full the whole pool was, oldest first.

    Attributes:
        at: Seconds since the epoch, `(levels,) float64`.
        reserved, sellable: Of all hosts that are on, `(levels, RESOURCES) int64`.
    """

    at: FloatArray
    reserved: IntArray
    sellable: IntArray


@dataclass(frozen=True, eq=False)
class History:
    """The recent past of a pool, in even steps.

    Attributes:
        step_s: Seconds between two samples.
        until: When the last sample was taken, seconds since the epoch.
        instances: Ids, one per row of what follows, in no order. One that is gone may still have a
            row; of two rows with one id the last counts.
        cpu: Thousandths of a CPU, oldest first, NaN where not seen, `(instances, samples) float32`.
        memory: MiB, likewise.
        born: When first seen, `(instances,) float64`.
        settled: When it came to the host that it is on, `(instances,) float64`.
        hosts: Ids, one per row of what follows.
        switched: When power was last seen to change, NaN for never, `(hosts,) float64`.
        wakes: How often it was powered on within the last day, `(hosts,) int32`.
        moved: How many moves there were within the last day, an instance that moved twice counted
            twice; None when nobody counted.
    """

    step_s: float
    until: float
    instances: tuple[str, ...]
    cpu: Samples
    memory: Samples
    born: FloatArray
    settled: FloatArray
    hosts: tuple[str, ...] = ()
    switched: FloatArray = field(default_factory=lambda: np.zeros(0))
    wakes: RowArray = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    lives: Lives | None = None
    levels: Levels | None = None
    moved: int | None = None

    @cached_property
    def row(self) -> dict[str, int]:
        """The row of each instance by id."""
        return {name: row for row, name in enumerate(self.instances)}

    @cached_property
    def host_row(self) -> dict[str, int]:
        """The row of each host by id."""
        return {name: row for row, name in enumerate(self.hosts)}

    def cpu_of(self, instances: Sequence[str]) -> Samples:
        """Return the CPU samples of these instances, NaN for unknown ones, `(len, samples)`."""
        return _taken(self.cpu, self._rows(instances))

    def memory_of(self, instances: Sequence[str]) -> Samples:
        """Return the memory samples of these instances, NaN for unknown ones, `(len, samples)`."""
        return _taken(self.memory, self._rows(instances))

    def settled_of(self, instances: Sequence[str]) -> FloatArray:
        """Return since when each is where it is, NaN for unknown ones, `(len,) float64`."""
        return _taken(self.settled, self._rows(instances))

    def born_of(self, instances: Sequence[str]) -> FloatArray:
        """Return when each was first seen, NaN for unknown ones, `(len,) float64`."""
        return _taken(self.born, self._rows(instances))

    def _rows(self, instances: Sequence[str]) -> npt.NDArray[np.intp]:
        if instances == self.instances:
            return np.arange(len(instances))
        find = self.row.get
        return np.fromiter((find(name, -1) for name in instances), np.intp, len(instances))


def _taken(values: npt.NDArray[Kind], rows: npt.NDArray[np.intp]) -> npt.NDArray[Kind]:
    padded = np.concatenate([values, np.full((1, *values.shape[1:]), np.nan, values.dtype)])
    return padded[rows]
