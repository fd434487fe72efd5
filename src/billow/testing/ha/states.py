# SPDX-License-Identifier: Apache-2.0
"""Many states of the checker's world as rows of bytes.

A state is one row of 72 bytes: a byte for each small number, two for the number of an incident or
of a turn. Rows are taken, compared and told apart by a fingerprint of 64 bits.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Rows: TypeAlias = NDArray[np.uint8]
Mask: TypeAlias = NDArray[np.bool_]
Prints: TypeAlias = NDArray[np.uint64]
Cells: TypeAlias = NDArray[np.integer]

WIDTH: Final = 72
_WIDE: Final = ("turn", "old_turn", "record0", "record1")
_GLOBAL: Final = ("faults", "pending", "old_pending")
_HOST: Final = (
    *("on", "frozen", "lm", "ls", "bmc_up", "lease", "fly", "lag", "heard", "quarantine", "obeyed"),
    *("cut", "old_cut", "ask", "old_ask", "clean", "old_clean", "said_agent"),
    *("other", "published"),
)
_INSTANCE: Final = ("home", "runs", "old_start", "left")
_PAIR: Final = ("start",)
NAMES: Final = (
    *_GLOBAL,
    *(f"{name}{host}" for name in _HOST for host in (0, 1)),
    *(f"{name}{instance}" for name in _INSTANCE for instance in (0, 1)),
    *(f"{name}{host}{instance}" for name in _PAIR for host in (0, 1) for instance in (0, 1)),
)
_PLACE: Final = {name: 2 * len(_WIDE) + at for at, name in enumerate(NAMES)}
_WIDE_PLACE: Final = {name: at for at, name in enumerate(_WIDE)} | {"mark": WIDTH // 2 - 1}
_ODD: Final = np.array(
    [0x9E3779B97F4A7C15 * (2 * at + 1) % 2**64 | 1 for at in range(WIDTH // 8)], dtype=np.uint64
)
assert 2 * len(_WIDE) + len(NAMES) <= WIDTH - 2, "a state needs more bytes"


class States:
    """Some states; a name gives the cells of one column, which can be written, too."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> Cells:
        if name in _WIDE_PLACE:
            return self.rows.view(np.uint16)[:, _WIDE_PLACE[name]]
        return self.rows[:, _PLACE[name]]

    def __setitem__(self, name: str, value: Cells | int | Mask) -> None:
        self[name][:] = value

    def where(self, mask: Mask) -> "States":
        """Return a copy of those that are marked."""
        return States(self.rows[mask])

    def put(self, mask: Mask, value: int, *names: str) -> None:
        """Write a number into some columns where it is marked."""
        for name in names:
            self[name][mask] = value

    def prints(self) -> Prints:
        """Return the fingerprint of each; never 0."""
        words = self.rows.view(np.uint64)
        mixed = np.zeros(len(words), dtype=np.uint64)
        for at in range(words.shape[1]):
            mixed ^= words[:, at] * _ODD[at]
            mixed *= np.uint64(0xFF51AFD7ED558CCD)
            mixed ^= mixed >> np.uint64(32)
        mixed[mixed == 0] = 1
        return mixed

    def differences(self, other: "States") -> list[str]:
        """Return which cells of the first state differ, as words."""
        found = []
        for name in (*_WIDE, *NAMES):
            was, now = int(self[name][0]), int(other[name][0])
            if was != now:
                found.append(f"{name} {was} -> {now}")
        return found


def blank(count: int = 1) -> States:
    """Return states of which every number is 0."""
    return States(np.zeros((count, WIDTH), dtype=np.uint8))


def together(parts: Sequence[States]) -> States:
    """Return all states of all parts."""
    return States(np.concatenate([each.rows for each in parts])) if parts else blank(0)


class Visited:
    """The fingerprints of all states that were seen: a hash table with open addresses."""

    def __init__(self, room: int = 1 << 16) -> None:
        self._table: Prints = np.zeros(room, dtype=np.uint64)
        self.count = 0

    def add(self, prints: Prints) -> Mask:
        """Add fingerprints, all different; return which were not there before."""
        while 2 * (self.count + len(prints)) > len(self._table):
            self._grow()
        new = self._insert(prints)
        self.count += int(new.sum())
        return new

    def _grow(self) -> None:
        old = self._table[self._table != 0]
        self._table = np.zeros(4 * len(self._table), dtype=np.uint64)
        for at in range(0, len(old), 1 << 20):
            self._insert(old[at : at + (1 << 20)])

    def _insert(self, prints: Prints) -> Mask:
        table, mask = self._table, np.uint64(len(self._table) - 1)
        new = np.zeros(len(prints), dtype=np.bool_)
        todo = np.arange(len(prints))
        at = (prints & mask).astype(np.int64)
        while todo.size:
            wanted, there = prints[todo], table[at]
            empty = there == 0
            table[at[empty]] = wanted[empty]
            mine = table[at] == wanted
            new[todo[mine & empty]] = True
            at = ((at + 1) & int(mask))[~mine]
            todo = todo[~mine]
        return new
