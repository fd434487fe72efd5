# SPDX-License-Identifier: Apache-2.0
"""Samples of many rows over a sliding window, handed out without being copied.

Each name has a slot for as long as this object lives, and the newest column is written to the right
of all that was handed out: what a planner reads never changes under it. Slots and columns are only
reclaimed by moving to new arrays. The last sample, which may still change, is not handed out.
"""

from collections.abc import Sequence
from typing import Final, Self, TypeVar

import numpy as np
import numpy.typing as npt

from billow.model.history import Samples
from billow.model.resources import FloatArray, RowArray

Slots = npt.NDArray[np.intp]
Kind = TypeVar("Kind", bound=np.generic)
SAMPLES: Final = 288
"""A day of five-minute steps."""
MOST_VALUES: Final = 128_000_000
"""Values kept of one measure (512 MiB): a larger pool is remembered for less long."""


class Window:
    """Slots by name, with what is known of each.

    Attributes:
        names: By slot, also of those that are gone.
        alive: Which slots are in the pool now, `(slots,) bool`.
        born, settled: Seconds since the epoch, `(slots,) float64`.
        home: Position of the host in a list of the caller's, -1 for none, `(slots,) int32`.
    """

    def __init__(self, samples: int = SAMPLES) -> None:
        """Begin without anybody."""
        self._most = samples
        self._slot: dict[str, int] = {}
        self.names: list[str] = []
        self.alive = np.zeros(0, dtype=np.bool_)
        self.born: FloatArray = np.zeros(0)
        self.settled: FloatArray = np.zeros(0)
        self.home: RowArray = np.zeros(0, dtype=np.int32)
        self._cpu: Samples = np.zeros((0, 0), dtype=np.float32)
        self._memory = self._cpu
        self._width = 0
        self._end = 0

    @classmethod
    def of(cls, names: Sequence[str], samples: int = SAMPLES) -> Self:
        """Return a window with a slot for each of these, all alive."""
        window = cls(samples)
        window.slots_of(names, 0.0)
        window.alive[:] = True
        return window

    def slots_of(self, names: Sequence[str], at: float) -> Slots:
        """Return the slot of each name; who is new gets one, born now. Linear."""
        slot = self._slot
        fresh = [name for name in names if name not in slot]
        if fresh:
            self._admit(fresh, at)
        return np.fromiter(map(slot.__getitem__, names), np.intp, len(names))

    def retain(self, slots: Slots) -> Slots:
        """Let only these be alive; return the slots of those that have gone."""
        alive = np.zeros(len(self.names), dtype=np.bool_)
        alive[slots] = True
        gone = np.flatnonzero(self.alive & ~alive)
        self.alive = alive
        for each in gone.tolist():
            del self._slot[self.names[each]]
        return gone

    @property
    def sparse(self) -> bool:
        """Whether most slots are of instances that are gone."""
        return len(self.names) > 1024 and 2 * int(self.alive.sum()) < len(self.names)

    def compacted(self) -> "Window":
        """Return a window with the slots of those that are alive only."""
        rows = np.flatnonzero(self.alive)
        fresh = Window(self._most)
        fresh._admit([self.names[row] for row in rows.tolist()], 0.0)
        fresh.restore(self.born[rows], self.settled[rows], self.home[rows])
        fresh.alive[:] = True
        open_too = self._end
        fresh.load(self._cpu[rows, :open_too], self._memory[rows, :open_too])
        fresh._end = min(fresh._end, open_too)
        return fresh

    def restore(self, born: FloatArray, settled: FloatArray, home: RowArray) -> None:
        """Let it be known since when all are there, and where they are."""
        self.born[:], self.settled[:], self.home[:] = born, settled, home

    def load(self, cpu: Samples, memory: Samples) -> None:
        """Take complete samples over, oldest first, `(slots, any)` each."""
        self._cpu, self._memory, self._end = cpu, memory, cpu.shape[1]
        self._move(min(self._end, self._fitting()))
        self._end += 1

    def open_sample(self) -> None:
        """Make place for one more sample of everybody, not seen yet."""
        if self._end == self._width:
            self._move(min(self._end, self._fitting()))
        self._end += 1

    def set_sample(self, slots: Slots, cpu: Samples, memory: Samples) -> None:
        """Let the last sample of these slots be so."""
        self._cpu[slots, self._end - 1] = cpu
        self._memory[slots, self._end - 1] = memory

    def samples(self) -> tuple[Samples, Samples]:
        """Return the samples that are complete, oldest first, `(slots, samples)`, read-only."""
        end, count = max(self._end - 1, 0), len(self.names)
        begin = max(end - self._most, 0)
        views = self._cpu[:count, begin:end], self._memory[:count, begin:end]
        for view in views:
            view.setflags(write=False)
        return views

    def _fitting(self) -> int:
        return max(1, min(self._most, MOST_VALUES // max(len(self.names), 1) // 2))

    def _admit(self, fresh: Sequence[str], at: float) -> None:
        first, count = len(self.names), len(self.names) + len(fresh)
        self._slot.update({name: first + number for number, name in enumerate(fresh)})
        self.names.extend(fresh)
        self.alive = _longer(self.alive, count, fill=0)
        self.born, self.settled = _longer(self.born, count, at), _longer(self.settled, count, at)
        self.home = _longer(self.home, count, -1)
        if count > len(self._cpu):
            self._move(min(self._end, self._fitting()))

    def _move(self, keep: int) -> None:
        """Move the newest columns to new arrays with room for more, to the right and below."""
        width, rows = keep + self._fitting(), len(self.names) + len(self.names) // 4
        begin, end = self._end - keep, self._end
        self._cpu = _roomier(self._cpu[:, begin:end], rows, width)
        self._memory = _roomier(self._memory[:, begin:end], rows, width)
        self._width, self._end = width, keep


def _roomier(values: Samples, rows: int, width: int) -> Samples:
    larger = np.full((rows, width), np.nan, dtype=np.float32)
    larger[: len(values), : values.shape[1]] = values
    return larger


def _longer(values: npt.NDArray[Kind], count: int, fill: float) -> npt.NDArray[Kind]:
    return np.concatenate([values, np.full(count - len(values), fill, dtype=values.dtype)])
