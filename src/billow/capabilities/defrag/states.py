# SPDX-License-Identifier: Apache-2.0
"""The frame of a problem that does not change while prices do: ways to leave, rooms, offsets.

Instances that lie on all nodes of a host (*wide* ones) change the room of each of its nodes by the
same amount: an offset. All offsets that any host can come to are listed once.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from billow.capabilities.defrag.leaving import Leavings, leavings
from billow.capabilities.defrag.prices import Prices
from billow.capabilities.defrag.problem import Problem
from billow.model.resources import FloatArray, IntArray

MOST_SUMS = 4_000
"""Most sums of wide arrivals that are told apart."""


@dataclass(frozen=True)
class States:
    """A problem, unrolled.

    Attributes:
        singles: How residents of one place leave, by node type.
        wides: How wide residents leave, by host type.
        cpus, memories: Most units of a place's room.
        sums: What wide arrivals can take together of each node, `(sums, 2)`; the first is nothing.
        steps: `(sum, item, sum before)`: how each sum is reached, in an order that works.
        offsets: Changes of room that wide instances make, `(offsets, 2)`; the first is none.
        offset_of: The offset of a way to leave with a sum of arrivals, `(ways, sums)`.
        kind_of_host: Kind of each host type, `(host types,)`.
    """

    problem: Problem
    singles: Leavings
    wides: Leavings
    cpus: int
    memories: int
    sums: IntArray
    steps: tuple[tuple[int, int, int], ...]
    offsets: IntArray
    offset_of: IntArray
    kind_of_host: IntArray

    @cached_property
    def sum_at(self) -> dict[tuple[int, int], int]:
        """The number of each sum."""
        return {(cpu, memory): number for number, (cpu, memory) in enumerate(self.sums.tolist())}

    @cached_property
    def steps_to(self) -> dict[int, list[tuple[int, int]]]:
        """How each sum is reached: item and sum before."""
        found: dict[int, list[tuple[int, int]]] = {}
        for number, item, before in self.steps:
            found.setdefault(number, []).append((item, before))
        return found

    @cached_property
    def base(self) -> IntArray:
        """CPU and memory that each leaving leaves, and where its kind begins in `fill`."""
        owner, nodes = self.singles.owner, self.problem.nodes
        room = nodes.free[owner] + self.singles.freed
        kind = nodes.kind[owner] * (self.cpus + 1) * (self.memories + 1)
        return np.stack([room[:, 0], room[:, 1], kind])

    @cached_property
    def cpu_offsets(self) -> IntArray:
        """The CPU part of all offsets, each once."""
        return np.unique(self.offsets[:, 0])

    @cached_property
    def cpu_offset_of(self) -> IntArray:
        """The position in `cpu_offsets` of each offset of `offset_of`, `(ways, sums)`."""
        position = np.searchsorted(self.cpu_offsets, self.offsets[:, 0])
        found: IntArray = position[self.offset_of].astype(np.int64)
        return found

    def room(self, rows: IntArray, offset: IntArray) -> IntArray:
        """Return the flat position of the room that leavings leave in `fill`; -1 for too little."""
        cpu = self.base[0, rows] + self.offsets[offset, 0]
        memory = self.base[1, rows] + self.offsets[offset, 1]
        flat = np.minimum(cpu, self.cpus) * (self.memories + 1) + np.minimum(memory, self.memories)
        return np.where((cpu >= 0) & (memory >= 0), flat + self.base[2, rows], -1)

    def roomy(self, cpu_offset: int) -> IntArray:
        """Return the room of every leaving at a CPU offset, with all the memory that can be."""
        cpu = self.base[0] + cpu_offset
        flat = np.minimum(cpu, self.cpus) * (self.memories + 1) + self.memories
        return np.where(cpu >= 0, flat + self.base[2], -1)

    def rows_of(self, kinds: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """Return the leavings of node types: rows, which of the types, and where each begins."""
        start = self.singles.start
        length = start[kinds + 1] - start[kinds]
        first = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
        which = np.repeat(np.arange(len(kinds)), length)
        row = np.arange(first[-1]) - np.repeat(first[:-1] - start[kinds], length)
        return row, which, first

    def earned(self, prices: Prices) -> FloatArray:
        """Return what one more of each item is worth at prices, `(items,)`."""
        items = self.problem.items
        value = prices.slot * items.worth
        value[: items.classes] = prices.instance
        return value


def states_of(problem: Problem) -> States:
    """Return the frame of a problem."""
    items, nodes, types = problem.items, problem.nodes, problem.types
    size = items.size[: items.classes]
    singles, wides = leavings(nodes.residents, size), leavings(types.spanning, size)
    full = nodes.free + nodes.residents @ size
    wide_size = np.zeros((len(nodes), 2), dtype=np.int64)
    gone = types.spanning @ size
    for column in types.nodes.T:
        there = column >= 0
        np.maximum.at(wide_size, column[there], gone[there])
    top = (full + wide_size).max(axis=0, initial=0)
    sums, steps = _sums(problem, top)
    reached = wides.freed[:, None, :] - sums[None, :, :]
    table = np.concatenate([np.zeros((1, 2), np.int64), reached.reshape(-1, 2)])
    offsets, first, inverse = np.unique(table, axis=0, return_index=True, return_inverse=True)
    inverse = inverse.reshape(-1)
    order = np.argsort(first, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    some = types.nodes.max(axis=1) if len(types) else np.zeros(0, np.int64)
    return States(
        problem,
        singles,
        wides,
        int(top[0]),
        int(top[1]),
        sums,
        steps,
        offsets[order],
        place[inverse[1:]].reshape(len(wides), len(sums)),
        nodes.kind[some],
    )


def _sums(problem: Problem, top: IntArray) -> tuple[IntArray, tuple[tuple[int, int, int], ...]]:
    """Return what wide arrivals can sum up to, and how: breadth first, smallest first."""
    items = problem.items
    wide = [item for item in np.flatnonzero(items.span).tolist() if items.size[item].any()]
    known: dict[tuple[int, int], int] = {(0, 0): 0}
    steps: list[tuple[tuple[int, int], int, tuple[int, int]]] = []
    todo = [(0, 0)]
    for here in todo:
        for item in wide:
            there = (here[0] + int(items.size[item, 0]), here[1] + int(items.size[item, 1]))
            if there[0] > top[0] or there[1] > top[1]:
                continue
            if there not in known:
                if len(known) >= MOST_SUMS:
                    continue
                known[there] = len(known)
                todo.append(there)
            steps.append((there, item, here))
    steps.sort()
    numbered = tuple((known[there], item, known[here]) for there, item, here in steps)
    return np.array(list(known), dtype=np.int64).reshape(-1, 2), numbered
