# SPDX-License-Identifier: Apache-2.0
"""Which fields the host list has, and from which columns they come."""

from collections.abc import Callable
from functools import partial
from weakref import WeakKeyDictionary

from billow.model.column import Categorical
from billow.model.kinds import Arch, Health, Power
from billow.model.listing import figures
from billow.model.listing.columns import Column, Flags, Grid, Lists, Makers, Numbers, Words
from billow.model.listing.figures import Mark
from billow.model.listing.order import by_name, natural, places
from billow.model.pool import Pool
from billow.model.resources import RESOURCES, FloatArray

MARKS = tuple(mark.word for mark in Mark)
_KEPT: "WeakKeyDictionary[Pool, Grid]" = WeakKeyDictionary()


def host_grid(pool: Pool) -> Grid:
    """Return the host list's columns; they live as long as the pool."""
    if pool not in _KEPT:
        _KEPT[pool] = Grid(pool.hosts.id, _states(pool) | _amounts(pool) | _figures(pool), {})
    return _KEPT[pool]


def _states(pool: Pool) -> Makers:
    hosts = pool.hosts
    return {
        "id": partial(_names, hosts.id),
        "mark": lambda: Words.ranked(figures.marks(hosts), MARKS),
        "power": lambda: Words.coded(hosts.power, Power),
        "health": lambda: Words.coded(hosts.health, Health),
        "cordon": partial(Words.of, hosts.cordon),
        "takes_instances": lambda: Flags("takes_instances", hosts.schedulable),
        "instances": lambda: Numbers("instances", figures.instance_counts(pool)),
        "arch": lambda: Words.coded(hosts.arch, Arch),
        "cpu_model": partial(Words.of, hosts.cpu_model),
        "sockets": partial(Numbers, "sockets", hosts.sockets),
        "numa_nodes": partial(Numbers, "numa_nodes", hosts.node_count),
        "zone": partial(Words.of, hosts.zone),
        "rack": partial(Words.of, hosts.rack),
        "traits": partial(_sets, "traits", hosts.traits),
        "gpu_model": partial(Words.of, hosts.gpu_model),
    }


def _amounts(pool: Pool) -> Makers:
    makers: Makers = {}
    for number, resource in enumerate(RESOURCES):
        makers[resource] = partial(_sellable, pool, number, resource)
        makers[f"reserved_{resource}"] = partial(_reserved, pool, number, resource)
        makers[f"free_{resource}"] = partial(_free, pool, number, resource)
    return makers


def _figures(pool: Pool) -> Makers:
    hosts = pool.hosts
    shares = {
        "cpu_reserved_share": figures.cpu_reserved,
        "memory_reserved_share": figures.memory_reserved,
        "cpu_used_share": figures.cpu_used,
        "memory_used_share": figures.memory_used,
    }
    return {
        "cpu_ratio": partial(Numbers, "cpu_ratio", hosts.cpu_ratio),
        "memory_ratio": partial(Numbers, "memory_ratio", hosts.memory_ratio),
        "bandwidth_mib_s": partial(Numbers, "bandwidth_mib_s", hosts.bandwidth),
        "cpu_used_milli": partial(Numbers, "cpu_used_milli", hosts.cpu_used),
        "memory_used_mib": partial(Numbers, "memory_used_mib", hosts.memory_used),
        "load": partial(Numbers, "load", hosts.load),
        "cpu_pressure": partial(Numbers, "cpu_pressure", hosts.cpu_pressure),
        "memory_pressure": partial(Numbers, "memory_pressure", hosts.memory_pressure),
        "swap_mib_s": partial(Numbers, "swap_mib_s", hosts.swap),
        "watts": partial(Numbers, "watts", hosts.watts),
        "power_curve": partial(Words.of, hosts.power_curve),
        "physical_cpu_milli": lambda: Numbers("physical_cpu_milli", figures.physical_cpu(hosts)),
        "physical_memory_mib": lambda: Numbers(
            "physical_memory_mib", figures.physical_memory(hosts)
        ),
        **{name: partial(_share, pool, name, share) for name, share in shares.items()},
    }


def _names(ids: tuple[str, ...]) -> Column:
    order = by_name(ids)
    return Words(places(order), tuple(ids[row] for row in order.tolist()), natural)


def _share(pool: Pool, name: str, share: Callable[[Pool], FloatArray]) -> Column:
    return Numbers(name, share(pool))


def _sets(name: str, column: Categorical[frozenset[str]]) -> Column:
    return Lists(name, column.codes, [sorted(each) for each in column.categories])


def _sellable(pool: Pool, resource: int, name: str) -> Column:
    return Numbers(name, pool.hosts.sellable[..., resource].sum(axis=1))


def _reserved(pool: Pool, resource: int, name: str) -> Column:
    return Numbers(f"reserved_{name}", pool.reserved[:, resource])


def _free(pool: Pool, resource: int, name: str) -> Column:
    return Numbers(f"free_{name}", pool.free[:, resource])
