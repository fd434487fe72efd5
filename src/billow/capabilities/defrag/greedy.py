# SPDX-License-Identifier: Apache-2.0
"""A first answer without a solver: empty what yields most slots for the fewest moves.

Each emptied instance goes where it fits tightest without taking a slot away. Rough, but it needs
nothing beyond NumPy, so a plan stands even when the solver is missing or fails.
"""

from dataclasses import dataclass

import numpy as np

from billow.capabilities.defrag.layout import Layout, Place
from billow.capabilities.defrag.prices import Prices
from billow.capabilities.defrag.pricing import priced
from billow.capabilities.defrag.states import States
from billow.model.resources import FloatArray, IntArray

MOST_TRIES = 20_000
"""Most places that are tried to be emptied."""


@dataclass
class _Room:
    """What places have left and what that is worth, while it changes."""

    cpu: IntArray
    memory: IntArray
    kind: IntArray
    fill: FloatArray

    def worth(
        self, place: IntArray | int, cpu: IntArray | int, memory: IntArray | int
    ) -> FloatArray:
        """Return what places are worth with so much room."""
        found: FloatArray = self.fill[self.kind[place], cpu, memory]
        return found


def emptied(states: States, moves: int) -> Layout:
    """Return a layout with at most so many moves; single residents only."""
    return _Emptying(states, moves).run()


class _Emptying:
    def __init__(self, states: States, moves: int) -> None:
        self._states = states
        problem = states.problem
        self._left = moves
        self._layout = Layout()
        there = problem.node_type >= 0
        self._type = problem.node_type[there]
        self._place = np.argwhere(there)
        free = problem.nodes.free[self._type]
        nothing = Prices(0.0, 1.0, np.zeros(problem.items.classes))
        fill = priced(states, nothing).fill
        self._room = _Room(
            free[:, 0].copy(), free[:, 1].copy(), problem.nodes.kind[self._type], fill
        )
        self._touched = np.zeros(len(self._type), dtype=np.bool_)

    def run(self) -> Layout:
        for place, row in self._candidates():
            if self._left <= 0:
                break
            if not self._touched[place] and self._states.singles.moves[row] <= self._left:
                self._empty(place, row)
        return self._layout

    def _candidates(self) -> list[tuple[int, int]]:
        """Return places with the leavings that gain, best first."""
        states, rows = self._states, self._states.singles
        every = np.arange(len(rows))
        room = states.room(every, np.zeros(len(rows), dtype=np.int64))
        flat = self._room.fill.reshape(-1)
        before = flat[room[rows.start[:-1]]][rows.owner]
        gain = flat[room] - before
        good = np.flatnonzero((gain > 0) & rows.real)
        rate = gain[good] / rows.moves[good]
        order = good[np.lexsort((rows.freed[good, 0], -rate))]
        members: dict[int, list[int]] = {}
        for place, kind in enumerate(self._type.tolist()):
            members.setdefault(kind, []).append(place)
        found = [
            (place, row)
            for row in order[:MOST_TRIES].tolist()
            for place in members.get(int(rows.owner[row]), [])
        ]
        return found[:MOST_TRIES]

    def _empty(self, place: int, row: int) -> None:
        rows, size = self._states.singles, self._states.problem.items.size
        gone = [
            number
            for number in np.flatnonzero(rows.gone[row]).tolist()
            for _ in range(int(rows.gone[row, number]))
        ]
        gone.sort(key=lambda number: -int(size[number, 0]))
        taken: list[tuple[int, int]] = []
        for number in gone:
            target = self._tightest(place, number)
            if target < 0:
                for each, item in taken:
                    self._take(each, item, -1)
                return
            self._take(target, number, 1)
            taken.append((target, number))
        self._left -= len(gone)
        self._touched[place] = True
        for number in np.flatnonzero(rows.gone[row]).tolist():
            self._layout.leaving[self._named(place), number] = int(rows.gone[row, number])
            self._take(place, number, -int(rows.gone[row, number]))
        for target, number in taken:
            self._touched[target] = True
            self._layout.coming[number].append(self._named(target))

    def _take(self, place: int, number: int, times: int) -> None:
        cpu, memory = self._states.problem.items.size[number].tolist()
        self._room.cpu[place] -= cpu * times
        self._room.memory[place] -= memory * times

    def _tightest(self, source: int, number: int) -> int:
        """Return the place that loses no slot and keeps the least useless room; -1 for none."""
        room, items = self._room, self._states.problem.items
        cpu, memory = items.size[number].tolist()
        good = (room.cpu >= cpu) & (room.memory >= memory) & items.suits[room.kind, number]
        good[source] = False
        able = np.flatnonzero(good)
        if not len(able):
            return -1
        before = room.worth(able, room.cpu[able], room.memory[able])
        after = room.worth(able, room.cpu[able] - cpu, room.memory[able] - memory)
        able = able[after >= before]
        if not len(able):
            return -1
        return int(able[np.argmin(room.cpu[able] - cpu)])

    def _named(self, place: int) -> Place:
        position, node = self._place[place].tolist()
        return int(position), int(node)
