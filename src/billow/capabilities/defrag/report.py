# SPDX-License-Identifier: Apache-2.0
"""How fragmented a pool is: per shape, per resource, per NUMA node and per host, with a picture.

The report is of one pool as it stands; before and after a plan are two reports of the same keys. It
counts with `plan/slots.py` and `plan/fragmentation.py`, where every measure is defined.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from billow.capabilities.defrag.policy import DefragPolicy
from billow.capabilities.defrag.target import Target, targets_of
from billow.model.pool import Pool
from billow.model.report import (
    Better,
    Cell,
    Column,
    Form,
    Grid,
    Measure,
    Picture,
    Report,
    Series,
)
from billow.model.resources import CPU, GPU, HUGE, MEMORY, FloatArray, IntArray
from billow.plan.fragmentation import OfShape, Sale, of_shapes, resource_label, sale
from billow.plan.mix import Wanted, considered
from billow.plan.slots import Room, fragmentation

MOST_ROWS: Final = 50
_KEYS: Final = {CPU: "cpu", MEMORY: "memory", HUGE: "huge", GPU: "gpu"}


def report(pool: Pool, policy: DefragPolicy) -> Report:
    """Return how fragmented a pool is for the shapes that a policy wants. Linear in hosts.

    Raises:
        Invalid: the policy wants a shape that the pool does not know.
    """
    view = _View(pool, policy, targets_of(pool, policy))
    return Report(
        "defrag",
        "Fragmentation",
        _summary(view),
        tuple(_measures(view)),
        tuple(_grids(view)),
        tuple(_pictures(view)),
    )


@dataclass(frozen=True)
class _View:
    """A pool, and what happens when the wanted shapes and then all others are sold on it."""

    pool: Pool
    policy: DefragPolicy
    targets: tuple[Target, ...]

    @cached_property
    def room(self) -> Room:
        return Room.of(self.pool)

    @cached_property
    def shapes(self) -> tuple[OfShape, ...]:
        """The wanted shapes, the heaviest first, then others that are in use."""
        heaviest = sorted(self.targets, key=lambda each: (-each.weight, each.shape.name))
        wanted = [Wanted(each.shape, each.weight) for each in heaviest]
        names = {each.shape.name for each in wanted}
        others = [replace(each, weight=0.0) for each in considered(self.pool)]
        wanted += [each for each in others if each.shape.name not in names]
        return of_shapes(self.pool, [self._counted(each) for each in wanted])

    @cached_property
    def wanted(self) -> tuple[OfShape, ...]:
        return tuple(each for each in self.shapes if each.wanted.weight > 0)

    @cached_property
    def sale(self) -> Sale:
        """The wanted shapes sold until none fits."""
        return sale(self.room, [each.wanted.shape for each in self.wanted])

    @cached_property
    def rest(self) -> Sale:
        """All other shapes in use sold after that."""
        others = [each.wanted.shape for each in self.shapes if not each.wanted.weight]
        return sale(self.sale.after, others)

    @cached_property
    def resources(self) -> tuple[int, ...]:
        """CPU, and the kind of memory that the wanted shapes take."""
        return tuple(each for each in self.sale.resources if each != GPU)

    @cached_property
    def worst(self) -> list[int]:
        """Rows of open hosts of which something is left that is useless to the wanted shapes."""
        worth = self.sale.worth
        order = np.argsort(-worth, kind="stable")
        rows: list[int] = order[worth[order] > 0].tolist()
        return rows

    def _counted(self, wanted: Wanted) -> Wanted:
        if self.policy.count_memory or not wanted.weight:
            return wanted
        return replace(wanted, shape=replace(wanted.shape, memory_mib=0))


def _summary(view: _View) -> str:
    if not view.wanted:
        return "No shape is wanted or in use, so there is nothing to be fragmented for."
    main = view.wanted[0]
    text = f"{main.fit:,} of {main.theoretical:,} {main.wanted.shape.name} fit"
    text += f": {main.share:.2%} fragmented"
    if view.worst:
        hosts = f"{len(view.worst):,} of {int(view.room.open.sum()):,} open hosts"
        text += f"; {hosts} have leftovers that are useless to it"
    return f"{text}."


def _measures(view: _View) -> Iterator[Measure]:
    if not view.wanted:
        return
    main = view.wanted[0]
    label = f"{main.wanted.shape.name} that fit"
    note = f"of {main.theoretical:,} if all that is free were one host"
    yield Measure("slots", label, float(main.fit), "slots", Better.UP, float(main.best), note)
    least = fragmentation(main.best, main.theoretical)
    key, label = "fragmentation_share", "fragmentation"
    yield Measure(key, label, main.share, "share", Better.DOWN, least, note)
    for resource in view.resources:
        yield from _of_resource(view, resource)
    hosts = float(len(view.worst))
    label = "hosts with leftovers that are useless to wanted shapes"
    yield Measure("leftover_hosts", label, hosts, "hosts", Better.DOWN)


def _of_resource(view: _View, resource: int) -> Iterator[Measure]:
    name, key = resource_label(resource), _KEYS[resource]
    found, nobody = view.sale.of_resource(resource), view.rest.of_resource(resource)
    free = f"{key}_useless_of_free_share"
    label = f"free {name} useless to wanted shapes"
    yield Measure(free, label, found.of_free, "share", Better.DOWN, note="share of what is free")
    whole = f"{key}_fragmentation_share"
    note = "free outside whole slots, as a share of all that is sold"
    yield Measure(whole, f"{name} fragmentation", found.of_all, "share", Better.DOWN, note=note)
    left = nobody.unusable / found.free if found.free else 0.0
    note = "share of what is free, once the wanted shapes and all in use were sold"
    label = f"free {name} that nobody can buy"
    yield Measure(f"{key}_nobody_share", label, left, "share", Better.DOWN, note=note)


def _grids(view: _View) -> Iterator[Grid]:
    if not view.wanted:
        return
    yield _shapes(view)
    yield _hosts(view)
    if any(each.wanted.shape.numa_nodes for each in view.wanted):
        yield _nodes(view)


def _shapes(view: _View) -> Grid:
    columns = (
        Column("shape", "shape"),
        Column("weight", "weight"),
        Column("fit", "fit", "slots"),
        Column("best", "at best", "slots"),
        Column("theoretical", "in theory", "slots"),
        Column("fragmentation_share", "fragmentation", "share"),
    )
    rows = tuple(
        (
            each.wanted.shape.name,
            each.wanted.weight,
            each.fit,
            each.best,
            each.theoretical,
            each.share,
        )
        for each in view.shapes
    )
    note = (
        "No defragmentation gets beyond `at best`. Shapes of weight 0 are in use, but not wanted."
    )
    return Grid("shapes", "Per shape", columns, rows, note=note)


def _hosts(view: _View) -> Grid:
    columns = [Column("host", "host", link="host"), Column("slots", "wanted that fit", "slots")]
    for resource in view.resources:
        columns += _amount_columns(resource)
    slots = view.sale.counts.sum(axis=0)
    amounts = (view.sale.free, view.sale.unusable, view.rest.unusable)
    rows = tuple(
        (view.pool.hosts.id[row], int(slots[row]), *_amounts(view.resources, row, amounts))
        for row in view.worst[:MOST_ROWS]
    )
    left_out = max(len(view.worst) - MOST_ROWS, 0)
    note = "Useless: to the wanted shapes. Dead: to all shapes in use as well."
    return Grid(
        "hosts", "Hosts with the most useless leftovers", tuple(columns), rows, left_out, note
    )


def _amount_columns(resource: int) -> list[Column]:
    name, key = resource_label(resource), _KEYS[resource]
    unit = "cpus" if resource == CPU else "mib"
    kinds = ("free", "useless", "dead")
    return [Column(f"{key}_{kind}_{unit}", f"{kind} {name}", unit) for kind in kinds]


def _amounts(
    resources: Sequence[int], place: int | tuple[int, int], tables: Sequence[IntArray]
) -> Iterator[Cell]:
    """Yield what is free, useless and dead at a place, resource by resource."""
    for resource in resources:
        for table in tables:
            amount = int(table[place][resource])
            yield amount / 1000 if resource == CPU else amount


def _nodes(view: _View) -> Grid:
    columns = [Column("host", "host", link="host"), Column("node", "NUMA node")]
    for resource in view.resources:
        columns += _amount_columns(resource)
    useless = view.sale.unusable_nodes
    free = np.where(view.room.open[:, None, None], np.maximum(view.room.free_nodes, 0), 0)
    total = np.maximum(view.pool.hosts.sellable, 1)
    worth: FloatArray = (useless / total)[..., list(view.resources)].mean(axis=2)
    order = np.argsort(-worth, axis=None, kind="stable")
    order = order[worth.flat[order] > 0]
    places = [divmod(int(place), worth.shape[1]) for place in order[:MOST_ROWS]]
    tables = (free, useless, view.rest.unusable_nodes)
    rows = tuple(
        (view.pool.hosts.id[row], node, *_amounts(view.resources, (row, node), tables))
        for row, node in places
    )
    left_out = max(len(order) - MOST_ROWS, 0)
    title = "NUMA nodes with the most useless leftovers"
    return Grid("nodes", title, tuple(columns), rows, left_out)


def _pictures(view: _View) -> Iterator[Picture]:
    if not view.wanted:
        return
    rows = view.worst[:MOST_ROWS]
    labels = tuple(view.pool.hosts.id[row] for row in rows)
    for resource in view.resources if rows else ():
        name = resource_label(resource)
        title = f"What the {name} of the worst hosts is filled with"
        series = tuple(_stripes(view, resource, rows))
        yield Picture(f"{_KEYS[resource]}_hosts", title, Form.STRIPES, labels, series, "share")


def _stripes(view: _View, resource: int, rows: list[int]) -> Iterator[Series]:
    """Yield the shares of hosts that are used, wanted, of use to others, and of use to nobody."""
    sellable = view.sale.sellable[rows, resource]
    free = view.sale.free[rows, resource]
    useless = view.sale.unusable[rows, resource]
    dead = view.rest.unusable[rows, resource]
    parts = {
        "used": np.maximum(sellable - free, 0),
        "sellable to wanted shapes": free - useless,
        "sellable to other shapes": useless - dead,
        "leftover nobody can buy": dead,
    }
    for name, amount in parts.items():
        yield Series(name, tuple((amount / np.maximum(sellable, 1)).tolist()))
