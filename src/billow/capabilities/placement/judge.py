# SPDX-License-Identifier: Apache-2.0
"""Whether a host has room for a request, and how good a place it is: one formula for all.

A score depends on nothing but the host's own state, so placing an instance changes the score of one
host only. Nothing here knows groups, zones or why a host is out of service: `filters.py` and
`fellows.py` do.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final, Generic

from billow.capabilities.placement.arithmetic import Arithmetic, Column
from billow.capabilities.placement.need import Need
from billow.capabilities.placement.policy import PlacementPolicy, Strategy
from billow.model.instance import mask_of
from billow.model.resources import CPU, GPU

NO_ROOM: Final = float("-inf")
"""The score of a host that does not fit."""
_UNFIT: Final = 1e6
"""Stands for a NUMA node without room; more than all shares of 32 nodes together."""


@dataclass(slots=True)
class Left(Generic[Column]):
    """What hosts have left, as columns.

    Attributes:
        free: By resource, of those that matter to the judge and in its order.
        inverse: 1 / what may be sold, likewise.
        nodes, node_inverse: The same by NUMA node; a node that a host does not have has -1 CPU,
            or is left out of `nodes`.
    """

    free: Sequence[Column]
    inverse: Sequence[Column]
    nodes: Sequence[Sequence[Column]]
    node_inverse: Sequence[Sequence[Column]]


class Judge:
    """Scores hosts for one class of requests under one policy.

    Scores are weighted means of shares and compare only within one class.

    Attributes:
        resources: Those that matter: CPU first, then the memory that the class takes, then what
            else it takes, and what is oversold somewhere, since nothing may come there.
        width: NUMA nodes that it is bound to; 0 when it floats.
        whole: Whether it takes a whole host.
        pick: Takes the resources that matter out of a row of all.
    """

    def __init__(self, need: Need, policy: PlacementPolicy, oversold: Collection[int]) -> None:
        self.width = need.shape.numa_nodes
        self.whole = need.whole
        self.resources = _resources(need, oversold)
        self.pick = itemgetter(*self.resources)
        self._demand = [need.shape.demand[resource] for resource in self.resources]
        self._share = [need.shape.share[resource] for resource in self.resources]
        self._sign = 1.0 if policy.strategy is Strategy.SPREAD else -1.0
        self._even = policy.even_weight
        self._numa = policy.numa_weight / max(self.width, 1)
        gpu = policy.gpu_weight if need.shape.gpus else 0.0
        weights = (policy.cpu_weight + policy.memory_weight + gpu) or 1.0
        self._cpu = policy.cpu_weight / weights
        self._memory = policy.memory_weight / weights
        self._gpu = gpu / weights

    def score(self, left: Left[Column], arithmetic: Arithmetic[Column]) -> Column:
        """Return how good hosts are, higher is better; `NO_ROOM` where the request does not fit."""
        after: list[Column] = self.remainder(left)
        cpu, memory = after[0] * left.inverse[0], after[1] * left.inverse[1]
        score = (cpu * self._cpu + memory * self._memory) * self._sign
        score = score - abs(cpu - memory) * self._even
        if self._gpu:
            score = score + after[2] * left.inverse[2] * self._gpu * self._sign
        if self.width:
            tightness = self.tightness(left, arithmetic)
            score = score - tightness * self._numa
            after.append(_UNFIT / 2 - tightness)
        return arithmetic.choose(arithmetic.lowest(after), score, NO_ROOM)

    def remainder(self, left: Left[Column]) -> list[Column]:
        """Return what hosts would have left of `resources`; negative is what they lack."""
        return [free - amount for free, amount in zip(left.free, self._demand, strict=True)]

    def tightness(self, left: Left[Column], arithmetic: Arithmetic[Column]) -> Column:
        """Return how well the best NUMA nodes suit, lower is better; see `unfit`."""
        if len(left.nodes) < self.width:
            return left.free[0] * 0.0 + _UNFIT
        return arithmetic.least(self._node_keys(left, arithmetic), self.width)

    def choose_nodes(self, left: Left[float], arithmetic: Arithmetic[float]) -> int:
        """Return the mask of the NUMA nodes to take on one host that fits; 0 when it floats."""
        if not self.width:
            return 0
        keys = self._node_keys(left, arithmetic)
        if self.width == 1:
            return 1 << keys.index(min(keys))
        ranked = sorted(range(len(keys)), key=keys.__getitem__)
        return mask_of(tuple(ranked[: self.width]))

    def take(self, left: Left[float], nodes: int) -> None:
        """Take the class's share out of one host and a mask of its nodes."""
        left.free = self.remainder(left)
        left.nodes = [
            [amount - share for amount, share in zip(free, self._share, strict=True)]
            if nodes >> node & 1
            else free
            for node, free in enumerate(left.nodes)
        ]

    def _node_keys(self, left: Left[Column], arithmetic: Arithmetic[Column]) -> list[Column]:
        """Return per node how little (pack) or much (spread) it has left, lower is better."""
        keys = []
        for free, inverse in zip(left.nodes, left.node_inverse, strict=False):
            after = [amount - share for amount, share in zip(free, self._share, strict=True)]
            key = after[0] * inverse[0] * self._cpu + after[1] * inverse[1] * self._memory
            if self._gpu:
                key = key + after[2] * inverse[2] * self._gpu
            key = key * -self._sign
            keys.append(arithmetic.choose(arithmetic.lowest(after), key, _UNFIT))
        return keys


def _resources(need: Need, oversold: Collection[int]) -> tuple[int, ...]:
    """Return which resources matter, those with a wish first."""
    first = [CPU, need.memory, *([GPU] if need.shape.gpus else [])]
    return (*first, *sorted(set(oversold) - set(first)))


def unfit(tightness: Column) -> Column:
    """Return a column that is negative where too few NUMA nodes have room."""
    return _UNFIT / 2 - tightness
