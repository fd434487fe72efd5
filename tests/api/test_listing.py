# SPDX-License-Identifier: Apache-2.0
"""Paging, sorting and filtering over columns agree with naive Python on generated pools."""

import math
from functools import cmp_to_key
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.api.columns import Grid
from billow.api.listing import Query, chosen, find
from billow.api.tables import host_grid, instance_grid
from billow.errors import Invalid
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import Arch, Health, Kind, Power, State
from billow.model.pool import Pool
from billow.model.shape import Shape

SHAPES = [
    Shape(f"s{n}", cpu_milli=500 * n, memory_mib=256 * n, numa_nodes=n % 2) for n in range(1, 5)
]
NAMES = st.text("abAB0é", min_size=1, max_size=4)
MEASURES = st.sampled_from([math.nan, 0.0, 0.1, 2.5, 7.0])


@st.composite
def pools(draw: st.DrawFn) -> Pool:
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
            dirty_mib_s=draw(MEASURES),
        )
        if host or not shape.numa_nodes
        else Instance(name, SHAPES[1])
    )


def rows_of(grid: Grid) -> list[dict[str, Any]]:
    return [grid.show(row, list(grid.makers)) for row in range(len(grid.id))]


def naive_order(rows: list[dict[str, Any]], sort: str) -> list[str]:
    name, descending = sort.removeprefix("-"), sort.startswith("-")

    def compare(one: dict[str, Any], other: dict[str, Any]) -> int:
        a, b = one[name], other[name]
        if a == b:
            return -1 if one["id"] < other["id"] else 1
        if a is None or b is None:
            return 1 if a is None else -1
        return (-1 if a < b else 1) * (-1 if descending else 1)

    return [row["id"] for row in sorted(rows, key=cmp_to_key(compare))]


def walked(grid: Grid, query: Query) -> list[str]:
    """Return the ids of all pages in order."""
    ids: list[str] = []
    cursor = ""
    while True:
        page = find(grid, Query(query.where, query.text, query.sort, query.limit, cursor))
        ids += [grid.id[row] for row in page.rows]
        cursor = page.cursor
        if not cursor:
            assert page.total == len(ids)
            return ids
        assert len(page.rows) == query.limit


SIGNS = st.sampled_from(["", "-"])
SORTABLE_HOSTS = ["id", "power", "zone", "cpu_milli", "free_memory_mib", "cpu_used_milli"]
SORTABLE_INSTANCES = ["id", "state", "host", "host_zone", "memory_mib", "priority", "dirty_mib_s"]


@given(pools(), st.sampled_from(SORTABLE_HOSTS), SIGNS, st.integers(1, 4))
def test_hosts_come_in_order_page_by_page(pool: Pool, field: str, sign: str, limit: int) -> None:
    grid, sort = host_grid(pool), sign + field
    assert walked(grid, Query(sort=sort, limit=limit)) == naive_order(rows_of(grid), sort)


@given(pools(), st.sampled_from(SORTABLE_INSTANCES), SIGNS, st.integers(1, 4))
def test_instances_come_in_order_page_by_page(
    pool: Pool, field: str, sign: str, limit: int
) -> None:
    grid, sort = instance_grid(pool), sign + field
    assert walked(grid, Query(sort=sort, limit=limit)) == naive_order(rows_of(grid), sort)


@given(
    pools(),
    st.sampled_from(["running", "running,stopped", "nonsense", ""]),
    st.text("aB", max_size=2),
)
def test_filters_keep_what_plain_python_keeps(pool: Pool, states: str, text: str) -> None:
    grid = instance_grid(pool)
    query = Query({"state": states, "memory_mib": "512..", "migratable": "true"}, text=text)
    assert walked(grid, query) == [
        row["id"]
        for row in rows_of(grid)
        if row["state"] in states.split(",")
        and row["memory_mib"] >= 512
        and row["migratable"]
        and text.lower() in row["id"].lower()
    ]


@given(pools(), st.sets(st.sampled_from(["kvm", "gpu", "nonsense"]), min_size=1))
def test_trait_filters_want_every_trait(pool: Pool, traits: set[str]) -> None:
    grid = host_grid(pool)
    assert walked(grid, Query({"traits": ",".join(traits)})) == [
        host.id for host in pool.host_views() if traits <= host.traits
    ]


@given(pools())
def test_rows_say_what_the_pool_says(pool: Pool) -> None:
    for row, host in zip(rows_of(host_grid(pool)), pool.host_views(), strict=True):
        here = [each for each in pool.instance_views() if each.host == host.id]
        assert row["id"] == host.id
        assert row["instances"] == len(here)
        assert row["reserved_cpu_milli"] == sum(each.shape.cpu_milli for each in here)
        assert row["takes_instances"] == host.schedulable
        assert row["traits"] == sorted(host.traits)
    for row, each in zip(rows_of(instance_grid(pool)), pool.instance_views(), strict=True):
        assert (row["id"], row["state"], row["host"]) == (each.id, each.state, each.host)
        assert row["nodes"] == list(each.nodes)
        assert row["host_zone"] == (pool.host(each.host).zone if each.host else "")
        assert row["memory_mib"] == each.shape.memory_mib


def test_a_page_survives_a_changed_pool() -> None:
    node = (Node(4000, 4096),)
    before = host_grid(Pool.build([Host("a", node), Host("c", node), Host("d", node)]))
    after = host_grid(Pool.build([Host("a", node), Host("b", node), Host("d", node)]))
    first = find(before, Query(limit=2))
    second = find(after, Query(limit=2, cursor=first.cursor))
    assert [after.id[row] for row in second.rows] == ["d"]


POOL = Pool.build([Host("a", (Node(4000, 4096),))])


@pytest.mark.parametrize(
    "cursor",
    ["x", "é", "W10", "bnVsbA", "WyJpZCIsIHsiYSI6MX0sICJhIl0", "W" * 10_000, "WyJpZCIsTmFOLDFd"],
)
def test_a_forged_cursor_is_an_error(cursor: str) -> None:
    with pytest.raises(Invalid, match="cursor"):
        find(host_grid(POOL), Query(cursor=cursor))


@pytest.mark.parametrize(
    ("where", "sort"),
    [
        ({"cpu_milli": "many"}, "id"),
        ({"cpu_milli": ""}, "id"),
        ({"cpu_milli": "nan..nan"}, "id"),
        ({"takes_instances": "yes"}, "id"),
        ({"nonsense": "1"}, "id"),
        ({}, "nonsense"),
        ({}, "traits"),
        ({}, "--id"),
    ],
)
def test_a_wrong_question_is_an_error(where: dict[str, str], sort: str) -> None:
    with pytest.raises(Invalid):
        find(host_grid(POOL), Query(where, sort=sort))


def test_fields_are_chosen_in_the_order_asked() -> None:
    grid = host_grid(POOL)
    assert chosen(grid, "power,id,power") == ["power", "id"]
    assert chosen(grid, "")[0] == "id"
    with pytest.raises(Invalid, match="nonsense"):
        chosen(grid, "id,nonsense")
