# SPDX-License-Identifier: Apache-2.0
"""How much of what is free nobody can buy: per shape, per resource, per host and per NUMA node.

Two measures, which must not be mixed up:

- Of a shape: `1 - fit / theoretical`, where theoretical is what would fit if all that suitable
  hosts have left were one host.
- Of a resource: what is left of it on open hosts when a mix of shapes was sold, the largest first,
  until none of them fits anywhere. As a share of what is free (`of_free`), or of all that these
  hosts could sell (`of_all`). For a mix of one shape the latter is `(free - fit * demand) /
  sellable`: the "CPU fragmentation" and "memory fragmentation" that carriers publish.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from billow.model.pool import Pool
from billow.model.resources import CPU, GPU, HUGE, MEMORY, RESOURCES, FloatArray, IntArray
from billow.model.shape import Shape
from billow.plan.mix import Wanted
from billow.plan.slots import Room, best_possible, fragmentation


@dataclass(frozen=True, slots=True)
class OfShape:
    """How scattered the room for one shape is.

    Attributes:
        fit: How many more fit now.
        best: A number that no defragmentation can exceed.
        theoretical: How many would fit if all free resources were one host.
    """

    wanted: Wanted
    fit: int
    best: int
    theoretical: int

    @property
    def share(self) -> float:
        """The share of the theoretical number that does not fit."""
        return fragmentation(self.fit, self.theoretical)


@dataclass(frozen=True, slots=True)
class OfResource:
    """How much of one resource nobody can buy, on open hosts.

    Attributes:
        resource: Position in `RESOURCES`.
        sellable, free, unusable: Thousandths of a CPU, MiB or GPUs.
    """

    resource: int
    sellable: int
    free: int
    unusable: int

    @property
    def of_free(self) -> float:
        """The share of what is free that no shape of the mix can use."""
        return self.unusable / self.free if self.free else 0.0

    @property
    def of_all(self) -> float:
        """The same as a share of all that the hosts could sell."""
        return self.unusable / self.sellable if self.sellable else 0.0


@dataclass(frozen=True, eq=False)
class Sale:
    """What happens when a mix is sold, the largest shape first, until nothing of it fits.

    This is the tiered answer to "how many more fit", as of Ganeti's hspace.

    Attributes:
        shapes: In the order of the sale.
        counts: How many of each came to each host, `(shapes, hosts) int64`.
        before, after: The room.
    """

    shapes: tuple[Shape, ...]
    counts: IntArray
    before: Room
    after: Room

    @cached_property
    def sellable(self) -> IntArray:
        """All that each host could sell, `(hosts, RESOURCES) int64`."""
        total: IntArray = self.before.hosts.sellable.sum(axis=1)
        return total

    @cached_property
    def free(self) -> IntArray:
        """What open hosts have left before the sale, `(hosts, RESOURCES) int64`."""
        return self._open(self.before.free)

    @cached_property
    def unusable(self) -> IntArray:
        """What open hosts have left after the sale: nobody can buy it, `(hosts, RESOURCES)`."""
        return self._open(self.after.free)

    @cached_property
    def unusable_nodes(self) -> IntArray:
        """The same by NUMA node, `(hosts, nodes, RESOURCES)`; no more than the host has left."""
        left = np.maximum(self.after.free_nodes, 0)
        left = np.minimum(left, self.unusable[:, None, :])
        left[~self.before.open] = 0
        return left

    @cached_property
    def worth(self) -> FloatArray:
        """How much of each host nobody can buy: the mean of CPU's and memory's share, `(hosts,)`.

        A resource of which the mix takes nothing does not count.
        """
        used = [resource for resource in self.resources if resource != GPU]
        share = self.unusable / np.maximum(self.sellable, 1)
        worth: FloatArray = share[:, used].mean(axis=1) if used else np.zeros(len(share))
        return worth

    @cached_property
    def resources(self) -> tuple[int, ...]:
        """The resources that the mix takes."""
        return tuple(
            resource
            for resource in range(len(RESOURCES))
            if any(shape.demand[resource] for shape in self.shapes)
        )

    def of_resource(self, resource: int) -> OfResource:
        """Return how much of a resource nobody can buy."""
        sellable = self.sellable[self.before.open, resource].sum()
        return OfResource(
            resource,
            int(sellable),
            int(self.free[:, resource].sum()),
            int(self.unusable[:, resource].sum()),
        )

    def _open(self, free: IntArray) -> IntArray:
        left: IntArray = np.where(self.before.open[:, None], np.maximum(free, 0), 0)
        return left


def of_shapes(pool: Pool, wanted: Sequence[Wanted]) -> tuple[OfShape, ...]:
    """Return how scattered the room for each shape is."""
    room, emptied = Room.of(pool), Room.emptied(pool)
    return tuple(
        OfShape(
            each,
            room.fit(each.shape),
            best_possible(room, emptied, each.shape),
            room.theoretical(each.shape),
        )
        for each in wanted
    )


def sale(room: Room, shapes: Sequence[Shape]) -> Sale:
    """Sell a mix, the largest shape first. Linear in shapes times hosts times nodes."""
    ordered = tuple(largest_first(room, shapes))
    counts = np.zeros((len(ordered), len(room.free)), dtype=np.int64)
    left = room
    for number, shape in enumerate(ordered):
        counts[number] = left.per_host(shape)
        left = left.taken(shape, counts[number])
    return Sale(ordered, counts, room, left)


def largest_first(room: Room, shapes: Sequence[Shape]) -> list[Shape]:
    """Return shapes by the largest share of all hosts that one takes, then by NUMA width, name."""
    total = np.maximum(room.hosts.sellable.sum(axis=(0, 1)), 1)

    def size(shape: Shape) -> tuple[float, int, str]:
        return -float((np.array(shape.demand) / total).max()), -shape.numa_nodes, shape.name

    return sorted(shapes, key=size)


def resource_label(resource: int) -> str:
    """Return what people call a resource."""
    return {CPU: "CPU", MEMORY: "memory", HUGE: "huge pages", GPU: "GPUs"}[resource]
