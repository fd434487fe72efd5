# SPDX-License-Identifier: Apache-2.0
"""What defragmentation is about, in whole units: equal things are one thing with a count.

Instances of one size are a *class*; NUMA nodes (or whole hosts, for shapes that float) with the
same room and the same residents are one *node type*, hosts of equal nodes one *host type*. The
problem knows neither groups nor the order of moves: its optimum bounds what any plan can reach.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from billow.capabilities.defrag.sizes import Items, items_of
from billow.capabilities.defrag.target import Target
from billow.model.instances import NOWHERE
from billow.model.kinds import Kind, State, code_of
from billow.model.pool import Pool
from billow.model.resources import BoolArray, IntArray

NO_CLASS = -1


@dataclass(frozen=True)
class NodeTypes:
    """Kinds of equal places, by number.

    Attributes:
        kind: What may be there at all, `(types,)`, a row of `Items.suits`.
        free: CPU and memory left, `(types, 2)`, units.
        residents: Movable instances by class, `(types, classes)`.
    """

    kind: IntArray
    free: IntArray
    residents: IntArray

    def __len__(self) -> int:
        return len(self.kind)


@dataclass(frozen=True)
class HostTypes:
    """Kinds of equal hosts, by number.

    Attributes:
        nodes: Node type of each place, ascending, `-1` where there is none, `(types, places)`.
        spanning: Movable instances that lie on all nodes, by class, `(types, classes)`.
        count: How many hosts are so, `(types,)`.
    """

    nodes: IntArray
    spanning: IntArray
    count: IntArray

    def __len__(self) -> int:
        return len(self.count)


@dataclass(frozen=True)
class Problem:
    """A pool as defragmentation sees it.

    Attributes:
        items: Sizes of classes and targets.
        hosts: Host rows that take part, ascending, `(n,)`.
        host_type: `(n,)`.
        node_type: Of each place, `-1` where there is none, `(n, places)`.
        klass: Class of each instance that may move and could go elsewhere, else `NO_CLASS`,
            `(instances,)`.
        by_node: Whether places are NUMA nodes; else whole hosts.
    """

    pool: Pool
    targets: tuple[Target, ...]
    items: Items
    hosts: IntArray
    host_type: IntArray
    node_type: IntArray
    klass: IntArray
    nodes: NodeTypes
    types: HostTypes
    by_node: bool

    @cached_property
    def host_position(self) -> IntArray:
        """Where each host row stands in `hosts`, or -1, `(pool hosts,)`."""
        position = np.full(len(self.pool.hosts), -1, dtype=np.int64)
        position[self.hosts] = np.arange(len(self.hosts))
        return position

    @cached_property
    def node_order(self) -> IntArray:
        """For each host its places in the order of its host type, `(n, places)`."""
        hidden = np.where(self.node_type < 0, len(self.nodes), self.node_type)
        return np.argsort(hidden, axis=1, kind="stable").astype(np.int64)


@dataclass(frozen=True)
class Allowed:
    """What a plan may touch.

    Attributes:
        instances: Which may move, `(instances,) bool`.
        hosts: Which may send and take, `(hosts,) bool`.
    """

    instances: BoolArray
    hosts: BoolArray


def allowed(pool: Pool, protected: frozenset[str]) -> Allowed:
    """Return what may be touched: running, movable virtual machines on hosts in service.

    A host that is oversold, or given to bare metal as a whole, is left as it is.
    """
    ours, hosts = pool.instances, pool.hosts
    may = (ours.state == code_of(State.RUNNING)) & (ours.kind == code_of(Kind.VM))
    may &= ours.immovable.where("") & (ours.host != NOWHERE)
    good = hosts.schedulable & (pool.free >= 0).all(axis=1)
    good &= (pool.free_nodes >= 0).all(axis=(1, 2))
    bare = (ours.kind == code_of(Kind.BARE_METAL)) & (ours.host != NOWHERE)
    good[ours.host[bare]] = False
    for name in protected:
        if name in ours.row:
            may[ours.row[name]] = False
        if name in hosts.row:
            good[hosts.row[name]] = False
    return Allowed(may, good)


def problem_of(pool: Pool, targets: tuple[Target, ...], allow: Allowed) -> Problem:
    """Return the problem of a pool.

    Args:
        pool: As it is.
        targets: What should fit more often; all bound to NUMA nodes, or all floating.
        allow: What a plan may touch.
    """
    by_node = any(target.shape.numa_nodes for target in targets)
    hosts = np.flatnonzero(allow.hosts).astype(np.int64)
    ours = pool.instances
    placed = ours.host != NOWHERE
    may = allow.instances & placed
    may[placed] &= allow.hosts[ours.host[placed]]
    items, klass = items_of(pool, targets, may, hosts, by_node=by_node)
    return _assembled(pool, targets, items, hosts, klass)


def _assembled(
    pool: Pool, targets: tuple[Target, ...], items: Items, hosts: IntArray, klass: IntArray
) -> Problem:
    free = items.free_units(pool, hosts)
    single, spanning = _residents(pool, items, hosts, klass)
    count, places = free.shape[:2]
    there = np.ones((count, places), dtype=np.bool_)
    if items.by_node:
        there = pool.hosts.present[hosts]
    kind = np.broadcast_to(items.kind[hosts][:, None], (count, places))
    table = np.concatenate([kind[..., None], free, single], axis=2).reshape(count * places, -1)
    flat = there.reshape(-1)
    unique, inverse = np.unique(table[flat], axis=0, return_inverse=True)
    node_type = np.full(count * places, -1, dtype=np.int64)
    node_type[flat] = inverse.reshape(-1)
    node_type = node_type.reshape(count, places)
    nodes = NodeTypes(unique[:, 0], unique[:, 1:3], unique[:, 3:])
    hidden = np.sort(np.where(node_type < 0, len(unique), node_type), axis=1)
    rows, host_type, number = np.unique(
        np.concatenate([hidden, spanning], axis=1), axis=0, return_inverse=True, return_counts=True
    )
    shown = np.where(rows[:, :places] == len(unique), -1, rows[:, :places])
    types = HostTypes(shown, rows[:, places:], number.astype(np.int64))
    host_type = host_type.reshape(-1).astype(np.int64)
    return Problem(
        pool, targets, items, hosts, host_type, node_type, klass, nodes, types, items.by_node
    )


def _residents(
    pool: Pool, items: Items, hosts: IntArray, klass: IntArray
) -> tuple[IntArray, IntArray]:
    """Count who may move, by class: `(n, places, classes)` and, on all nodes, `(n, classes)`."""
    position = np.full(len(pool.hosts) + 1, -1, dtype=np.int64)
    position[hosts] = np.arange(len(hosts))
    places = pool.hosts.capacity.shape[1] if items.by_node else 1
    single = np.zeros((len(hosts), places, items.classes), dtype=np.int64)
    spanning = np.zeros((len(hosts), items.classes), dtype=np.int64)
    rows = np.flatnonzero(klass != NO_CLASS)
    here, what = position[pool.instances.host[rows]], klass[rows]
    wide = items.span[what]
    np.add.at(spanning, (here[wide], what[wide]), 1)
    node = np.zeros(len(rows), dtype=np.int64)
    if items.by_node:
        mask = np.maximum(pool.instances.nodes[rows].astype(np.float64), 1.0)
        node = np.log2(mask).astype(np.int64)
    np.add.at(single, (here[~wide], node[~wide], what[~wide]), 1)
    return single, spanning
