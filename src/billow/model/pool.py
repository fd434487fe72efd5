# SPDX-License-Identifier: Apache-2.0
"""The pool: all that Billow knows of hosts and instances at one instant, frozen and columnar.

Planners read it, drafts copy from it, and its digest says whether the world that a plan was made
for still stands. It does no I/O and never changes; a changed world is another pool.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter
from typing import Self, cast

import numpy as np

from billow.errors import Invalid, NotFound
from billow.model.column import feed_texts, frozen
from billow.model.group import Fact, Gap, Group, Link, Uplink, group_named
from billow.model.history import History
from billow.model.host import Host
from billow.model.hosts import Hosts
from billow.model.instance import Instance
from billow.model.instances import NOWHERE, Instances
from billow.model.joints import (
    check_groups,
    check_hosts_known,
    check_nodes,
    check_unique,
    merged_shapes,
    sorted_groups,
    sorted_tables,
)
from billow.model.kinds import State
from billow.model.names import check_time
from billow.model.resources import RESOURCES, IntArray, RowArray
from billow.model.shape import Shape


@dataclass(frozen=True, eq=False)
class Pool:
    """Hosts, instances and what binds them, as seen at `taken_at` (seconds since the epoch).

    Attributes:
        shapes: Every shape in use, sorted by name; `instances.shape` points into it.
        gaps: What could not be seen; never empty by accident.
        history: What is known of the past; not part of the digest, and not kept with a plan.
        uplinks: What racks carry to each other; a rack that is not named never is too narrow.
    """

    taken_at: float
    hosts: Hosts
    instances: Instances
    shapes: tuple[Shape, ...] = ()
    groups: tuple[Group, ...] = ()
    links: tuple[Link, ...] = ()
    facts: tuple[Fact, ...] = ()
    gaps: tuple[Gap, ...] = ()
    history: History | None = None
    uplinks: tuple[Uplink, ...] = ()

    @classmethod
    def build(  # noqa: PLR0913 (every part of a pool has its name)
        cls,
        hosts: Iterable[Host],
        instances: Iterable[Instance] = (),
        *,
        shapes: Iterable[Shape] = (),
        groups: Iterable[Group] = (),
        links: Iterable[Link] = (),
        uplinks: Iterable[Uplink] = (),
        facts: Iterable[Fact] = (),
        gaps: Iterable[Gap] = (),
        taken_at: float = 0.0,
    ) -> Self:
        """Build a pool from row values, in any order; `shapes` may hold more than those in use.

        Raises:
            Invalid: two rows with one id, two shapes or groups with one name, or a row that points
                at nothing.
        """
        table, rows = Hosts.of(hosts), list(instances)
        merged = merged_shapes(shapes, (each.shape for each in rows))
        host_row = {name: row for row, name in enumerate(table.id)}
        check_hosts_known(rows, host_row)
        shape_row = {shape.name: number for number, shape in enumerate(merged)}
        return cls._assembled(
            cls(
                taken_at,
                table,
                Instances.of(rows, shape_row, host_row),
                merged,
                tuple(groups),
                tuple(links),
                tuple(facts),
                tuple(gaps),
                uplinks=tuple(uplinks),
            )
        )

    @classmethod
    def of_columns(  # noqa: PLR0913 (see build)
        cls,
        hosts: Hosts,
        instances: Instances,
        *,
        shapes: Iterable[Shape],
        groups: Iterable[Group] = (),
        links: Iterable[Link] = (),
        uplinks: Iterable[Uplink] = (),
        facts: Iterable[Fact] = (),
        gaps: Iterable[Gap] = (),
        taken_at: float = 0.0,
    ) -> Self:
        """Build a pool from tables in any order of rows, checked column by column.

        `instances.shape` and `instances.host` point into `shapes` and `hosts` as they are given.
        For a million rows this takes a second or two, where `build` takes ten.

        Raises:
            Invalid: as `build`, and a value that is out of range.
        """
        listed = tuple(shapes)
        hosts.check("host")
        instances.check_with(hosts, listed)
        merged = merged_shapes((), listed)
        place = {shape.name: number for number, shape in enumerate(merged)}
        sorted_row = np.array([place[shape.name] for shape in listed], dtype=np.int32)
        if len(sorted_row):
            instances = replace(instances, shape=frozen(sorted_row[instances.shape]))
        return cls._assembled(
            cls(
                taken_at,
                hosts,
                instances,
                merged,
                tuple(groups),
                tuple(links),
                tuple(facts),
                tuple(gaps),
                uplinks=tuple(uplinks),
            )
        )

    @classmethod
    def _assembled(cls, loose: Self) -> Self:
        """Return a pool with everything in its order, after checking what points where."""
        check_time("taken_at", loose.taken_at)
        hosts, instances = sorted_tables(loose.hosts, loose.instances)
        groups = sorted_groups(loose.groups)
        uplinks = sorted(loose.uplinks, key=attrgetter("rack"))
        check_unique("uplink of rack", [each.rack for each in uplinks])
        check_groups(instances, groups)
        check_nodes(instances, hosts, loose.shapes)
        return cls(
            float(loose.taken_at),
            hosts,
            instances,
            loose.shapes,
            groups,
            tuple(sorted(loose.links, key=lambda link: (link.first, link.second))),
            tuple(sorted(loose.facts, key=lambda fact: (fact.subject, fact.key, fact.value))),
            tuple(sorted(loose.gaps, key=lambda gap: (gap.subject, gap.why))),
            uplinks=tuple(uplinks),
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
            raise NotFound(f"no host {name!a} in the pool", fix="billow host list shows them")
        return row

    def instance_row(self, name: str) -> int:
        """Return the row of an instance. Raises NotFound."""
        row = self.instances.row.get(name)
        if row is None:
            raise NotFound(
                f"no instance {name!a} in the pool", fix="billow instance list shows them"
            )
        return row

    def host_views(self) -> Iterable[Host]:
        """Yield every host as a value, in row order."""
        return map(self.hosts.view, range(len(self.hosts)))

    def instance_views(self) -> Iterable[Instance]:
        """Yield every instance as a value, in row order."""
        view = self.instances.view
        return (view(row, self.shapes, self.hosts.id) for row in range(len(self.instances)))

    def views(self, rows: Iterable[int]) -> list[Instance]:
        """Return instances (rows) as values; quick for what `with_requests` has just brought."""
        asked, ours = self._asked, self.instances
        return [
            asked.get(ours.id[row]) or ours.view(row, self.shapes, self.hosts.id) for row in rows
        ]

    def shape(self, name: str) -> Shape | None:
        """Return a shape by name, or None."""
        return next((shape for shape in self.shapes if shape.name == name), None)

    def group(self, name: str) -> Group | None:
        """Return a group by name, or None."""
        return group_named(self.groups, name)

    @cached_property
    def digest(self) -> str:
        """A name for this state of the pool: 32 hexadecimal digits of BLAKE2b.

        It covers what plans depend on, in a canonical order: hosts, instances, groups, links,
        uplinks. Measurements, facts, gaps, shapes that nobody uses and `taken_at` are left out.
        """
        digest = hashlib.blake2b(digest_size=16)
        self.hosts.feed(digest)
        self.instances.feed_with(digest, self.shapes)
        for part in (self.groups, self.links):
            feed_texts(digest, [each.canonical for each in part])
        if self.uplinks:
            feed_texts(digest, [each.canonical for each in self.uplinks])
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
        """What placed instances take of each host, `(hosts, RESOURCES) int64`. Linear."""
        placed = self.instances.host != NOWHERE
        demand = self.demand[self.instances.shape[placed]]
        return _sums(self.instances.host[placed], demand, len(self.hosts))

    @cached_property
    def reserved_nodes(self) -> IntArray:
        """What bound instances take of each node, `(hosts, nodes, RESOURCES) int64`. Linear."""
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

        Linear in the columns' length, not in Python objects. The last answer is kept, since who
        plans and who replays the plan ask for the same.

        Raises:
            Invalid: a request that is already in the pool, or that names an unknown group.
        """
        if not requests:
            return self
        fresh = [replace(r, host="", nodes=(), state=State.REQUESTED) for r in requests]
        fresh.sort(key=lambda request: request.id)
        check_unique("instance", [request.id for request in fresh])
        asked, grown = self.__dict__.get("_grown", ([], self))
        if fresh == asked:
            return cast(Pool, grown)
        roomy = self.with_shapes([request.shape for request in fresh])
        shape_row = {shape.name: number for number, shape in enumerate(roomy.shapes)}
        more = Instances.of(fresh, shape_row, {})
        check_groups(more, self.groups)
        grown = self._keeping_sums(replace(roomy, instances=roomy.instances.inserted(more)))
        grown.__dict__["_asked"] = self._asked | {request.id: request for request in fresh}
        self.__dict__["_grown"] = fresh, grown
        return grown

    @cached_property
    def _asked(self) -> dict[str, Instance]:
        """The requests that this pool was grown by, as values, by id."""
        return {}

    def with_shapes(self, shapes: Iterable[Shape]) -> "Pool":
        """Return the pool with more shapes to choose from. Raises Invalid on two of one name."""
        merged = merged_shapes(self.shapes, shapes)
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
        more: dict[str, Group] = {}
        for group in groups:
            known = self.group(group.name) or more.setdefault(group.name, group)
            if known != group:
                raise Invalid(
                    f"group {group.name} is {known.rule} in the pool already",
                    fix="choose another name for the group",
                    code="group-conflict",
                )
        if not more:
            return self
        ordered = tuple(sorted([*self.groups, *more.values()], key=attrgetter("name")))
        return self._keeping_sums(replace(self, groups=ordered))

    def with_history(self, history: History | None) -> "Pool":
        """Return the same pool with what is known of its past; all that is cached is kept."""
        same = replace(self, history=history)
        same.__dict__.update({**self.__dict__, "history": history})
        return same

    def _keeping_sums(self, grown: "Pool") -> "Pool":
        """Hand what is cached of hosts to a pool in which the same instances are placed."""
        kept = {name: self.__dict__[name] for name in _HOST_SUMS if name in self.__dict__}
        grown.__dict__.update(kept)
        return grown


_HOST_SUMS = ("reserved", "reserved_nodes", "free", "free_nodes")


def _sums(rows: RowArray, amounts: IntArray, count: int) -> IntArray:
    """Add amounts by row: `(count, RESOURCES) int64`, exact."""
    total: IntArray = np.zeros((count, len(RESOURCES)), dtype=np.int64)
    if int(amounts.max(initial=0)) * len(rows) < 2**53:
        for resource in range(len(RESOURCES)):
            column = np.bincount(rows, weights=amounts[:, resource], minlength=count)
            total[:, resource] = column
    else:  # beyond what float64 weights count exactly
        np.add.at(total, rows, amounts)
    return total


def _amounts(
    shapes: Sequence[Shape], amounts: Callable[[Shape], tuple[int, int, int, int]]
) -> IntArray:
    table: IntArray = np.array([amounts(s) for s in shapes], dtype=np.int64)
    return table.reshape(len(shapes), len(RESOURCES))
