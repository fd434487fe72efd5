# SPDX-License-Identifier: Apache-2.0
"""How much zones and racks have left, so that spreading fills them evenly.

This is the one part of a score that is not the host's own. It is a number per cell and is added
when hosts are compared, so that an instance changes it for its zone and rack in two small slices.
"""

import numpy as np

from billow.capabilities.placement.cells import Cells, Rows
from billow.capabilities.placement.policy import PlacementPolicy, Strategy
from billow.capabilities.placement.scene import Scene
from billow.model.resources import CPU, HUGE, MEMORY, FloatArray, IntArray, RowArray
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
        if self._scopes:
            cpu, memory = sign * shape.cpu_milli, sign * shape.memory_mib
            for scope in self._scopes:
                scope.take(cell, cpu, memory)
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
        starts = cells.starts[begins]
        free = _sums(scene, scene.draft.free_hosts, cells, starts)
        total = _sums(scene, scene.sellable, cells, starts)
        value = np.array([cpu, memory]) * weight / whole / np.maximum(total, 1)
        self._cpu_value: list[float] = value[:, 0].tolist()
        self._memory_value: list[float] = value[:, 1].tolist()
        self._cpu: list[int] = free[:, 0].tolist()
        self._memory: list[int] = free[:, 1].tolist()
        shares = (free * value).sum(axis=1)
        self.term: FloatArray = np.repeat(shares, np.diff([*begins, len(codes)]))

    def take(self, cell: int, cpu: int, memory: int) -> None:
        domain = self._domain[cell]
        self._cpu[domain] = left_cpu = self._cpu[domain] - cpu
        self._memory[domain] = left_memory = self._memory[domain] - memory
        self.term[self._slices[domain]] = (
            left_cpu * self._cpu_value[domain] + left_memory * self._memory_value[domain]
        )


def _pairs(cells: Cells) -> RowArray:
    """Number the racks of all zones: a rack's name may stand in two zones."""
    if not len(cells):
        return cells.rack
    fresh = (cells.zone[1:] != cells.zone[:-1]) | (cells.rack[1:] != cells.rack[:-1])
    return np.append(0, np.cumsum(fresh)).astype(np.int32)


def _sums(scene: Scene, amounts: IntArray, cells: Cells, starts: Rows) -> IntArray:
    """Add CPU, and memory of both kinds, of hosts in service by domain: `(domains, 2) int64`."""
    serving = scene.pool.hosts.schedulable
    columns = (amounts[:, CPU], amounts[:, MEMORY] + amounts[:, HUGE])
    return np.stack(
        [np.add.reduceat((column * serving)[cells.order], starts) for column in columns], axis=1
    )
