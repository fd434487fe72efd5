# SPDX-License-Identifier: Apache-2.0
"""A pool whose hosts hold many instances: who may move, what they take, where they may be.

Instances of one shape that may be in one zone are a class, as in `problem.py`; but nothing is
rounded, floating shapes and those bound to NUMA nodes stand side by side, and every resource of
hosts and nodes counts. It knows neither groups nor the order of moves: what is best for it bounds
what any plan can reach.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from billow.capabilities.defrag.problem import NO_CLASS, Allowed
from billow.capabilities.defrag.target import Target
from billow.model.instances import NOWHERE
from billow.model.pool import Pool
from billow.model.resources import RESOURCES, BoolArray, FloatArray, IntArray
from billow.model.shape import Shape
from billow.plan.reach import ANYWHERE, reach_of
from billow.plan.slots import suitable

MOST_WAYS = 300_000
"""Up to so many ways for residents to leave a pool's hosts, they can all be written down."""


@dataclass(frozen=True)
class Crowd:
    """Classes of instances and targets beside the hosts that take part.

    Attributes:
        hosts: Host rows that take part, ascending, `(n,)`.
        klass: Class of each instance that may move, else `NO_CLASS`, `(instances,)`.
        classes: How many items are classes; the rest are targets.
        demand, share: What items take of their host and of each of their nodes,
            `(items, RESOURCES)`.
        width: NUMA nodes of each item; 0 floats, `(items,)`.
        suits: Which host may hold what at all, `(n, items) bool`.
        worth: What one more is worth; 0 for classes, `(items,)`.
    """

    pool: Pool
    targets: tuple[Target, ...]
    hosts: IntArray
    klass: IntArray
    classes: int
    demand: IntArray
    share: IntArray
    width: IntArray
    suits: BoolArray
    worth: FloatArray

    @cached_property
    def free(self) -> IntArray:
        """What each host has left in total, `(n, RESOURCES)`."""
        left: IntArray = self.pool.free[self.hosts]
        return left

    @cached_property
    def free_nodes(self) -> IntArray:
        """What each node has left, `(n, nodes, RESOURCES)`."""
        left: IntArray = self.pool.free_nodes[self.hosts]
        return left

    @cached_property
    def residents(self) -> IntArray:
        """Instances that may move by place and class: `(n, 1 + nodes, classes)`.

        The first place holds those that float or lie on all nodes; the others are the nodes.
        """
        ours, nodes = self.pool.instances, self.free_nodes.shape[1]
        found = np.zeros((len(self.hosts), 1 + nodes, self.classes), dtype=np.int64)
        rows = np.flatnonzero(self.klass != NO_CLASS)
        np.add.at(found, (self.position[ours.host[rows]], self.place(rows), self.klass[rows]), 1)
        return found

    @cached_property
    def position(self) -> IntArray:
        """Where each host row stands in `hosts`, or -1, `(pool hosts,)`."""
        position = np.full(len(self.pool.hosts), -1, dtype=np.int64)
        position[self.hosts] = np.arange(len(self.hosts))
        return position

    def place(self, rows: IntArray) -> IntArray:
        """Return the place of placed instances (rows): 0, or 1 + the node of one bound to one."""
        ours = self.pool.instances
        mask = np.maximum(ours.nodes[rows].astype(np.float64), 1.0)
        node = 1 + np.log2(mask).astype(np.int64)
        return np.where(self.width[self.klass[rows]] == 1, node, 0)

    def towards(self, number: int) -> "Crowd":
        """Return the same with one of its targets alone."""
        items = np.append(np.arange(self.classes), self.classes + number)
        return Crowd(
            self.pool,
            (self.targets[number],),
            self.hosts,
            self.klass,
            self.classes,
            self.demand[items],
            self.share[items],
            self.width[items],
            self.suits[:, items],
            self.worth[items],
        )

    def still(self) -> "Crowd":
        """Return the same with targets alone: nobody may move."""
        first = self.classes
        return Crowd(
            self.pool,
            self.targets,
            self.hosts,
            np.full_like(self.klass, NO_CLASS),
            0,
            self.demand[first:],
            self.share[first:],
            self.width[first:],
            self.suits[:, first:],
            self.worth[first:],
        )

    def only(self, positions: IntArray) -> "Crowd":
        """Return the same of some of the hosts (positions in `hosts`)."""
        hosts = self.hosts[positions]
        inside = np.zeros(len(self.pool.hosts) + 1, dtype=np.bool_)
        inside[hosts] = True
        klass = np.where(inside[self.pool.instances.host], self.klass, NO_CLASS)
        return Crowd(
            self.pool,
            self.targets,
            hosts,
            klass,
            self.classes,
            self.demand,
            self.share,
            self.width,
            self.suits[positions],
            self.worth,
        )


def crowd_of(pool: Pool, targets: tuple[Target, ...], allow: Allowed) -> Crowd:
    """Return what a plan may touch as a crowd; targets that float and bound ones may be mixed."""
    hosts = np.flatnonzero(allow.hosts).astype(np.int64)
    codes, klass = _classes(pool, allow)
    zones = [pool.instances.zone.categories[zone] for _, zone, _ in codes]
    shapes = [*(pool.shapes[code] for code, _, _ in codes), *(each.shape for each in targets)]
    suits = _suits(pool, hosts, shapes, [*zones, *("" for _ in targets)])
    reach = reach_of(pool)
    for number, (_, _, reached) in enumerate(codes):
        if reached != ANYWHERE:
            suits[:, number] &= reach.hosts(reached)[hosts]
    worth = np.zeros(len(shapes))
    worth[len(codes) :] = [target.weight for target in targets]
    return Crowd(
        pool,
        targets,
        hosts,
        klass,
        len(codes),
        _table([shape.demand for shape in shapes]),
        _table([shape.share for shape in shapes]),
        np.array([shape.numa_nodes for shape in shapes], dtype=np.int64),
        suits,
        worth,
    )


def is_dense(pool: Pool, targets: tuple[Target, ...], allow: Allowed) -> bool:
    """Return whether a pool is a crowd rather than a few residents on each place.

    So it is when targets are several, when floating instances share hosts with a target that is
    bound to nodes, or when residents of hosts can leave in too many ways to write them down.
    """
    bound = [bool(target.shape.numa_nodes) for target in targets]
    if len(targets) > 1:
        return True
    ours = pool.instances
    placed = np.flatnonzero(ours.host != NOWHERE)
    if bound[0]:
        floats = np.array([not shape.numa_nodes for shape in pool.shapes], dtype=np.bool_)
        return bool((floats[ours.shape[placed]] & allow.hosts[ours.host[placed]]).any())
    crowd = crowd_of(pool, targets, allow)
    ways = np.log1p(crowd.residents.sum(axis=1)).sum(axis=1)
    return bool(np.exp(np.minimum(ways, 50.0)).sum() > MOST_WAYS)


def _classes(pool: Pool, allow: Allowed) -> tuple[list[tuple[int, int, int]], IntArray]:
    """Return (shape, zone, reach) of each class, and the class of each instance.

    What has GPUs stays, and so does what lies on some nodes of a host but not on all.
    """
    ours = pool.instances
    may = allow.instances & (ours.host != NOWHERE)
    rows = np.flatnonzero(may)
    if len(rows):
        good = np.array([s.cpu_milli > 0 and not s.gpus for s in pool.shapes], dtype=np.bool_)
        width = np.array([shape.numa_nodes for shape in pool.shapes], dtype=np.int64)
        wide, host = width[ours.shape[rows]], ours.host[rows]
        usable = good[ours.shape[rows]] & allow.hosts[host]
        rows = rows[usable & ((wide <= 1) | (wide == pool.hosts.node_count[host]))]
    kinds = (ours.shape[rows], ours.zone.codes[rows], reach_of(pool).codes(rows))
    unique, inverse = np.unique(np.stack(kinds, axis=1), axis=0, return_inverse=True)
    klass = np.full(len(ours), NO_CLASS, dtype=np.int64)
    klass[rows] = inverse.reshape(-1)
    return [(int(shape), int(zone), int(reach)) for shape, zone, reach in unique], klass


def _table(amounts: list[tuple[int, int, int, int]]) -> IntArray:
    return np.array(amounts, dtype=np.int64).reshape(-1, len(RESOURCES))


def _suits(pool: Pool, hosts: IntArray, shapes: list[Shape], zones: list[str]) -> BoolArray:
    good = np.zeros((len(hosts), len(shapes)), dtype=np.bool_)
    for number, (shape, zone) in enumerate(zip(shapes, zones, strict=True)):
        able = suitable(pool.hosts, shape)
        if zone:
            able &= pool.hosts.zone.where(zone)
        good[:, number] = able[hosts]
    return good
