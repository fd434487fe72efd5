# SPDX-License-Identifier: Apache-2.0
"""From a layout to instances that move: the cheapest of equals, checked on a draft.

Here groups and all else that the problem does not know have their say: what may not go where the
layout wants it goes to another place of the layout, or stays at home.
"""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from billow.capabilities.defrag.layout import WIDE, Layout, Place
from billow.capabilities.defrag.problem import NO_CLASS, Problem
from billow.model.instances import NOWHERE
from billow.model.pool import Pool
from billow.model.resources import CPU, FloatArray
from billow.plan.draft import Draft

Spot = tuple[int, int]
"""Host row and node mask."""


def move_costs(pool: Pool) -> FloatArray:
    """Return how unwelcome the move of each instance is, `(instances,)`: time, then priority.

    Memory over the time that it takes to send it; what writes quickly is sent again and again.
    """
    ours = pool.instances
    memory = np.array([shape.memory_mib for shape in pool.shapes], dtype=np.float64)
    held = memory[ours.shape] if len(memory) else np.zeros(len(ours))
    dirty = np.nan_to_num(ours.dirty.astype(np.float64))
    grouped = ~ours.group.where("")
    cost: FloatArray = held * (1.0 + dirty / 100.0) + ours.priority * 1e6 + grouped * 1e15
    return cost


class Moving:
    """A layout that becomes a draft."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._cost = move_costs(problem.pool)
        self.draft = Draft(problem.pool)

    def realise(self, layout: Layout) -> None:
        """Move instances as the layout says, as far as they may."""
        leaving = self._chosen(layout)
        mark = {row: self.draft.where(row) for rows in leaving.values() for row in rows}
        for row in mark:
            self.draft.assign(row, NOWHERE)
        homeless: list[int] = []
        for number in sorted(leaving, key=lambda each: -self._size(each)):
            spots = [self._spot(place) for place in layout.coming.get(number, [])]
            homeless += self._settle(leaving[number], spots)
        self._home(homeless, mark)

    def move(self, row: int, host: int, mask: int) -> bool:
        """Move one instance; return whether it may be there."""
        return self.draft.assign(row, host, mask)

    def _chosen(self, layout: Layout) -> dict[int, list[int]]:
        """Return the instances that leave, by class."""
        chosen: defaultdict[int, list[int]] = defaultdict(list)
        residents = self._residents({place for place, _ in layout.leaving})
        for (place, number), count in layout.leaving.items():
            rows = sorted(residents[place, number], key=lambda row: (self._cost[row], row))
            chosen[number] += rows[:count]
        return chosen

    def _residents(self, places: Iterable[Place]) -> dict[tuple[Place, int], list[int]]:
        problem, ours = self._problem, self._problem.pool.instances
        wanted = set(places)
        hosts = np.array(sorted({position for position, _ in wanted}), dtype=np.int64)
        rows = np.flatnonzero(
            (problem.klass != NO_CLASS) & np.isin(problem.host_position[ours.host], hosts)
        )
        found: defaultdict[tuple[Place, int], list[int]] = defaultdict(list)
        for row in rows.tolist():
            number = int(problem.klass[row])
            node = 0
            if problem.items.span[number]:
                node = WIDE
            elif problem.by_node:
                node = int(ours.nodes[row]).bit_length() - 1
            found[(int(problem.host_position[ours.host[row]]), node), number].append(row)
        return found

    def _spot(self, place: Place) -> Spot:
        position, node = place
        host = int(self._problem.hosts[position])
        if not self._problem.by_node:
            return host, 0
        if node == WIDE:
            return host, (1 << int(self._problem.pool.hosts.node_count[host])) - 1
        return host, 1 << node

    def _settle(self, rows: list[int], spots: list[Spot]) -> list[int]:
        """Bring instances of one class to spots; return who found none."""
        at_home = {self._problem.pool.instances.host[row]: row for row in rows}
        free = sorted(spots, key=lambda spot: spot[0] not in at_home)
        left: list[int] = []
        for row in rows:
            spot = next((spot for spot in free if self._goes(row, spot)), None)
            if spot is None:
                left.append(row)
            else:
                free.remove(spot)
        return left

    def _goes(self, row: int, spot: Spot) -> bool:
        return self.move(row, *self._bound(row, spot))

    def _bound(self, row: int, spot: Spot) -> Spot:
        """Return the spot with the nodes that an instance needs on a host taken as a whole."""
        host, mask = spot
        width = self._problem.pool.shapes[int(self.draft.shape[row])].numa_nodes
        if mask or not width:
            return spot
        share = self._problem.pool.share[int(self.draft.shape[row])]
        free = self.draft.free_nodes[host]
        able = np.flatnonzero((free >= share).all(axis=1))
        best = able[np.argsort(free[able, CPU], kind="stable")][:width]
        return host, sum(1 << int(node) for node in best)

    def _home(self, rows: list[int], was: dict[int, Spot]) -> None:
        """Bring back who found no new place; where home is taken, all go back."""
        for row in rows:
            if not self.draft.assign(row, *was[row]):
                self._all_back(was)
                return

    def _all_back(self, was: dict[int, Spot]) -> None:
        for row in was:
            self.draft.assign(row, NOWHERE)
        for row, spot in was.items():
            self.draft.assign(row, *spot)

    def _size(self, number: int) -> int:
        return int(self._problem.items.size[number, 0])
