# SPDX-License-Identifier: Apache-2.0
"""Sizes in whole units: what classes and targets take of a place, and what places have.

A unit divides every amount where it can. Where it would be too fine, amounts are rounded so that
the problem promises more than there is: a bound stays a bound, and the draft refuses what does not
fit. Memory that can never run out before CPU is left out.
"""

from dataclasses import dataclass
from math import gcd

import numpy as np

from billow.capabilities.defrag.target import Target
from billow.model.instances import NOWHERE
from billow.model.pool import Pool
from billow.model.resources import CPU, GPU, HUGE, MEMORY, BoolArray, IntArray
from billow.model.shape import Shape
from billow.plan.reach import reach_of
from billow.plan.slots import suitable

FINEST_CPU = 1024
FINEST_MEMORY = 64
"""Most steps into which a place's CPU and memory are divided."""


@dataclass(frozen=True)
class Items:
    """What goes into places: classes of instances first, then the targets.

    Attributes:
        size: CPU and memory taken of each place that it lies on, `(items, 2)`, units.
        span: Whether it lies on all nodes of its host, `(items,) bool`.
        worth: What one more is worth; 0 for classes, `(items,)`.
        suits: Whether it may be on a kind of host, `(kinds, items) bool`.
        kind: The kind of every host of the pool, `(pool hosts,)`.
        unit: Thousandths of a CPU and MiB in a unit; memory 0 when it never binds.
        classes: How many items are classes.
        memory: The resource that memory is counted in: `MEMORY` or `HUGE`.
    """

    size: IntArray
    span: BoolArray
    worth: np.ndarray[tuple[int], np.dtype[np.float64]]
    suits: BoolArray
    kind: IntArray
    unit: tuple[int, int]
    classes: int
    memory: int
    by_node: bool

    def free_units(self, pool: Pool, hosts: IntArray) -> IntArray:
        """Return what places have left, `(hosts, places, 2)`, whole units."""
        free = pool.free_nodes[hosts] if self.by_node else pool.free[hosts][:, None, :]
        amounts: IntArray = np.zeros((*free.shape[:2], 2), dtype=np.int64)
        amounts[..., 0] = free[..., CPU] // self.unit[0]
        if self.unit[1]:
            amounts[..., 1] = free[..., self.memory] // self.unit[1]
        return amounts


def items_of(
    pool: Pool,
    targets: tuple[Target, ...],
    may: BoolArray,
    hosts: IntArray,
    *,
    by_node: bool,
) -> tuple[Items, IntArray]:
    """Return the sizes, and the class of each instance (-1 when it stays)."""
    codes, klass = _classes(pool, may, by_node=by_node)
    memory = HUGE if any(target.shape.huge_pages for target in targets) else MEMORY
    shapes = [pool.shapes[code] for code, _, _ in codes]
    zones = [pool.instances.zone.categories[zone] for _, zone, _ in codes]
    everything = [*shapes, *(target.shape for target in targets)]
    amounts = _amounts(everything, memory, by_node=by_node)
    suits = _suits(pool, everything, [*zones, *("" for _ in targets)], by_node=by_node)
    reach = reach_of(pool)
    for number, (_, _, reached) in enumerate(codes):
        reach.narrow(suits[:, number], reached)
    kinds, kind = np.unique(suits, axis=0, return_inverse=True)
    loose = _loose(pool, hosts, klass, memory, by_node=by_node)
    unit = _units(amounts, loose)
    size = np.zeros_like(amounts)
    size[:, 0] = amounts[:, 0] // unit[0]
    if unit[1]:
        size[:, 1] = amounts[:, 1] // unit[1]
    span = np.array([by_node and shape.numa_nodes > 1 for shape in everything], dtype=np.bool_)
    worth = np.zeros(len(everything))
    worth[len(codes) :] = [target.weight for target in targets]
    items = Items(
        size,
        span,
        worth,
        kinds.astype(np.bool_),
        kind.reshape(-1).astype(np.int64),
        unit,
        len(codes),
        memory,
        by_node,
    )
    return items, klass


def _classes(
    pool: Pool, may: BoolArray, *, by_node: bool
) -> tuple[list[tuple[int, int, int]], IntArray]:
    """Return (shape, zone, reach) of each class, and the class of each instance."""
    ours = pool.instances
    usable = np.array([_usable(shape, by_node=by_node) for shape in pool.shapes], dtype=np.bool_)
    width = np.array([shape.numa_nodes for shape in pool.shapes], dtype=np.int64)
    rows = np.flatnonzero(may & usable[ours.shape]) if len(pool.shapes) else np.zeros(0, np.int64)
    if by_node and len(rows):
        wide = width[ours.shape[rows]]
        rows = rows[(wide == 1) | (wide == pool.hosts.node_count[ours.host[rows]])]
    kinds = (ours.shape[rows], ours.zone.codes[rows], reach_of(pool).codes(rows))
    unique, inverse = np.unique(np.stack(kinds, axis=1), axis=0, return_inverse=True)
    klass = np.full(len(ours), NOWHERE, dtype=np.int64)
    klass[rows] = inverse.reshape(-1)
    return [(int(shape), int(zone), int(reach)) for shape, zone, reach in unique], klass


def _usable(shape: Shape, *, by_node: bool) -> bool:
    """Return whether instances of a shape take part; GPUs are another capability's business."""
    return bool(shape.cpu_milli and not shape.gpus and (shape.numa_nodes or not by_node))


def _amounts(shapes: list[Shape], memory: int, *, by_node: bool) -> IntArray:
    table = [shape.share if by_node and shape.numa_nodes else shape.demand for shape in shapes]
    rows = np.array(table, dtype=np.int64).reshape(-1, GPU + 1)
    return rows[:, [CPU, memory]]


def _suits(pool: Pool, shapes: list[Shape], zones: list[str], *, by_node: bool) -> BoolArray:
    """Return which host may ever hold what, `(pool hosts, items) bool`."""
    hosts = pool.hosts
    good = np.ones((len(hosts), len(shapes)), dtype=np.bool_)
    for number, (shape, zone) in enumerate(zip(shapes, zones, strict=True)):
        column = good[:, number]
        column &= suitable(pool.hosts, shape)
        if zone:
            column &= hosts.zone.where(zone)
        if by_node and shape.numa_nodes > 1:
            column &= hosts.node_count == shape.numa_nodes
    return good


def _loose(pool: Pool, hosts: IntArray, klass: IntArray, memory: int, *, by_node: bool) -> IntArray:
    """Return CPU and memory of each place that is free or could be, `(places, 2)`."""
    kinds = [CPU, memory]
    if not by_node:
        total = pool.free[:, kinds].copy()
        rows = np.flatnonzero(klass >= 0)
        demand = pool.demand[pool.instances.shape[rows]][:, kinds]
        np.add.at(total, pool.instances.host[rows], demand)
        return total[hosts]
    nodes = pool.free_nodes[:, :, kinds].copy()
    for node in range(nodes.shape[1]):
        here = (klass >= 0) & ((pool.instances.nodes >> np.uint32(node)) & np.uint32(1) == 1)
        rows = np.flatnonzero(here)
        share = pool.share[pool.instances.shape[rows]][:, kinds]
        np.add.at(nodes[:, node], pool.instances.host[rows], share)
    return nodes[hosts].reshape(-1, 2)


def _units(amounts: IntArray, loose: IntArray) -> tuple[int, int]:
    cpu = _unit(amounts[:, 0], int(loose[:, 0].max(initial=0)), FINEST_CPU)
    if _memory_is_plenty(amounts, loose[:, 0], loose[:, 1]):
        return cpu, 0
    return cpu, _unit(amounts[:, 1], int(loose[:, 1].max(initial=0)), FINEST_MEMORY)


def _unit(amounts: IntArray, most: int, finest: int) -> int:
    exact = gcd(*amounts.tolist()) or 1
    return max(exact, -(-most // finest))


def _memory_is_plenty(amounts: IntArray, cpu: IntArray, memory: IntArray) -> bool:
    """Return whether a place that is full of CPU always has memory left."""
    if not len(amounts) or (amounts[:, 0] == 0).any():
        return False
    most = float((amounts[:, 1] / amounts[:, 0]).max())
    return bool((most * cpu <= memory).all())
