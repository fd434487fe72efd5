# SPDX-License-Identifier: Apache-2.0
"""Whether a host has room for a request, and how good a place it is: one formula for all.

A score depends on nothing but the host's own state, so placing an instance changes the score of one
host only. Nothing here knows groups, zones or why a host is out of service: `filters.py` and
`fellows.py` do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic

from billow.capabilities.placement.arithmetic import Arithmetic, Column
from billow.capabilities.placement.need import Need
from billow.capabilities.placement.policy import PlacementPolicy, Strategy
from billow.model.resources import CPU, GPU

NO_ROOM: Final = float("-inf")
"""The score of a host that does not fit."""
_UNFIT: Final = 1e6
"""Stands for a NUMA node without room; more than all shares of 32 nodes together."""


@dataclass(frozen=True, slots=True)
class Left(Generic[Column]):
    """What hosts have left, as columns.

    Attributes:
        free: By resource.
        inverse: 1 / what may be sold, by resource.
        nodes, node_inverse: The same by NUMA node; a node that a host does not have has -1 CPU.
        in_the_way: Instances that must not be there: any beside bare metal, bare metal beside any.
        has_gpu: 1 where the host has a GPU, used or not.
    """

    free: Sequence[Column]
    inverse: Sequence[Column]
    nodes: Sequence[Sequence[Column]]
    node_inverse: Sequence[Sequence[Column]]
    in_the_way: Column
    has_gpu: Column


class Judge:
    """Scores hosts for one class of requests under one policy.

    Scores are weighted means of shares and compare only within one class.
    """

    def __init__(self, need: Need, policy: PlacementPolicy) -> None:
        self.demand = need.shape.demand
        self.share = need.shape.share
        self.width = need.shape.numa_nodes
        self.memory = need.memory
        self._sign = 1.0 if policy.strategy is Strategy.SPREAD else -1.0
        self._even = policy.even_weight
        self._numa = policy.numa_weight / max(self.width, 1)
        self._reserve = policy.gpu_reserve_weight if not need.shape.gpus else 0.0
        wishes = [(CPU, policy.cpu_weight), (need.memory, policy.memory_weight)]
        if need.shape.gpus:
            wishes.append((GPU, policy.gpu_weight))
        whole = sum(weight for _, weight in wishes) or 1.0
        self._wishes = tuple((resource, weight / whole) for resource, weight in wishes)

    def score(self, left: Left[Column], arithmetic: Arithmetic[Column]) -> Column:
        """Return how good hosts are, higher is better; `NO_ROOM` where the request does not fit."""
        after: list[Column] = self.remainder(left)
        even = abs(after[CPU] * left.inverse[CPU] - after[self.memory] * left.inverse[self.memory])
        score = self._fullness(after, left.inverse) * self._sign - even * self._even
        if self._reserve:
            score = score - left.has_gpu * self._reserve
        rooms = list(after)
        rooms.append(-left.in_the_way)
        if self.width:
            tightness = self.tightness(left, arithmetic)
            score = score - tightness * self._numa
            rooms.append(_UNFIT / 2 - tightness)
        return arithmetic.choose(arithmetic.lowest(rooms), score, NO_ROOM)

    def remainder(self, left: Left[Column]) -> list[Column]:
        """Return what hosts would have left afterwards, by resource; negative is what they lack."""
        return [free - amount for free, amount in zip(left.free, self.demand, strict=True)]

    def tightness(self, left: Left[Column], arithmetic: Arithmetic[Column]) -> Column:
        """Return how well the best NUMA nodes suit, lower is better; see `unfit`."""
        if len(left.nodes) < self.width:
            return arithmetic.least([left.in_the_way * 0.0 + _UNFIT], 1)
        return arithmetic.least(self._node_keys(left, arithmetic), self.width)

    def choose_nodes(self, left: Left[float], arithmetic: Arithmetic[float]) -> int:
        """Return the mask of the NUMA nodes to take on one host that fits; 0 when it floats."""
        if not self.width:
            return 0
        keys = self._node_keys(left, arithmetic)
        ranked = sorted((key, node) for node, key in enumerate(keys))
        return sum(1 << node for _, node in ranked[: self.width])

    def _node_keys(self, left: Left[Column], arithmetic: Arithmetic[Column]) -> list[Column]:
        """Return per node how little (pack) or much (spread) it has left, lower is better."""
        keys = []
        for free, inverse in zip(left.nodes, left.node_inverse, strict=True):
            after = [amount - share for amount, share in zip(free, self.share, strict=True)]
            key = self._fullness(after, inverse) * -self._sign
            keys.append(arithmetic.choose(arithmetic.lowest(after), key, _UNFIT))
        return keys

    def _fullness(self, after: Sequence[Column], inverse: Sequence[Column]) -> Column:
        resource, weight = self._wishes[0]
        total = after[resource] * inverse[resource] * weight
        for resource, weight in self._wishes[1:]:
            total = total + after[resource] * inverse[resource] * weight
        return total


def unfit(tightness: Column) -> Column:
    """Return a column that is negative where too few NUMA nodes have room."""
    return _UNFIT / 2 - tightness
