# SPDX-License-Identifier: Apache-2.0
"""Which fields the host list and the instance list have, and from which columns they come."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from typing import TypeAlias
from weakref import WeakKeyDictionary

import numpy as np

from billow.api.columns import Column, Flags, Grid, Lists, Numbers, Words
from billow.model.column import Categorical
from billow.model.instance import nodes_of
from billow.model.instances import NOWHERE
from billow.model.kinds import Arch, Health, Kind, Power, State
from billow.model.pool import Pool
from billow.model.resources import RESOURCES, CodeArray

Makers: TypeAlias = dict[str, Callable[[], Column]]

_HOSTS: "WeakKeyDictionary[Pool, Grid]" = WeakKeyDictionary()
_INSTANCES: "WeakKeyDictionary[Pool, Grid]" = WeakKeyDictionary()


def host_grid(pool: Pool) -> Grid:
    """Return the host list's columns; they live as long as the pool."""
    if pool not in _HOSTS:
        _HOSTS[pool] = _host_grid(pool)
    return _HOSTS[pool]


def instance_grid(pool: Pool) -> Grid:
    """Return the instance list's columns; they live as long as the pool."""
    if pool not in _INSTANCES:
        _INSTANCES[pool] = _instance_grid(pool)
    return _INSTANCES[pool]


def _host_grid(pool: Pool) -> Grid:
    hosts = pool.hosts
    makers: Makers = {
        "id": partial(_ids, hosts.id),
        "power": partial(_coded, hosts.power, Power),
        "health": partial(_coded, hosts.health, Health),
        "cordon": partial(Words.of, hosts.cordon),
        "takes_instances": lambda: Flags("takes_instances", hosts.schedulable),
        "instances": partial(_counts, pool),
        "arch": partial(_coded, hosts.arch, Arch),
        "sockets": partial(Numbers, "sockets", hosts.sockets),
        "numa_nodes": partial(Numbers, "numa_nodes", hosts.node_count),
        "zone": partial(Words.of, hosts.zone),
        "rack": partial(Words.of, hosts.rack),
        "traits": partial(_sets, "traits", hosts.traits),
        "gpu_model": partial(Words.of, hosts.gpu_model),
    }
    for number, resource in enumerate(RESOURCES):
        makers[resource] = partial(_sellable, pool, number, resource)
        makers[f"reserved_{resource}"] = partial(_reserved, pool, number, resource)
        makers[f"free_{resource}"] = partial(_free, pool, number, resource)
    makers |= {
        "cpu_ratio": partial(Numbers, "cpu_ratio", hosts.cpu_ratio),
        "memory_ratio": partial(Numbers, "memory_ratio", hosts.memory_ratio),
        "bandwidth_mib_s": partial(Numbers, "bandwidth_mib_s", hosts.bandwidth),
        "cpu_used_milli": partial(Numbers, "cpu_used_milli", hosts.cpu_used),
        "memory_used_mib": partial(Numbers, "memory_used_mib", hosts.memory_used),
    }
    return Grid(hosts.id, makers, {})


def _instance_grid(pool: Pool) -> Grid:
    rows = pool.instances
    shapes = pool.shapes

    def of_shape(name: str, amounts: Sequence[int]) -> Column:
        return Numbers(name, np.array([*amounts, 0], dtype=np.int64)[rows.shape])

    makers: Makers = {
        "id": partial(_ids, rows.id),
        "kind": partial(_coded, rows.kind, Kind),
        "state": partial(_coded, rows.state, State),
        "host": lambda: Words(rows.host + 1, ("", *pool.hosts.id)),
        "host_zone": partial(_host_zone, pool),
        "nodes": partial(_nodes, pool),
        "shape": lambda: Words(rows.shape, tuple(shape.name for shape in shapes)),
        "cpu_milli": lambda: of_shape("cpu_milli", [s.cpu_milli for s in shapes]),
        "memory_mib": lambda: of_shape("memory_mib", [s.memory_mib for s in shapes]),
        "gpus": lambda: of_shape("gpus", [s.gpus for s in shapes]),
        "numa_nodes": lambda: of_shape("numa_nodes", [s.numa_nodes for s in shapes]),
        "priority": partial(Numbers, "priority", rows.priority),
        "group": partial(Words.of, rows.group),
        "tenant": partial(Words.of, rows.tenant),
        "zone": partial(Words.of, rows.zone),
        "image": partial(Words.of, rows.image),
        "migratable": lambda: Flags("migratable", rows.immovable.where("")),
        "immovable": partial(Words.of, rows.immovable),
        "dirty_mib_s": partial(Numbers, "dirty_mib_s", rows.dirty),
        "cpu_used_milli": partial(Numbers, "cpu_used_milli", rows.cpu_used),
        "memory_used_mib": partial(Numbers, "memory_used_mib", rows.memory_used),
    }
    return Grid(rows.id, makers, {})


def _ids(ids: Sequence[str]) -> Column:
    return Words(np.arange(len(ids)), ids)


def _coded(codes: CodeArray, vocabulary: type[StrEnum]) -> Column:
    return Words.ranked(codes, tuple(map(str, vocabulary)))


def _sets(name: str, column: Categorical[frozenset[str]]) -> Column:
    return Lists(name, column.codes, [sorted(each) for each in column.categories])


def _counts(pool: Pool) -> Column:
    placed = pool.instances.host[pool.instances.host != NOWHERE]
    return Numbers("instances", np.bincount(placed, minlength=len(pool.hosts)))


def _sellable(pool: Pool, resource: int, name: str) -> Column:
    return Numbers(name, pool.hosts.sellable[..., resource].sum(axis=1))


def _reserved(pool: Pool, resource: int, name: str) -> Column:
    return Numbers(f"reserved_{name}", pool.reserved[:, resource])


def _free(pool: Pool, resource: int, name: str) -> Column:
    return Numbers(f"free_{name}", pool.free[:, resource])


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
