# SPDX-License-Identifier: Apache-2.0
"""Generated pools, and what plain Python says of their lists."""

import math
from collections.abc import Callable, Mapping
from functools import cmp_to_key
from typing import Any

from hypothesis import strategies as st

from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import Arch, Health, Kind, Power, Service, State
from billow.model.listing.columns import Grid
from billow.model.listing.figures import Mark
from billow.model.listing.order import natural
from billow.model.pool import Pool
from billow.model.shape import Shape

SHAPES = [
    Shape(f"s{n}", cpu_milli=500 * n, memory_mib=256 * n, numa_nodes=n % 2) for n in range(1, 5)
]
NAMES = st.text("aAB012é", min_size=1, max_size=4)
MEASURES = st.sampled_from([math.nan, 0.0, 0.1, 2.5, 7.0])


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    """Draw a small pool with all sorts of hosts and instances."""
    hosts = [
        Host(
            name,
            (Node(draw(st.integers(0, 9)), draw(st.integers(0, 9))), Node(1, 1)),
            arch=draw(st.sampled_from(Arch)),
            zone=draw(st.sampled_from(["", "a", "b"])),
            traits=draw(st.frozensets(st.sampled_from(["kvm", "gpu", "avx"]))),
            power=draw(st.sampled_from(Power)),
            health=draw(st.sampled_from(Health)),
            cordon=draw(st.sampled_from(["", "maintenance"])),
            cpu_used_milli=draw(MEASURES),
            load=draw(MEASURES),
            watts=draw(MEASURES),
        )
        for name in draw(st.lists(NAMES, unique=True, max_size=6))
    ]
    return Pool.build(
        hosts, [_instance(draw, name, hosts) for name in draw(st.lists(NAMES, unique=True))]
    )


def _instance(draw: st.DrawFn, name: str, hosts: list[Host]) -> Instance:
    shape = draw(st.sampled_from(SHAPES))
    host = draw(st.sampled_from([host.id for host in hosts])) if hosts else ""
    return (
        Instance(
            name,
            shape,
            kind=draw(st.sampled_from(Kind)),
            state=draw(st.sampled_from(State)),
            host=host,
            nodes=tuple(range(shape.numa_nodes)) if host else (),
            priority=draw(st.integers(-2, 2)),
            immovable=draw(st.sampled_from(["", "gpu"])),
            service=draw(st.sampled_from(Service)),
            cpu_limit_milli=draw(st.sampled_from([0, 500, 1500])),
            dirty_mib_s=draw(MEASURES),
            cpu_wait=draw(st.sampled_from([math.nan, 0.0, 0.25])),
        )
        if host or not shape.numa_nodes
        else Instance(name, SHAPES[1])
    )


def rows_of(grid: Grid) -> list[dict[str, Any]]:
    """Return every row with all fields."""
    return [grid.show(row, list(grid.makers)) for row in range(len(grid.id))]


Ranks = Mapping[str, Callable[[Any], Any]]
HOST_RANKS: Ranks = {"id": natural, "mark": lambda word: Mark[word.upper()]}
INSTANCE_RANKS: Ranks = {"host": natural}
SIGNS = st.sampled_from(["", "-"])
SORTABLE_HOSTS = [
    *("id", "mark", "power", "zone", "cpu_milli", "free_memory_mib", "cpu_used_share"),
    *("load", "watts"),
]
SORTABLE_INSTANCES = [
    *("id", "state", "host", "host_zone", "memory_mib", "priority", "dirty_mib_s"),
    *("service", "cpu_limit_milli", "cpu_wait"),
]


def naive_order(rows: list[dict[str, Any]], sort: str, ranks: Ranks) -> list[str]:
    """Return the ids in order, compared one by one; a field without a rank goes by its value."""
    name, descending = sort.removeprefix("-"), sort.startswith("-")

    def compare(one: dict[str, Any], other: dict[str, Any]) -> int:
        a, b = one[name], other[name]
        if a == b:
            return -1 if one["id"] < other["id"] else 1
        if a is None or b is None:
            return 1 if a is None else -1
        if name in ranks:
            a, b = ranks[name](a), ranks[name](b)
        return (-1 if a < b else 1) * (-1 if descending else 1)

    return [row["id"] for row in sorted(rows, key=cmp_to_key(compare))]
