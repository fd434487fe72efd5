# SPDX-License-Identifier: Apache-2.0
"""The pool: everything that Billow knows of hosts and instances at one instant, frozen and columnar.

Planners read it, drafts copy from it, and its digest says whether the world that a plan was made for still
stands. It does no I/O and never changes; a changed world is another pool.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from billow.errors import Invalid, NotFound
from billow.model.column import frozen, sorting
from billow.model.group import Fact, Gap, Group, Link
from billow.model.host import Host
from billow.model.hosts import Hosts
from billow.model.instance import Instance
from billow.model.instances import NOWHERE, Instances
from billow.model.kinds import State
from billow.model.resources import RESOURCES, IntArray
from billow.model.shape import Shape


@dataclass(frozen=True, eq=False)
class Pool:
    """Hosts, instances and what binds them, as seen at `taken_at` (seconds since the epoch).

    Attributes:
        shapes: Every shape in use, sorted by name; `instances.shape` points into it.
        gaps: What could not be seen; never empty by accident.
    """

    taken_at: float
    hosts: Hosts
    instances: Instances
    shapes: tuple[Shape, ...] = ()
    groups: tuple[Group, ...] = ()
    links: tuple[Link, ...] = ()
    facts: tuple[Fact, ...] = ()
    gaps: tuple[Gap, ...] = ()

    @classmethod
    def build(
        cls,
        hosts: Iterable[Host],
        instances: Iterable[Instance] = (),
        *,
        groups: Iterable[Group] = (),
        links: Iterable[Link] = (),
        facts: Iterable[Fact] = (),
        gaps: Iterable[Gap] = (),
        taken_at: float = 0.0,
    ) -> Self:
        """Build a pool from row values, in any order.

        Raises:
            Invalid: two rows with one id, two shapes with one name, or a row that points at nothing.
        """
        if not math.isfinite(taken_at):
            raise Invalid("taken_at must be a finite number of seconds", code="invalid-time")
        table = _sorted_hosts(Hosts.of(hosts))
        rows = list(instances)
        shapes = _merged_shapes((), (each.shape for each in rows))
        known = tuple(sorted(groups, key=lambda group: group.name))
        _check_references(rows, table, known)
        shape_row = {shape.name: number for number, shape in enumerate(shapes)}
        return cls(
            taken_at,
            table,
            _sorted_instances(Instances.of(rows, shape_row, table.row)),
            shapes,
            known,
            tuple(sorted(links, key=lambda link: (link.first, link.second))),
            tuple(sorted(facts, key=lambda fact: (fact.subject, fact.key, fact.value))),
            tuple(sorted(gaps, key=lambda gap: (gap.subject, gap.why))),
        )

    def host(self, name: str) -> Host:
        """Return one host. Raises NotFound."""
        return self.hosts.view(self.host_row(name))

    def instance(self, name: str) -> Instance:
        """Return one instance. Raises NotFound."""
        return self.instances.view(self.instance_row(name), self.shapes, self.hosts.id)

    def host_row(self, name: str) -> int:
        """Return the row of a host. Raises NotFound."""
        row = self.hosts.row.get(name)
        if row is None:
            raise NotFound(f"no host {ascii(name)} in the pool", fix="billow host list shows them")
        return row

    def instance_row(self, name: str) -> int:
        """Return the row of an instance. Raises NotFound."""
        row = self.instances.row.get(name)
        if row is None:
            raise NotFound(
                f"no instance {ascii(name)} in the pool", fix="billow instance list shows them"
            )
        return row

    def host_views(self) -> Iterable[Host]:
        """Yield every host as a value, in row order."""
        return map(self.hosts.view, range(len(self.hosts)))

    def instance_views(self) -> Iterable[Instance]:
        """Yield every instance as a value, in row order."""
        view = self.instances.view
        return (view(row, self.shapes, self.hosts.id) for row in range(len(self.instances)))

    def shape(self, name: str) -> Shape | None:
        """Return a shape by name, or None."""
        return next((shape for shape in self.shapes if shape.name == name), None)

    def group(self, name: str) -> Group | None:
        """Return a group by name, or None."""
        return next((group for group in self.groups if group.name == name), None)

    @cached_property
    def digest(self) -> str:
        """A name for this state of the pool: 32 hexadecimal digits of BLAKE2b.

        It covers what plans depend on, in a canonical order; measurements and `taken_at` are left out.
        """
        digest = hashlib.blake2b(digest_size=16)
        self.hosts.feed(digest)
        self.instances.feed(digest)
        for part in (self.shapes, self.groups, self.links):
            digest.update(
                repr(part).encode() if part is not self.shapes else _shapes_text(self.shapes)
            )
        return digest.hexdigest()

    @cached_property
    def demand(self) -> IntArray:
        """What each shape takes of its host, `(shapes, RESOURCES) int64`."""
        return _amounts(self.shapes, lambda shape: shape.demand)

    @cached_property
    def share(self) -> IntArray:
        """What each shape takes of each NUMA node it is bound to, `(shapes, RESOURCES) int64`."""
        return _amounts(self.shapes, lambda shape: shape.share)

    @cached_property
    def reserved(self) -> IntArray:
        """What placed instances take of each host, `(hosts, RESOURCES) int64`. Linear in instances."""
        placed = self.instances.host != NOWHERE
        demand = self.demand[self.instances.shape[placed]]
        return _sums(self.instances.host[placed], demand, len(self.hosts))

    @cached_property
    def reserved_nodes(self) -> IntArray:
        """What bound instances take of each node, `(hosts, nodes, RESOURCES) int64`. Linear in instances."""
        most = self.hosts.capacity.shape[1]
        total = np.zeros((len(self.hosts), most, len(RESOURCES)), dtype=np.int64)
        bound = (self.instances.host != NOWHERE) & (self.instances.nodes != 0)
        host, mask = self.instances.host[bound], self.instances.nodes[bound]
        share = self.share[self.instances.shape[bound]]
        for node in range(most):
            here = (mask >> np.uint32(node)) & np.uint32(1) == 1
            total[:, node] = _sums(host[here], share[here], len(self.hosts))
        return total

    @cached_property
    def free(self) -> IntArray:
        """What each host has left in total, `(hosts, RESOURCES) int64`; negative when oversold."""
        left: IntArray = self.hosts.sellable.sum(axis=1) - self.reserved
        return left

    @cached_property
    def free_nodes(self) -> IntArray:
        """What each node has left, `(hosts, nodes, RESOURCES) int64`; negative when oversold."""
        left: IntArray = self.hosts.sellable - self.reserved_nodes
        return left

    def with_requests(self, requests: Sequence[Instance]) -> "Pool":
        """Return the pool with more instances, on no host yet; what is cached of hosts is kept.

        Linear in the columns' length, not in Python objects.

        Raises:
            Invalid: a request that is already in the pool, or that names an unknown group.
        """
        for request in requests:
            if request.id in self.instances.row:
                raise Invalid(
                    f"instance {request.id} is already in the pool", fix="choose another name"
                )
        _check_references(requests, self.hosts, self.groups)
        roomy = self.with_shapes([request.shape for request in requests])
        shape_row = {shape.name: number for number, shape in enumerate(roomy.shapes)}
        fresh = (replace(r, host="", nodes=(), state=State.REQUESTED) for r in requests)
        more = roomy.instances.extended(Instances.of(fresh, shape_row, {}))
        return self._keeping_sums(replace(roomy, instances=_sorted_instances(more)))

    def with_shapes(self, shapes: Iterable[Shape]) -> "Pool":
        """Return the pool with more shapes to choose from. Raises Invalid on two of one name."""
        merged = _merged_shapes(self.shapes, shapes)
        if merged == self.shapes:
            return self
        new_row = {shape.name: number for number, shape in enumerate(merged)}
        renumbered = np.array([new_row[shape.name] for shape in self.shapes], dtype=np.int32)
        ours = self.instances
        if len(renumbered):
            ours = replace(ours, shape=frozen(renumbered[ours.shape]))
        return self._keeping_sums(replace(self, instances=ours, shapes=merged))

    def with_groups(self, groups: Iterable[Group]) -> "Pool":
        """Return the pool with more groups. Raises Invalid when one of that name differs."""
        known = {group.name: group for group in self.groups}
        for group in groups:
            if known.setdefault(group.name, group) != group:
                raise Invalid(
                    f"group {group.name} is {known[group.name].rule} in the pool already",
                    fix="choose another name for the group",
                    code="group-conflict",
                )
        ordered = tuple(sorted(known.values(), key=lambda group: group.name))
        return self._keeping_sums(replace(self, groups=ordered))

    def _keeping_sums(self, grown: "Pool") -> "Pool":
        """Hand what is cached of hosts to a pool in which the same instances are placed."""
        kept = {name: self.__dict__[name] for name in _HOST_SUMS if name in self.__dict__}
        grown.__dict__.update(kept)
        return grown


_HOST_SUMS = ("reserved", "reserved_nodes", "free", "free_nodes")


def _sums(rows: np.typing.NDArray[np.int32], amounts: IntArray, count: int) -> IntArray:
    """Add amounts by row: `(count, RESOURCES) int64`, exact up to 2**53."""
    columns = [
        np.bincount(rows, weights=amounts[:, resource], minlength=count)
        for resource in range(len(RESOURCES))
    ]
    total: IntArray = np.stack(columns, axis=1).astype(np.int64)
    return total


def _amounts(
    shapes: Sequence[Shape], amounts: Callable[[Shape], tuple[int, int, int, int]]
) -> IntArray:
    table: IntArray = np.array([amounts(s) for s in shapes], dtype=np.int64)
    return table.reshape(len(shapes), len(RESOURCES))


def _shapes_text(shapes: Sequence[Shape]) -> bytes:
    return "\0".join(
        f"{replace(s, traits=frozenset())!r}{sorted(s.traits)}" for s in shapes
    ).encode()


def _merged_shapes(known: Iterable[Shape], more: Iterable[Shape]) -> tuple[Shape, ...]:
    by_name = {shape.name: shape for shape in known}
    for shape in more:
        if by_name.setdefault(shape.name, shape) != shape:
            raise Invalid(
                f"there are two different shapes named {shape.name}",
                fix="give one of them another name",
                code="shape-conflict",
            )
    return tuple(sorted(by_name.values(), key=lambda shape: shape.name))


def _check_references(rows: Iterable[Instance], hosts: Hosts, groups: Iterable[Group]) -> None:
    names = {group.name for group in groups}
    for each in rows:
        if each.host and each.host not in hosts.row:
            raise Invalid(f"instance {each.id} is on host {each.host}, which is not in the pool")
        if each.group and each.group not in names:
            raise Invalid(
                f"instance {each.id} is in group {each.group}, which is not in the pool",
                fix=f"declare the group first (group {each.group} anti-affinity host)",
                code="unknown-group",
            )
        if each.host:
            _check_nodes(each, int(hosts.node_count[hosts.row[each.host]]))


def _check_nodes(each: Instance, count: int) -> None:
    if len(set(each.nodes)) != each.shape.numa_nodes or any(node >= count for node in each.nodes):
        raise Invalid(
            f"instance {each.id} is on NUMA nodes {list(each.nodes)} of {each.host}, "
            f"but its shape takes {each.shape.numa_nodes} of {count}",
            code="invalid-nodes",
        )


def _sorted_hosts(table: Hosts) -> Hosts:
    order = sorting(table.id)
    table = table if order is None else table.take(order)
    _check_unique("host", table.id)
    return table


def _sorted_instances(table: Instances) -> Instances:
    order = sorting(table.id)
    table = table if order is None else table.take(order)
    _check_unique("instance", table.id)
    return table


def _check_unique(what: str, ids: Sequence[str]) -> None:
    for first, second in zip(ids, ids[1:], strict=False):
        if first == second:
            raise Invalid(f"{what} {first} is in the pool twice", fix="give each its own id")
