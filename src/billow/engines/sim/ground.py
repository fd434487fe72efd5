# SPDX-License-Identifier: Apache-2.0
"""What is true in the simulated world now: a frozen pool, and the rows that changed since its fold.

Changing a row costs microseconds whatever the size of the pool; `fold` makes a new pool only when
something changed, by moving columns, not by building rows. It knows no time and no rules.
"""

from collections.abc import Iterable

import numpy as np

from billow.engines.sim.fold import folded
from billow.model.group import Group
from billow.model.host import Host
from billow.model.hosts import sold
from billow.model.instance import Instance
from billow.model.pool import Pool
from billow.model.resources import RESOURCES
from billow.model.shape import Shape


class Ground:
    """The rows of a world, and what its hosts have left.

    Attributes:
        strays: Copies of instances that still are where the rows no longer say, by instance.
        unlocked: Hosts whose instances no longer hold their disks: they have lost the storage.
    """

    def __init__(self, pool: Pool) -> None:
        """Start from a pool. Linear in instances."""
        self._pool = pool
        self._hosts: dict[str, Host] = {}
        self._instances: dict[str, Instance | None] = {}
        self._changed_hosts: set[str] = set()
        self._shapes = {shape.name: shape for shape in pool.shapes}
        self._free = pool.free.copy()
        self._free_nodes = pool.free_nodes.copy()
        self.strays: dict[str, set[str]] = {}
        self.unlocked: set[str] = set()
        self._residents: dict[str, set[str]] = {name: set() for name in pool.hosts.id}
        names = pool.hosts.id
        for instance, row in zip(pool.instances.id, pool.instances.host.tolist(), strict=True):
            if row >= 0:
                self._residents[names[row]].add(instance)

    def host(self, name: str) -> Host | None:
        """Return a host, or None."""
        if name not in self._hosts and name in self._pool.hosts.row:
            self._hosts[name] = self._pool.host(name)
        return self._hosts.get(name)

    @property
    def host_names(self) -> tuple[str, ...]:
        """The hosts of the world, in the pool's order."""
        return self._pool.hosts.id

    def instance(self, name: str) -> Instance | None:
        """Return an instance, or None."""
        if name in self._instances:
            return self._instances[name]
        return self._pool.instance(name) if name in self._pool.instances.row else None

    def shape(self, name: str) -> Shape | None:
        """Return a shape that was ever seen in this world, or None."""
        return self._shapes.get(name)

    def group(self, name: str) -> Group | None:
        """Return a group, or None."""
        return self._pool.group(name)

    def put_group(self, group: Group) -> None:
        """Let there be a group. Raises Invalid when there is another one of its name."""
        self._pool = self._pool.with_groups([group])

    def residents(self, host: str) -> list[str]:
        """Return the instances on a host, sorted."""
        return sorted(self._residents[host])

    def put(self, instance: Instance) -> None:
        """Let an instance be as given, whether or not it was there."""
        self._leave(instance.id)
        self._shapes.setdefault(instance.shape.name, instance.shape)
        self._instances[instance.id] = instance
        if instance.host:
            self.hold(instance.shape, instance.host, instance.nodes)
            self._residents[instance.host].add(instance.id)

    def remove(self, name: str) -> None:
        """Let an instance be gone."""
        self._leave(name)
        self._instances[name] = None

    def put_host(self, host: Host) -> None:
        """Let power, health, cordon and ratios of a host be as given; the rest never changes."""
        self._sell(host)
        self._hosts[host.id] = host
        self._changed_hosts.add(host.id)

    def hold(self, shape: Shape, host: str, nodes: tuple[int, ...]) -> None:
        """Take room on a host."""
        self._take(shape, host, nodes, 1)

    def let_go(self, shape: Shape, host: str, nodes: tuple[int, ...]) -> None:
        """Give room on a host back."""
        self._take(shape, host, nodes, -1)

    def shortage(self, shape: Shape, host: str, nodes: tuple[int, ...]) -> str:
        """Return what a host or its nodes lack for a shape, in words; empty when it fits now."""
        row = self._pool.hosts.row[host]
        lacks = _lacks(shape.demand, self._free[row].tolist(), host)
        for node in nodes:
            free = self._free_nodes[row, node].tolist()
            lacks += _lacks(shape.share, free, f"{host} node {node}")
        return "; ".join(lacks)

    def fold(self) -> Pool:
        """Return the pool as it is now; the same object when nothing changed."""
        if self._changed_hosts or self._instances:
            hosts = [self._hosts[name] for name in sorted(self._changed_hosts)]
            self._pool = folded(self._pool, hosts, self._instances)
            self._changed_hosts.clear()
            self._instances.clear()
        return self._pool

    def _sell(self, host: Host) -> None:
        """Let the room on a host follow its ratios."""
        was = self.host(host.id)
        if was is None or (was.cpu_ratio, was.memory_ratio) == (host.cpu_ratio, host.memory_ratio):
            return
        row = self._pool.hosts.row[host.id]
        capacity = self._pool.hosts.capacity[row]
        before = sold(capacity, was.cpu_ratio, was.memory_ratio)
        more = sold(capacity, host.cpu_ratio, host.memory_ratio) - before
        self._free_nodes[row] += more
        self._free[row] += more.sum(axis=0)

    def _leave(self, name: str) -> None:
        was = self.instance(name)
        if was is not None and was.host:
            self.let_go(was.shape, was.host, was.nodes)
            self._residents[was.host].discard(name)

    def _take(self, shape: Shape, host: str, nodes: tuple[int, ...], sign: int) -> None:
        row = self._pool.hosts.row[host]
        self._free[row] -= sign * np.array(shape.demand)
        for node in nodes:
            self._free_nodes[row, node] -= sign * np.array(shape.share)


def _lacks(wanted: Iterable[int], free: Iterable[int], where: str) -> list[str]:
    return [
        f"{where} has {left} {name} free, {amount} needed"
        for name, amount, left in zip(RESOURCES, wanted, free, strict=True)
        if amount > left and amount
    ]
