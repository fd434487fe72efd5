# SPDX-License-Identifier: Apache-2.0
"""Many partial views of one world become one Pool; where they disagree, a gap says so.

A view is what one engine sees. The later view counts (`taken_at`), but what it does not say is kept
from the one before: an unseen measurement, an unknown state, a field at its default. Absence is no
evidence: an instance that a later view does not show stays, for that view may not see instances.
A host without anything in it is a management controller's view: it knows the power at its source.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from functools import reduce
from typing import Any, TypeVar

import numpy as np

from billow.model.column import frozen
from billow.model.group import Gap, Group
from billow.model.host import Host
from billow.model.hosts import Hosts
from billow.model.instance import Instance
from billow.model.instances import NOWHERE, Instances
from billow.model.kinds import Health, Power, State
from billow.model.names import LONGEST_ID
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.model.table import Table

AnyTable = TypeVar("AnyTable", bound=Table)
Row = TypeVar("Row", Host, Instance)

_COUNTS = "the later one counts"
_MEASURED = frozenset(
    declared.attribute
    for table in (Hosts, Instances)
    for declared in table.declared().values()
    if declared.observed
)
_UNKNOWN = frozenset({Power.UNKNOWN, Health.UNKNOWN, State.UNKNOWN})
_ALWAYS_SAID = frozenset({"id", "nodes", "arch", "kind"})


def merge(pools: Sequence[Pool]) -> Pool:
    """Return one pool of all views.

    Linear in columns; only hosts and instances that stand in more than one view become values.
    """
    views = sorted(pools, key=lambda pool: pool.taken_at)
    if len(views) <= 1:
        return views[0] if views else Pool.build(())
    gaps = {gap for view in views for gap in view.gaps}
    shapes = _Shapes(views, gaps)
    hosts = _merged_hosts([view.hosts for view in views], gaps)
    return Pool.of_columns(
        hosts,
        _merged_instances(views, hosts, shapes, gaps),
        shapes=shapes.all,
        groups=_merged_groups(views, gaps),
        links={(each.first, each.second): each for v in views for each in v.links}.values(),
        uplinks={each.rack: each for v in views for each in v.uplinks}.values(),
        facts={(each.subject, each.key): each for v in views for each in v.facts}.values(),
        gaps=gaps,
        taken_at=views[-1].taken_at,
    )


class _Shapes:
    """Every shape once; an older one that differs from a newer of its name gets another name."""

    def __init__(self, views: Sequence[Pool], gaps: set[Gap]) -> None:
        self._by_name: dict[str, Shape] = {}
        self._gaps = gaps
        self._names = {id(v): list(map(self._entered, v.shapes)) for v in reversed(views)}

    @property
    def all(self) -> tuple[Shape, ...]:
        """Every shape."""
        return tuple(self._by_name.values())

    def rows(self, view: Pool) -> np.typing.NDArray[np.int32]:
        """Return where each shape of a view stands in `all`."""
        place = {name: row for row, name in enumerate(self._by_name)}
        return np.array([place[name] for name in self._names[id(view)]], dtype=np.int32)

    def _entered(self, shape: Shape) -> str:
        """Return the name under which the shape is known from now on."""
        name, number = shape.name, 1
        while self._by_name.setdefault(name, named := replace(shape, name=name)) != named:
            number += 1
            mark = f"@{number}"
            name = shape.name[: LONGEST_ID - len(mark)] + mark
        if name != shape.name:
            why = f"two views disagree on what it is; the older one is called {name} here"
            self._gaps.add(Gap(f"shape/{shape.name}", why))
        return name


def _merged_hosts(tables: Sequence[Hosts], gaps: set[Gap]) -> Hosts:
    once, repeated = _apart(tables)
    if not repeated:
        return once
    rows = []
    for name in repeated:
        seen = [table.view(table.row[name]) for table in tables if name in table.row]
        rows.append(reduce(lambda first, second: _joined_host(first, second, gaps), seen))
    return once.extended(Hosts.of(rows))


def _merged_instances(
    views: Sequence[Pool], hosts: Hosts, shapes: _Shapes, gaps: set[Gap]
) -> Instances:
    host_row = {name: row for row, name in enumerate(hosts.id)}
    tables = [_renumbered(view, host_row, shapes.rows(view)) for view in views]
    once, repeated = _apart(tables)
    if not repeated:
        return once
    rows = []
    for name in repeated:
        seen = [
            table.view(table.row[name], shapes.all, hosts.id)
            for table in tables
            if name in table.row
        ]
        rows.append(reduce(lambda first, second: _joined_instance(first, second, gaps), seen))
    shape_row = {shape.name: row for row, shape in enumerate(shapes.all)}
    return once.extended(Instances.of(rows, shape_row, host_row))


def _renumbered(
    view: Pool, host_row: dict[str, int], shape_row: np.typing.NDArray[np.int32]
) -> Instances:
    """Return a view's instances, pointing into the merged hosts and shapes."""
    table = view.instances
    rows = np.array([*(host_row[name] for name in view.hosts.id), NOWHERE], dtype=np.int32)
    shape = shape_row[table.shape] if len(table) else table.shape
    return replace(table, host=frozen(rows[table.host]), shape=frozen(shape))


def _apart(tables: Sequence[AnyTable]) -> tuple[AnyTable, list[str]]:
    """Return the rows that stand in one table only, in one table, and the ids of the others."""
    counts = Counter(name for table in tables for name in table.id)
    repeated = sorted(name for name, count in counts.items() if count > 1)
    twice = frozenset(repeated)
    once = [
        table.take(np.flatnonzero([name not in twice for name in table.id])) if twice else table
        for table in tables
    ]
    return reduce(lambda first, second: first.extended(second), once), repeated


def _joined_host(first: Host, second: Host, gaps: set[Gap]) -> Host:
    """Join two views; of a hollow one only the power counts, and before the other's."""
    for hollow, whole in ((first, second), (second, first)):
        if not any(map(any, (node.amounts for node in hollow.nodes))):
            known = hollow.power is not Power.UNKNOWN
            return replace(whole, power=hollow.power) if known else whole
    if first.nodes != second.nodes:
        gaps.add(Gap(f"host/{first.id}", "two views disagree on its NUMA nodes; the most count"))
    nodes = max(second.nodes, first.nodes, key=len)
    return replace(_joined(first, second, f"host/{first.id}", gaps), nodes=nodes)


def _joined_instance(first: Instance, second: Instance, gaps: set[Gap]) -> Instance:
    """Join two views; where it is and what it takes there belong together."""
    both = {_place(first), _place(second)} if first.host and second.host else set()
    if len(both) > 1:
        why = f"seen as {' and as '.join(sorted(both))}; {_COUNTS}"
        gaps.add(Gap(f"instance/{first.id}", why))
    whole = second if second.host or not first.host else first
    first, second = (
        replace(each, shape=whole.shape, host=whole.host, nodes=whole.nodes)
        for each in (first, second)
    )
    return _joined(first, second, f"instance/{first.id}", gaps)


def _place(instance: Instance) -> str:
    nodes = "+".join(map(str, instance.nodes))
    return f"{instance.shape.name} on {instance.host}" + (f" nodes {nodes}" if nodes else "")


def _joined(first: Row, second: Row, subject: str, gaps: set[Gap]) -> Row:
    """Return the second with what only the first says; note where both say different things."""
    kept: dict[str, Any] = {}
    disputed = []
    for each in fields(second):
        ours, theirs = getattr(first, each.name), getattr(second, each.name)
        if ours == theirs:
            continue
        if _unsaid(each.name, each.default, theirs):
            kept[each.name] = ours
        elif each.name not in _MEASURED | {"nodes"} and not _unsaid(each.name, each.default, ours):
            disputed.append(each.name)
    if disputed:
        gaps.add(Gap(subject, f"two views disagree on {', '.join(disputed)}; {_COUNTS}"))
    return replace(second, **kept)


def _unsaid(name: str, default: object, value: object) -> bool:
    if isinstance(value, Power | Health | State):
        return value in _UNKNOWN
    if name in _ALWAYS_SAID:
        return False
    return value in (default, frozenset()) or (isinstance(value, float) and math.isnan(value))


def _merged_groups(views: Sequence[Pool], gaps: set[Gap]) -> Iterable[Group]:
    known: dict[str, Group] = {}
    for group in (group for view in views for group in view.groups):
        if known.get(group.name, group) != group:
            gaps.add(Gap(f"group/{group.name}", f"two views disagree on its rule; {_COUNTS}"))
        known[group.name] = group
    return known.values()
