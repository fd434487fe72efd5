# SPDX-License-Identifier: Apache-2.0
"""The compact integer program of a crowd: how many of each class leave and come, host by host.

One column says how many of an item leave a place, come to it, or fit there as slots. Rows keep
every resource of hosts and nodes exact, as many of a class coming as leaving, and moves within
their number. Equal instances are one column, so hundreds of hosts make thousands of columns,
where "this instance to that host" would make a million.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from billow.capabilities.defrag.dense import Crowd
from billow.capabilities.defrag.program import Program
from billow.model.resources import RESOURCES, BoolArray, FloatArray, IntArray

OUT: Final = -1
IN: Final = 1
SLOT: Final = 2
_KINDS: Final = len(RESOURCES)


@dataclass(frozen=True)
class Compact:
    """Columns of a crowd's program.

    Attributes:
        sign: `OUT`, `IN` or `SLOT`, `(columns,)`.
        host: Position of the host in the crowd, `(columns,)`.
        place: 0 for the host as a whole, else 1 + node, `(columns,)`.
        item: `(columns,)`.
        upper: The most that it can be, `(columns,)`.
    """

    crowd: Crowd
    sign: IntArray
    host: IntArray
    place: IntArray
    item: IntArray
    upper: IntArray

    def __len__(self) -> int:
        return len(self.sign)

    @property
    def worth(self) -> FloatArray:
        """What one of each column is worth, `(columns,)`."""
        worth: FloatArray = np.where(self.sign == SLOT, self.crowd.worth[self.item], 0.0)
        return worth

    @property
    def moves(self) -> FloatArray:
        """How many moves one of each column is, `(columns,)`."""
        moves: FloatArray = (self.sign == OUT).astype(np.float64)
        return moves

    def most_slots(self, moves: int, enough: float) -> Program:
        """Return the program for the most worth with at most so many moves."""
        return self._program(-self.worth, moves, -np.inf, -enough)

    def fewest_moves(self, moves: int, wanted: float, enough: int) -> Program:
        """Return the program for the fewest moves with at least a wanted worth."""
        return self._program(self.moves, moves, wanted, float(enough))

    def _program(self, cost: FloatArray, moves: int, wanted: float, enough: float) -> Program:
        row, column, value = self._entries
        limits = self._limits(moves, wanted)
        used, row = np.unique(row, return_inverse=True)
        lower, upper = limits[0][used], limits[1][used]
        return Program(cost, self.upper, row, column, value, lower, upper, enough)

    @property
    def _entries(self) -> tuple[IntArray, IntArray, FloatArray]:
        """Return rows, columns and values: hosts, nodes, classes, moves, then worth."""
        crowd, columns = self.crowd, np.arange(len(self))
        sign = np.where(self.sign == OUT, -1, 1)
        found = []
        for kind in range(_KINDS):
            taken = crowd.demand[self.item, kind] * sign
            found.append((self.host * _KINDS + kind, columns, taken))
        for row, chosen in self._on_nodes():
            for kind in range(_KINDS):
                taken = crowd.share[self.item[chosen], kind] * sign[chosen]
                found.append((row * _KINDS + kind, columns[chosen], taken))
        free = self._first_class
        is_class = np.flatnonzero(self.sign != SLOT)
        found.append((free + self.item[is_class], is_class, sign[is_class]))
        found.append((np.full(len(self), free + crowd.classes), columns, self.moves))
        found.append((np.full(len(self), free + crowd.classes + 1), columns, self.worth))
        row, column, value = (np.concatenate(each) for each in zip(*found, strict=True))
        used = value != 0
        return row[used], column[used], value[used].astype(np.float64)

    def _on_nodes(self) -> list[tuple[IntArray, IntArray]]:
        """Return (row, column) of all that lies on nodes: on one, or on all of a host."""
        hosts, nodes = len(self.crowd.hosts), self.crowd.free_nodes.shape[1]
        single = np.flatnonzero(self.place > 0)
        found = [(hosts + self.host[single] * nodes + self.place[single] - 1, single)]
        wide = np.flatnonzero((self.place == 0) & self._spans())
        found += [(hosts + self.host[wide] * nodes + node, wide) for node in range(nodes)]
        there = self.crowd.pool.hosts.present[self.crowd.hosts].reshape(-1)
        kept = [there[row - hosts] for row, _ in found]
        return [(row[good], column[good]) for (row, column), good in zip(found, kept, strict=True)]

    def _spans(self) -> BoolArray:
        count = self.crowd.pool.hosts.node_count[self.crowd.hosts[self.host]]
        spans: BoolArray = self.crowd.width[self.item] == count
        return spans

    @property
    def _first_class(self) -> int:
        hosts, nodes = self.crowd.free_nodes.shape[:2]
        return int(hosts * (1 + nodes) * _KINDS)

    def _limits(self, moves: int, wanted: float) -> tuple[FloatArray, FloatArray]:
        crowd = self.crowd
        free = np.concatenate([crowd.free.reshape(-1), crowd.free_nodes.reshape(-1)])
        upper = np.concatenate([free, np.zeros(crowd.classes), [moves], [np.inf]])
        lower = np.full(len(upper), -np.inf)
        lower[self._first_class : self._first_class + crowd.classes] = 0.0
        lower[-1] = wanted
        return lower, upper


def compact_of(crowd: Crowd) -> Compact:
    """Return the columns of a crowd: who can leave a place, and what can come to it."""
    residents = crowd.residents
    host, place, item = np.nonzero(residents)
    parts = [(OUT, host, place, item, residents[host, place, item])]
    most = _most(crowd)
    for sign, first, last in ((IN, 0, crowd.classes), (SLOT, crowd.classes, len(crowd.width))):
        host, place, item = np.nonzero(most[:, :, first:last])
        parts.append((sign, host, place, item + first, most[host, place, item + first]))
    signs = np.concatenate([np.full(len(part[1]), part[0], dtype=np.int64) for part in parts])
    rest = [np.concatenate([part[number] for part in parts]) for number in range(1, 5)]
    return Compact(crowd, signs, rest[0], rest[1], rest[2], rest[3])


def _most(crowd: Crowd) -> IntArray:
    """Return how many of each item fit when all have left that may, `(n, 1 + nodes, items)`."""
    residents, nodes = crowd.residents, crowd.free_nodes.shape[1]
    total = crowd.free + residents.sum(axis=1) @ crowd.demand[: crowd.classes]
    count = crowd.pool.hosts.node_count[crowd.hosts]
    by_host = _times(total, crowd.demand)
    is_class = np.arange(len(crowd.width)) < crowd.classes
    wide = (crowd.width > 1) & ((crowd.width == count[:, None]) | ~is_class)
    most = np.zeros((len(crowd.hosts), 1 + nodes, len(crowd.width)), dtype=np.int64)
    most[:, 0] = np.where(crowd.suits & (wide | (crowd.width == 0)), by_host, 0)
    for node in range(nodes):
        left = crowd.free_nodes[:, node] + residents[:, 1 + node] @ crowd.share[: crowd.classes]
        spans = residents[:, 0] * (crowd.width[: crowd.classes] > 1)
        left = left + spans @ crowd.share[: crowd.classes]
        good = crowd.suits & (crowd.width == 1) & (node < count[:, None])
        most[:, 1 + node] = np.where(good, np.minimum(by_host, _times(left, crowd.share)), 0)
    return most


def _times(free: IntArray, amounts: IntArray) -> IntArray:
    """Return how often items go into what is free, `(n, items)`."""
    least = np.full((len(free), len(amounts)), 2**40, dtype=np.int64)
    for kind in range(_KINDS):
        taken = amounts[:, kind]
        times = free[:, None, kind] // np.maximum(taken, 1)
        least = np.where(taken > 0, np.minimum(least, times), least)
    return np.maximum(np.where(amounts.any(axis=1), least, 0), 0)
