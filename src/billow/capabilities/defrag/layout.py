# SPDX-License-Identifier: Apache-2.0
"""From counts back to hosts: who leaves which place, and where how many of a class may come.

The whole answer says how often something is done on equal hosts; here each time becomes one host.
Nothing is checked beyond what the problem knows: groups and order are `moving`'s business.
"""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from billow.capabilities.defrag.columns import Columns
from billow.capabilities.defrag.integral import Whole
from billow.capabilities.defrag.problem import Problem

WIDE = -1
"""The place of an instance that lies on all nodes of its host."""

Place = tuple[int, int]
"""Position in `Problem.hosts`, and node number or `WIDE`."""


@dataclass
class Layout:
    """Who leaves and what may come, by class.

    Attributes:
        leaving: `(place, class) -> how many` leave.
        coming: Class -> places, one entry per arrival.
    """

    leaving: dict[tuple[Place, int], int] = field(default_factory=dict)
    coming: dict[int, list[Place]] = field(default_factory=lambda: defaultdict(list))


def layout_of(problem: Problem, whole: Whole) -> Layout:
    """Return a layout that realises a whole answer."""
    return _Unfolding(problem, whole).run()


class _Unfolding:
    def __init__(self, problem: Problem, whole: Whole) -> None:
        self._problem = problem
        self._columns: Columns = whole.columns
        self._states = whole.columns.states
        self._layout = Layout()
        self._at_place: defaultdict[tuple[int, int], list[Place]] = defaultdict(list)
        self._in_room: defaultdict[int, list[Place]] = defaultdict(list)
        self._times = [
            (name, int(times))
            for name, times in zip(whole.columns.names, whole.times.tolist(), strict=True)
            if times
        ]

    def run(self) -> Layout:
        self._unfold_hosts()
        self._unfold_places()
        self._unfold_rooms()
        return self._layout

    def _unfold_hosts(self) -> None:
        waiting: defaultdict[int, list[int]] = defaultdict(list)
        for position, kind in enumerate(self._problem.host_type.tolist()):
            waiting[kind].append(position)
        for (kind_of, way, _, arrivals), times in self._times:
            if kind_of == "way":
                owner = int(self._states.wides.owner[way])
                for _ in range(times):
                    self._set_host(waiting[owner].pop(), way, arrivals)

    def _set_host(self, position: int, way: int, arrivals: tuple[int, ...]) -> None:
        problem, states = self._problem, self._states
        wide = (position, WIDE)
        self._leave(wide, states.wides.gone[way].tolist())
        for item in arrivals:
            if item < problem.items.classes:
                self._layout.coming[item].append(wide)
        offset = self._columns.offset(way, arrivals)
        for node, kind in enumerate(problem.node_type[position].tolist()):
            if kind >= 0:
                self._at_place[kind, offset].append((position, node))

    def _unfold_places(self) -> None:
        for (kind_of, row, offset, _), times in self._times:
            if kind_of == "leave":
                owner = int(self._states.singles.owner[row])
                gone = self._states.singles.gone[row].tolist()
                room = int(self._states.room(np.array([row]), np.array([offset]))[0])
                for _ in range(times):
                    place = self._at_place[owner, offset].pop()
                    self._leave(place, gone)
                    self._in_room[room].append(place)

    def _unfold_rooms(self) -> None:
        fillings = [
            (room, item, times)
            for (kind_of, room, item, _), times in self._times
            if kind_of == "fill"
        ]
        for room, item, times in sorted(fillings, reverse=True):
            after = self._columns.after(room, item)
            for _ in range(times):
                place = self._in_room[room].pop()
                self._in_room[after].append(place)
                if item < self._problem.items.classes:
                    self._layout.coming[item].append(place)

    def _leave(self, place: Place, gone: list[int]) -> None:
        for number, count in enumerate(gone):
            if count:
                self._layout.leaving[place, number] = count
