# SPDX-License-Identifier: Apache-2.0
"""Which fields the instance list has, and from which columns they come.

Their ids are ordered as text, which costs nothing: a million in natural order would take seconds.
"""

from collections.abc import Sequence
from functools import partial
from weakref import WeakKeyDictionary

import numpy as np

from billow.model.instance import nodes_of
from billow.model.kinds import Kind, MigrationPolicy, Service, State, Storage
from billow.model.listing.columns import Column, Flags, Grid, Lists, Makers, Numbers, Words
from billow.model.listing.order import by_name, natural, places
from billow.model.pool import Pool

_KEPT: "WeakKeyDictionary[Pool, Grid]" = WeakKeyDictionary()


def instance_grid(pool: Pool) -> Grid:
    """Return the instance list's columns; they live as long as the pool."""
    if pool not in _KEPT:
        _KEPT[pool] = Grid(pool.instances.id, _places(pool) | _sizes(pool) | _rest(pool), {})
    return _KEPT[pool]


def _places(pool: Pool) -> Makers:
    rows = pool.instances
    return {
        "id": lambda: Words(np.arange(len(rows)), rows.id),
        "kind": lambda: Words.coded(rows.kind, Kind),
        "state": lambda: Words.coded(rows.state, State),
        "host": partial(_host, pool),
        "host_zone": partial(_host_zone, pool),
        "nodes": partial(_nodes, pool),
    }


def _sizes(pool: Pool) -> Makers:
    shapes, shape = pool.shapes, pool.instances.shape

    def of_shape(name: str, amounts: Sequence[int]) -> Column:
        return Numbers(name, np.array([*amounts, 0], dtype=np.int64)[shape])

    return {
        "shape": lambda: Words(shape, tuple(shape.name for shape in shapes)),
        "cpu_milli": lambda: of_shape("cpu_milli", [s.cpu_milli for s in shapes]),
        "memory_mib": lambda: of_shape("memory_mib", [s.memory_mib for s in shapes]),
        "gpus": lambda: of_shape("gpus", [s.gpus for s in shapes]),
        "numa_nodes": lambda: of_shape("numa_nodes", [s.numa_nodes for s in shapes]),
    }


def _rest(pool: Pool) -> Makers:
    rows = pool.instances
    return {
        "priority": partial(Numbers, "priority", rows.priority),
        "group": partial(Words.of, rows.group),
        "tenant": partial(Words.of, rows.tenant),
        "zone": partial(Words.of, rows.zone),
        "image": partial(Words.of, rows.image),
        "migratable": lambda: Flags("migratable", rows.immovable.where("")),
        "immovable": partial(Words.of, rows.immovable),
        "migration": partial(Words.coded, rows.migration, MigrationPolicy),
        "cpu_model": partial(Words.of, rows.cpu_model),
        "disk": partial(Words.coded, rows.disk, Storage),
        "service": partial(Words.coded, rows.service, Service),
        "cpu_limit_milli": partial(Numbers, "cpu_limit_milli", rows.cpu_limit),
        "dirty_mib_s": partial(Numbers, "dirty_mib_s", rows.dirty),
        "cpu_used_milli": partial(Numbers, "cpu_used_milli", rows.cpu_used),
        "memory_used_mib": partial(Numbers, "memory_used_mib", rows.memory_used),
        "cpu_wait": partial(Numbers, "cpu_wait", rows.cpu_wait),
        "ballooned_mib": partial(Numbers, "ballooned_mib", rows.ballooned),
        "disk_used_mib": partial(Numbers, "disk_used_mib", rows.disk_used),
    }


def _host(pool: Pool) -> Column:
    """Return the host of each instance, nothing first for one that is nowhere."""
    ids = pool.hosts.id
    order = by_name(ids)
    codes = np.append(places(order) + 1, 0)
    words = ("", *(ids[row] for row in order.tolist()))
    return Words(codes[pool.instances.host], words, natural)


def _host_zone(pool: Pool) -> Column:
    """Return the zone of the host where each instance is; nothing for one that is nowhere."""
    zone = pool.hosts.zone
    words = ("", *zone.categories) if "" not in zone.categories else zone.categories
    shift = len(words) - len(zone.categories)
    codes = np.append(zone.codes + shift, words.index(""))
    return Words(codes[pool.instances.host], words)


def _nodes(pool: Pool) -> Column:
    masks, codes = np.unique(pool.instances.nodes, return_inverse=True)
    return Lists("nodes", codes, [list(nodes_of(int(mask))) for mask in masks])
