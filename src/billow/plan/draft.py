# SPDX-License-Identifier: Apache-2.0
"""A scratch pool: try a move in memory, take it back, keep what is good.

A draft never lets a host or a NUMA node go over what it may sell, and never breaks a group's rule.
Each change costs microseconds, whatever the size of the pool.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from billow.model.column import frozen
from billow.model.hosts import sold
from billow.model.instances import NOWHERE
from billow.model.kinds import State, code_of
from billow.model.pool import Pool
from billow.model.resources import IntArray, MaskArray, RowArray
from billow.plan.peers import Circle, Peers

Amounts = tuple[int, int, int, int]
_RUNNING = code_of(State.RUNNING)
_REQUESTED = code_of(State.REQUESTED)


class Draft:
    """A mutable copy of where a pool's instances are.

    Building it is linear in hosts and instances (array copies); every change is constant.

    Attributes:
        pool: What it started from.
        free_hosts: What each host has left, `(hosts, RESOURCES) int64`.
        free_nodes: What each NUMA node has left, `(hosts, nodes, RESOURCES) int64`.
        host: Host row of each instance or `NOWHERE`, `(instances,) int32`.
        nodes: Node mask of each instance, `(instances,) uint32`.
        shape: Position in `pool.shapes` of each instance's shape, `(instances,) int32`.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.free_hosts: IntArray = pool.free.copy()
        self.free_nodes: IntArray = pool.free_nodes.copy()
        self.host: RowArray = pool.instances.host.copy()
        self.nodes: MaskArray = pool.instances.nodes.copy()
        self.shape: RowArray = pool.instances.shape.copy()
        # Reading one number through a memoryview costs a third of what it costs through NumPy.
        self._free_host = _scalars(self.free_hosts)
        self._free_node = _scalars(self.free_nodes)
        self._host = _scalars(self.host)
        self._nodes = _scalars(self.nodes)
        self._shape = _scalars(self.shape)
        self._count = _scalars(pool.hosts.node_count)
        self._demand: list[Amounts] = [shape.demand for shape in pool.shapes]
        self._share: list[Amounts] = [shape.share for shape in pool.shapes]
        self._taken = [_what_is_taken(amounts) for amounts in self._demand]
        self._taken_of_nodes = [_what_is_taken(amounts) for amounts in self._share]
        self._width = [shape.numa_nodes for shape in pool.shapes]
        self._peers = Peers(pool)
        self._journal: list[tuple[int, int, int]] = []
        self._leaving: dict[int, tuple[int, int]] = {}
        self._ratios: dict[int, tuple[float, float]] = {}

    def fits(self, instance: int, host: int, nodes: int = 0) -> bool:
        """Return whether an instance (row) could be on a host (row) and node mask now.

        What it takes where it is counts as free.
        """
        if host == self._host[instance]:
            return self._fits_at_home(instance, host, nodes)
        return self._has_room(instance, host, nodes) and self._peers.allow(instance, host)

    def assign(self, instance: int, host: int, nodes: int = 0) -> bool:
        """Put an instance (row) on a host (row) and node mask, or on none with `NOWHERE`.

        Returns:
            False, with nothing changed, when a host or node would be over capacity, the mask does
            not suit the shape, or a group's rule would be broken.
        """
        if host != NOWHERE and not self.fits(instance, host, nodes):
            return False
        self._journal.append((instance, self._host[instance], self._nodes[instance]))
        self._set(instance, host, nodes)
        return True

    def undo(self) -> None:
        """Take the last change back. Raises IndexError when there is none."""
        instance, host, nodes = self._journal.pop()
        self._set(instance, host, nodes)

    def checkpoint(self) -> int:
        """Return a mark to roll back to."""
        return len(self._journal)

    def rollback(self, mark: int) -> None:
        """Take back every change made since the mark."""
        while len(self._journal) > mark:
            self.undo()

    def begin(self, instance: int, host: int, nodes: int = 0) -> bool:
        """Start a live move: the instance takes its new place and keeps the old one until `settle`.

        Not taken back by `undo`; for replaying moves in time.

        Returns:
            False, with nothing changed, when the new place has no room beside the old one, or a
            rule forbids it.
        """
        old = self.where(instance)
        if not self._has_room(instance, host, nodes) or not self._peers.allow(instance, host):
            return False
        self._leaving[instance] = old
        self._enter(instance, host, nodes)
        return True

    def settle(self, instance: int) -> None:
        """End a live move: the old place is free again. Raises KeyError when none was begun."""
        host, nodes = self._leaving.pop(instance)
        self._leave(instance, host, nodes)

    def reshape(self, instance: int, shape: int, nodes: int = 0) -> bool:
        """Give an instance (row) another shape (position in `pool.shapes`) and node mask in place.

        Not taken back by `undo`; for replaying resizes in time.

        Returns:
            False, with nothing changed, when its host or nodes have no room for the new shape.
        """
        old, (host, mask) = self._shape[instance], self.where(instance)
        if host == NOWHERE:
            self._shape[instance] = shape
            return True
        self._leave(instance, host, mask)
        self._shape[instance] = shape
        room: bool = self._has_room(instance, host, nodes)
        if not room:
            self._shape[instance] = old
        self._enter(instance, host, nodes if room else mask)
        return room

    def allot(self, host: int, ratios: tuple[float, float]) -> None:
        """Let a host (row) sell so much per physical CPU and MiB from now on.

        Not taken back by `undo`; for replaying in time. What is oversold then has negative room.
        """
        before, after = self._sold(host, self._ratios.get(host)), self._sold(host, ratios)
        self.free_nodes[host] += after - before
        self.free_hosts[host] += (after - before).sum(axis=0)
        self._ratios[host] = ratios

    def where(self, instance: int) -> tuple[int, int]:
        """Return the host row (or `NOWHERE`) and node mask of an instance."""
        return self._host[instance], self._nodes[instance]

    def circle(self, instance: int) -> Circle | None:
        """Return the group of an instance (row) and who is where; None when no rule binds it."""
        return self._peers.circle(instance)

    def changed(self) -> Sequence[int]:
        """Return the rows of the instances that are elsewhere than in the pool, ascending."""
        ours = self.pool.instances
        moved = (self.host != ours.host) | (self.nodes != ours.nodes)
        rows: list[int] = np.flatnonzero(moved).tolist()
        return rows

    def freeze(self) -> Pool:
        """Return the pool as drafted; an instance that got a host is running there."""
        ours = self.pool.instances
        state = ours.state.copy()
        state[(ours.state == _REQUESTED) & (self.host != NOWHERE)] = _RUNNING
        drafted = replace(
            ours,
            host=frozen(self.host.copy()),
            nodes=frozen(self.nodes.copy()),
            shape=frozen(self.shape.copy()),
            state=frozen(state),
        )
        return replace(self.pool, instances=drafted)

    def _sold(self, host: int, ratios: tuple[float, float] | None) -> IntArray:
        hosts = self.pool.hosts
        if ratios is None:
            ratios = float(hosts.cpu_ratio[host]), float(hosts.memory_ratio[host])
        return sold(hosts.capacity[host], *ratios)

    def _fits_at_home(self, instance: int, host: int, nodes: int) -> bool:
        was = self._nodes[instance]
        if was == nodes:
            return True
        shape = self._shape[instance]
        self._add(shape, host, was, 1)
        room = self._has_room(instance, host, nodes)
        self._add(shape, host, was, -1)
        return room

    def _has_room(self, instance: int, host: int, nodes: int) -> bool:
        shape = self._shape[instance]
        if nodes.bit_count() != self._width[shape] or nodes >> self._count[host]:
            return False
        free = self._free_host
        cpu, memory, huge, gpus = self._demand[shape]
        if (
            cpu > free[host, 0]
            or memory > free[host, 1]
            or huge > free[host, 2]
            or gpus > free[host, 3]
        ):
            return False
        return not nodes or self._nodes_have_room(self._share[shape], host, nodes)

    def _nodes_have_room(self, share: Amounts, host: int, nodes: int) -> bool:
        free = self._free_node
        node = 0
        while nodes:
            if nodes & 1 and (
                share[0] > free[host, node, 0]
                or share[1] > free[host, node, 1]
                or share[2] > free[host, node, 2]
                or share[3] > free[host, node, 3]
            ):
                return False
            nodes >>= 1
            node += 1
        return True

    def _set(self, instance: int, host: int, nodes: int) -> None:
        was = self._host[instance]
        if was != NOWHERE:
            self._leave(instance, was, self._nodes[instance])
        self._enter(instance, host, nodes)

    def _leave(self, instance: int, host: int, nodes: int) -> None:
        self._add(self._shape[instance], host, nodes, 1)
        self._peers.leave(instance, host)

    def _enter(self, instance: int, host: int, nodes: int) -> None:
        if host != NOWHERE:
            self._add(self._shape[instance], host, nodes, -1)
            self._peers.enter(instance, host)
        self._host[instance] = host
        self._nodes[instance] = nodes

    def _add(self, shape: int, host: int, nodes: int, sign: int) -> None:
        free = self._free_host
        for resource, amount in self._taken[shape]:
            free[host, resource] += sign * amount
        if nodes:
            self._add_nodes(self._taken_of_nodes[shape], host, nodes, sign)

    def _add_nodes(
        self, taken: Sequence[tuple[int, int]], host: int, nodes: int, sign: int
    ) -> None:
        free = self._free_node
        node = 0
        while nodes:
            if nodes & 1:
                for resource, amount in taken:
                    free[host, node, resource] += sign * amount
            nodes >>= 1
            node += 1


def _what_is_taken(amounts: Amounts) -> list[tuple[int, int]]:
    """Return the resources of which something is taken, and how much."""
    return [(resource, amount) for resource, amount in enumerate(amounts) if amount]


def _scalars(array: npt.NDArray[Any]) -> Any:  # noqa: ANN401 - memoryview has no item type
    """Return a view whose items are plain Python integers: `view[row, column]`."""
    return memoryview(array.data)
