# SPDX-License-Identifier: Apache-2.0
"""The columns of the master problem: what hosts, places and rooms can do, as a sparse matrix.

Three kinds of column make a flow. A *way* says which wide instances leave and come on one host of
a type; it brings each of its nodes to an offset. A *leaving* says who leaves a node at that offset;
it comes to a room. A *filling* puts one item into a room, which leaves a smaller one.
"""

from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np

from billow.capabilities.defrag.states import States
from billow.model.resources import FloatArray, IntArray

Column: TypeAlias = tuple[str, int, int, tuple[int, ...]]
"""`("way", way, 0, who comes)`, `("leave", row, offset, ())`, `("fill", room, item, ())`."""
Row: TypeAlias = tuple[str, int, int]

_NOTHING: Final[tuple[int, ...]] = ()
MOVES: Row = ("moves", 0, 0)
SLOTS: Row = ("slots", 0, 0)


@dataclass
class Columns:
    """Columns and the rows that they meet, growing.

    Attributes:
        names: What each column is.
        rows: The number of each row: moves, slots, `("class", c, 0)` (no more may leave than come),
            `("host", type, 0)`, `("place", node type, offset)`, `("room", room, 0)`.
        entries: Row numbers and coefficients of each column.
    """

    states: States
    names: list[Column] = field(default_factory=list)
    rows: dict[Row, int] = field(default_factory=dict)
    entries: list[tuple[list[int], list[float]]] = field(default_factory=list)
    known: set[Column] = field(default_factory=set)
    opened: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        for row in (MOVES, SLOTS):
            self.row(row)
        for number in range(self.states.problem.items.classes):
            self.row(("class", number, 0))

    def row(self, name: Row) -> int:
        """Return the number of a row, a new one where it is not there yet."""
        return self.rows.setdefault(name, len(self.rows))

    def add_way(self, way: int, arrivals: tuple[int, ...]) -> bool:
        """Add a way with wide items that arrive; return whether it is new."""
        states, name = self.states, ("way", way, 0, arrivals)
        if name in self.known:
            return False
        owner = int(states.wides.owner[way])
        entry: dict[int, float] = {self.row(("host", owner, 0)): 1.0}
        offset = self.offset(way, arrivals)
        for node in states.problem.types.nodes[owner].tolist():
            if node >= 0:
                _add(entry, self.row(("place", node, offset)), -1.0)
        self._leave(entry, states.wides.gone[way], int(states.wides.moves[way]))
        for item in arrivals:
            self._arrive(entry, item)
        self._append(name, entry)
        return True

    def add_leave(self, row: int, offset: int) -> bool:
        """Add a leaving at an offset; return whether it is new."""
        states, name = self.states, ("leave", row, offset, _NOTHING)
        if name in self.known:
            return False
        owner = int(states.singles.owner[row])
        entry: dict[int, float] = {self.row(("place", owner, offset)): 1.0}
        self._leave(entry, states.singles.gone[row], int(states.singles.moves[row]))
        room = int(states.room(np.array([row]), np.array([offset]))[0])
        entry[self._room(room)] = -1.0
        self._append(name, entry)
        return True

    def add_fill(self, room: int, item: int) -> bool:
        """Add one item put into a room (flat); return whether it is new and the item fits."""
        name = ("fill", room, item, _NOTHING)
        after = self.after(room, item)
        if name in self.known or after < 0:
            return False
        entry: dict[int, float] = {self._room(room): 1.0}
        _add(entry, self._room(after), -1.0)
        self._arrive(entry, item)
        self._append(name, entry)
        return True

    def after(self, room: int, item: int) -> int:
        """Return the room that is left when an item is put into one; -1 when it may not."""
        states, items = self.states, self.states.problem.items
        rest, memory = divmod(room, states.memories + 1)
        kind, cpu = divmod(rest, states.cpus + 1)
        need_cpu, need_memory = items.size[item].tolist()
        fits = need_cpu <= cpu and need_memory <= memory and need_cpu + need_memory > 0
        if not fits or items.span[item] or not items.suits[kind, item]:
            return -1
        return room - int(need_cpu) * (states.memories + 1) - int(need_memory)

    def sums(self, chosen: FloatArray) -> tuple[float, int]:
        """Return slots' worth and moves of how often each column is taken."""
        worth = moves = 0.0
        for (numbers, values), times in zip(self.entries, chosen.tolist(), strict=True):
            if times:
                for number, value in zip(numbers, values, strict=True):
                    moves += times * value if number == 0 else 0.0
                    worth += times * value if number == 1 else 0.0
        return worth, round(moves)

    def matrix(self) -> tuple[IntArray, IntArray, FloatArray]:
        """Return the columns as starts, row numbers and values."""
        lengths = [len(numbers) for numbers, _ in self.entries]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        index = [number for numbers, _ in self.entries for number in numbers]
        value = [each for _, values in self.entries for each in values]
        return starts, np.array(index, dtype=np.int64), np.array(value, dtype=np.float64)

    def offset(self, way: int, arrivals: tuple[int, ...]) -> int:
        """Return the offset that a way with arrivals brings the nodes to."""
        size = self.states.problem.items.size
        total = (int(size[list(arrivals), 0].sum()), int(size[list(arrivals), 1].sum()))
        return int(self.states.offset_of[way, self.states.sum_at[total]])

    def _leave(self, entry: dict[int, float], gone: IntArray, moves: int) -> None:
        if moves:
            _add(entry, 0, float(moves))
        for number in np.flatnonzero(gone).tolist():
            _add(entry, self.row(("class", number, 0)), -float(gone[number]))

    def _arrive(self, entry: dict[int, float], item: int) -> None:
        items = self.states.problem.items
        if item < items.classes:
            _add(entry, self.row(("class", item, 0)), 1.0)
        else:
            _add(entry, 1, float(items.worth[item]))

    def _room(self, room: int) -> int:
        known = len(self.rows)
        number = self.row(("room", room, 0))
        if number == known:
            self.opened.append(room)
        return number

    def _append(self, name: Column, entry: dict[int, float]) -> None:
        kept = [(number, value) for number, value in entry.items() if value]
        self.known.add(name)
        self.names.append(name)
        self.entries.append(([number for number, _ in kept], [value for _, value in kept]))


def _add(entry: dict[int, float], row: int, value: float) -> None:
    entry[row] = entry.get(row, 0.0) + value
