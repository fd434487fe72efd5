# SPDX-License-Identifier: Apache-2.0
"""How the parts of a pool hang together: order, unique names, and nothing that points at nothing.

The laws of single values stand with those values; here are only the laws between them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from billow.errors import Invalid
from billow.model.column import frozen
from billow.model.group import Group, group_named
from billow.model.hosts import Hosts
from billow.model.instance import Instance, nodes_of
from billow.model.instances import NOWHERE, Instances
from billow.model.shape import Shape
from billow.model.table import sorting


def sorted_tables(hosts: Hosts, instances: Instances) -> tuple[Hosts, Instances]:
    """Return both tables sorted by id, the instances still on their hosts.

    Raises:
        Invalid: an id stands twice.
    """
    order = sorting(hosts.id)
    if order is not None:
        hosts = hosts.take(order)
        check_unique("host", hosts.id)
        row = np.empty(len(order) + 1, dtype=np.int32)
        row[order], row[NOWHERE] = np.arange(len(order), dtype=np.int32), NOWHERE
        instances = replace(instances, host=frozen(row[instances.host]))
    order = sorting(instances.id)
    if order is not None:
        instances = instances.take(order)
        check_unique("instance", instances.id)
    return hosts, instances


def check_unique(what: str, ids: Sequence[str]) -> None:
    """Check that no id stands twice in a sorted list. Raises Invalid."""
    for first, second in pairwise(ids):
        if first == second:
            raise Invalid(
                f"{what} {first} is in the pool twice",
                fix="give each its own id",
                code="duplicate-id",
            )


def merged_shapes(known: Iterable[Shape], more: Iterable[Shape]) -> tuple[Shape, ...]:
    """Return all shapes, sorted by name. Raises Invalid when two of one name differ."""
    by_name: dict[str, Shape] = {}
    for shape in (*known, *more):
        ours = by_name.setdefault(shape.name, shape)
        if ours is not shape and ours != shape:
            raise Invalid(
                f"there are two different shapes named {shape.name}",
                fix="give one of them another name",
                code="shape-conflict",
            )
    return tuple(by_name[name] for name in sorted(by_name))


def sorted_groups(groups: Iterable[Group]) -> tuple[Group, ...]:
    """Return groups sorted by name. Raises Invalid when two have one name."""
    ordered = tuple(sorted(groups, key=lambda group: group.name))
    check_unique("group", [group.name for group in ordered])
    return ordered


def check_hosts_known(rows: Iterable[Instance], hosts: Mapping[str, int]) -> None:
    """Check that every instance's host is in the pool. Raises Invalid."""
    for each in rows:
        if each.host and each.host not in hosts:
            raise Invalid(
                f"instance {each.id} is on host {each.host}, which is not in the pool",
                fix="add the host, or put the instance on another one",
                code="unknown-host",
            )


def check_groups(instances: Instances, groups: Sequence[Group]) -> None:
    """Check that every instance's group is among groups sorted by name. Raises Invalid."""
    for code, name in enumerate(instances.group.categories):
        known = not name or group_named(groups, name) is not None
        if not known and (instances.group.codes == code).any():
            first = instances.id[int(np.argmax(instances.group.codes == code))]
            raise Invalid(
                f"instance {first} is in group {name}, which is not in the pool",
                fix=f"declare the group first (group {name} anti-affinity host)",
                code="unknown-group",
            )


def check_nodes(instances: Instances, hosts: Hosts, shapes: Sequence[Shape]) -> None:
    """Check that placed instances are on the NUMA nodes that they need. Raises Invalid."""
    placed = np.flatnonzero(instances.host != NOWHERE)
    mask, host = instances.nodes[placed], instances.host[placed]
    wanted = np.array([shape.numa_nodes for shape in shapes], dtype=np.uint8)
    shape = instances.shape[placed]
    count = hosts.node_count[host]
    beyond = (mask.astype(np.uint64) >> count.astype(np.uint64)) != 0
    wrong = beyond | (np.bitwise_count(mask) != wanted[shape]) if len(placed) else beyond
    if wrong.any():
        raise _wrong_nodes(instances, hosts, shapes, int(placed[np.argmax(wrong)]))


def _wrong_nodes(instances: Instances, hosts: Hosts, shapes: Sequence[Shape], row: int) -> Invalid:
    host = int(instances.host[row])
    nodes = ", ".join(map(str, nodes_of(int(instances.nodes[row])))) or "no"
    wanted = shapes[instances.shape[row]].numa_nodes
    return Invalid(
        f"instance {instances.id[row]} is on NUMA nodes {nodes} of {hosts.id[host]}, "
        f"but its shape takes {wanted} of {hosts.node_count[host]}",
        fix="name as many NUMA nodes as the shape takes",
        code="invalid-nodes",
    )
