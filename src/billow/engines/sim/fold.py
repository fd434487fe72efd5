# SPDX-License-Identifier: Apache-2.0
"""Fold changed rows into a frozen pool: columns are moved, unchanged rows never become values."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from billow.model.column import Categorical, frozen
from billow.model.host import Host
from billow.model.hosts import Hosts
from billow.model.instance import Instance
from billow.model.instances import Instances
from billow.model.kinds import code_of
from billow.model.pool import Pool
from billow.model.shape import Shape

Value = TypeVar("Value")


def folded(pool: Pool, hosts: Sequence[Host], instances: Mapping[str, Instance | None]) -> Pool:
    """Return the pool with these hosts and instances as given; None removes an instance.

    Linear in the columns' length, and in Python objects only for the rows that changed.
    """
    table, shapes = pool.instances, pool.shapes
    if instances:
        table, shapes = _fold_instances(pool, instances)
    return replace(
        pool,
        hosts=_fold_hosts(pool.hosts, hosts) if hosts else pool.hosts,
        instances=table,
        shapes=shapes,
    )


def kept(value: Value, **changes: object) -> Value:
    """Return a frozen dataclass with other fields, and keep what it has computed already.

    Only for changes on which nothing computed depends, such as measurements and times.
    """
    changed: Any = replace(value, **changes)  # type: ignore[type-var]  # a dataclass
    own = {field.name for field in fields(changed)}
    for name, cached in vars(value).items():
        if name not in own:
            changed.__dict__[name] = cached
    return changed  # type: ignore[no-any-return]  # of the same class


def _fold_hosts(table: Hosts, changed: Sequence[Host]) -> Hosts:
    rows = [table.row[host.id] for host in changed]
    power, health = table.power.copy(), table.health.copy()
    power[rows] = [code_of(host.power) for host in changed]
    health[rows] = [code_of(host.health) for host in changed]
    cpu_ratio, memory_ratio = table.cpu_ratio.copy(), table.memory_ratio.copy()
    cpu_ratio[rows] = [host.cpu_ratio for host in changed]
    memory_ratio[rows] = [host.memory_ratio for host in changed]
    cordon = table.cordon.values()
    for row, host in zip(rows, changed, strict=True):
        cordon[row] = host.cordon
    return replace(
        table,
        power=frozen(power),
        health=frozen(health),
        cordon=Categorical.of(cordon),
        cpu_ratio=frozen(cpu_ratio),
        memory_ratio=frozen(memory_ratio),
    )


def _fold_instances(
    pool: Pool, changed: Mapping[str, Instance | None]
) -> tuple[Instances, tuple[Shape, ...]]:
    ours = pool.instances
    there = [each for _, each in sorted(changed.items()) if each is not None]
    by_name = {shape.name: shape for shape in pool.shapes}
    by_name.update({each.shape.name: each.shape for each in there})
    shapes = tuple(sorted(by_name.values(), key=lambda shape: shape.name))
    number = {shape.name: position for position, shape in enumerate(shapes)}
    if len(shapes) > len(pool.shapes):
        renumbered = np.array([number[shape.name] for shape in pool.shapes], dtype=np.int32)
        ours = replace(ours, shape=renumbered[ours.shape] if len(renumbered) else ours.shape)
    new = Instances.of(there, number, pool.hosts.row)
    order = _order(pool.instances, new.id, [n for n, each in changed.items() if each is None])
    return ours.extended(new).take(order), shapes


def _order(table: Instances, new: Sequence[str], gone: Sequence[str]) -> npt.NDArray[np.intp]:
    """Return the rows of the old table, followed by the new one, in the order after folding."""
    count = len(table)
    order = np.arange(count, dtype=np.intp)
    entering = []
    for position, name in enumerate(new):
        row = table.row.get(name)
        if row is None:
            entering.append((name, count + position))
        else:
            order[row] = count + position
    where = [bisect_left(table.id, name) for name, _ in entering]
    order = np.insert(order, where, [row for _, row in entering]) if entering else order
    leaving = [row for row in map(table.row.get, gone) if row is not None]
    return order[~np.isin(order, leaving)] if leaving else order
