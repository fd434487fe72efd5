# SPDX-License-Identifier: Apache-2.0
"""How much zones and racks have left, so that spreading fills them evenly.

This is the one part of a score that is not the host's own. It is a number per cell and is added
when hosts are compared, so that an instance changes it for its zone and rack in two small slices.
"""

import numpy as np

from billow.capabilities.placement.cells import Cells
from billow.capabilities.placement.policy import PlacementPolicy, Strategy
from billow.capabilities.placement.scene import Scene
from billow.model.resources import CPU, GPU, FloatArray, IntArray, RowArray
from billow.model.shape import Shape


class Balance:
    """What each cell's zone and rack add to the scores of its hosts.

    Attributes:
        term: `(cells,) float64`; zeros when the policy does not balance.
    """

    def __init__(self, scene: Scene, cells: Cells, policy: PlacementPolicy) -> None:
        self.term: FloatArray = np.zeros(len(cells), dtype=np.float64)
        self._scopes: list[_Scope] = []
        spreading = policy.strategy is Strategy.SPREAD and len(cells) > 0
        racks = _pairs(cells)
        for weight, codes in ((policy.zone_weight, cells.zone), (policy.rack_weight, racks)):
            if spreading and weight and codes[0] != codes[-1]:
                self._scopes.append(_Scope(scene, cells, codes, policy, weight))
        self._add_up()

    def enter(self, cell: int, shape: Shape, sign: int = 1) -> None:
        """Note that an instance came to a cell (or, with sign -1, left it)."""
        for scope in self._scopes:
            scope.enter(cell, shape, sign)
        if self._scopes:
            self._add_up()

    def _add_up(self) -> None:
        if len(self._scopes) == 2:
            np.add(self._scopes[0].term, self._scopes[1].term, out=self.term)
        elif self._scopes:
            self.term = self._scopes[0].term


class _Scope:
    """The zones, or the racks: domains of adjacent cells, and what each has left."""

    def __init__(
        self, scene: Scene, cells: Cells, codes: RowArray, policy: PlacementPolicy, weight: float
    ) -> None:
        begins = np.flatnonzero(np.append(True, codes[1:] != codes[:-1]))
        ends = [*begins[1:].tolist(), len(codes)]
        self._slices = [slice(*pair) for pair in zip(begins.tolist(), ends, strict=True)]
        self._domain = np.repeat(np.arange(len(begins)), np.diff([*begins, len(codes)])).tolist()
        cpu, memory = policy.cpu_weight, policy.memory_weight
        whole = (cpu + memory) or 1.0
        serving = scene.pool.hosts.schedulable[:, None]
        starts = cells.starts[begins]
        free = _sums(np.where(serving, scene.draft.free_hosts, 0)[cells.order], starts)
        total = _sums(np.where(serving, scene.sellable, 0)[cells.order], starts)
        self._cpu_value = _values(total[:, 0], weight * cpu / whole)
        self._memory_value = _values(total[:, 1], weight * memory / whole)
        self._cpu: list[int] = free[:, 0].tolist()
        self._memory: list[int] = free[:, 1].tolist()
        self.term: FloatArray = np.zeros(len(codes), dtype=np.float64)
        for domain in range(len(begins)):
            self._refresh(domain)

    def enter(self, cell: int, shape: Shape, sign: int) -> None:
        domain = self._domain[cell]
        self._cpu[domain] -= sign * shape.cpu_milli
        self._memory[domain] -= sign * shape.memory_mib
        self._refresh(domain)

    def _refresh(self, domain: int) -> None:
        left = self._cpu[domain] * self._cpu_value[domain]
        left += self._memory[domain] * self._memory_value[domain]
        self.term[self._slices[domain]] = left


def _pairs(cells: Cells) -> RowArray:
    """Number the racks of all zones: a rack's name may stand in two zones."""
    if not len(cells):
        return cells.rack
    fresh = (cells.zone[1:] != cells.zone[:-1]) | (cells.rack[1:] != cells.rack[:-1])
    return np.append(0, np.cumsum(fresh)).astype(np.int32)


def _sums(amounts: IntArray, starts: IntArray) -> IntArray:
    """Add CPU, and memory of both kinds, from each start to the next: `(domains, 2) int64`."""
    by_domain = np.add.reduceat(amounts, starts, axis=0)
    memory = by_domain[:, CPU + 1 : GPU].sum(axis=1)
    return np.stack([by_domain[:, CPU], memory], axis=1)


def _values(total: IntArray, weight: float) -> list[float]:
    """Return what one unit that is left is worth in each domain."""
    return [weight / amount if amount else 0.0 for amount in total.tolist()]
