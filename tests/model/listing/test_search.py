# SPDX-License-Identifier: Apache-2.0
"""Filtering, sorting and cutting over columns agree with naive Python on generated pools."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.errors import Invalid
from billow.model.host import Host, Node
from billow.model.listing.columns import Grid
from billow.model.listing.hosts import host_grid
from billow.model.listing.instances import instance_grid
from billow.model.listing.order import natural
from billow.model.listing.search import Query, containing, find
from billow.model.pool import Pool
from tests.model.listing.drawn import (
    HOST_RANKS,
    INSTANCE_RANKS,
    SIGNS,
    SORTABLE_HOSTS,
    SORTABLE_INSTANCES,
    naive_order,
    pools,
    rows_of,
)

POOL = Pool.build([Host("a", (Node(4000, 4096),))])


def ids(grid: Grid, query: Query) -> list[str]:
    """Return all ids that match, in order."""
    found = find(grid, query)
    rows = found.page(0, found.total)
    assert len(rows) == found.total
    return [grid.id[row] for row in rows]


@given(pools(), st.sampled_from(SORTABLE_HOSTS), SIGNS)
def test_hosts_come_in_order(pool: Pool, field: str, sign: str) -> None:
    grid, sort = host_grid(pool), sign + field
    assert ids(grid, Query(sort=sort)) == naive_order(rows_of(grid), sort, HOST_RANKS)


@given(pools(), st.sampled_from(SORTABLE_INSTANCES), SIGNS)
def test_instances_come_in_order(pool: Pool, field: str, sign: str) -> None:
    grid, sort = instance_grid(pool), sign + field
    assert ids(grid, Query(sort=sort)) == naive_order(rows_of(grid), sort, INSTANCE_RANKS)


@given(pools(), st.sampled_from(SORTABLE_INSTANCES), SIGNS, st.integers(1, 4))
def test_numbered_pages_are_cut_from_the_whole(
    pool: Pool, field: str, sign: str, size: int
) -> None:
    found = find(instance_grid(pool), Query(sort=sign + field))
    whole = found.page(0, found.total)
    for start in range(0, found.total + size, size):
        assert found.page(start, size) == whole[start : start + size]


def test_hosts_are_ordered_as_people_count() -> None:
    pool = Pool.build([Host(name, (Node(1, 1),)) for name in ("h10", "h2", "h1", "h02", "g")])
    grid = host_grid(pool)
    assert ids(grid, Query()) == ["g", "h1", "h02", "h2", "h10"]
    assert ids(grid, Query({"id": "h2,h02"}, sort="-id")) == ["h2", "h02"]
    assert ids(grid, Query(text="H1")) == ["h1", "h10"]


@given(st.lists(st.text("aAéÉ1", max_size=5), max_size=9), st.text("aAéÉ1", max_size=2))
def test_a_part_of_an_id_is_found_in_any_case(names: list[str], text: str) -> None:
    assert containing(names, text).tolist() == [text.lower() in name.lower() for name in names]


@given(
    pools(),
    st.sampled_from(["running", "running,stopped", "nonsense", ""]),
    st.text("aB", max_size=2),
)
def test_filters_keep_what_plain_python_keeps(pool: Pool, states: str, text: str) -> None:
    grid = instance_grid(pool)
    query = Query({"state": states, "memory_mib": "512..", "migratable": "true"}, text=text)
    assert ids(grid, query) == [
        row["id"]
        for row in rows_of(grid)
        if row["state"] in states.split(",")
        and row["memory_mib"] >= 512
        and row["migratable"]
        and text.lower() in row["id"].lower()
    ]


@given(pools(), st.sampled_from(["batch", "latency", "batch,latency", "nonsense"]))
def test_a_service_is_found(pool: Pool, services: str) -> None:
    grid = instance_grid(pool)
    query = Query({"service": services, "cpu_wait": "0.1.."})
    assert ids(grid, query) == [
        each.id
        for each in pool.instance_views()
        if each.service in services.split(",") and each.cpu_wait >= 0.1
    ]


@given(pools(), st.sets(st.sampled_from(["kvm", "gpu", "nonsense"]), min_size=1))
def test_trait_filters_want_every_trait(pool: Pool, traits: set[str]) -> None:
    grid = host_grid(pool)
    assert ids(grid, Query({"traits": ",".join(traits)})) == [
        host.id
        for host in sorted(pool.host_views(), key=lambda host: natural(host.id))
        if traits <= host.traits
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
        assert (row["load"], row["watts"]) == (_seen(host.load), _seen(host.watts))
    for row, each in zip(rows_of(instance_grid(pool)), pool.instance_views(), strict=True):
        assert (row["id"], row["state"], row["host"]) == (each.id, each.state, each.host)
        assert row["nodes"] == list(each.nodes)
        assert row["host_zone"] == (pool.host(each.host).zone if each.host else "")
        assert row["memory_mib"] == each.shape.memory_mib
        assert (row["service"], row["cpu_limit_milli"]) == (each.service, each.cpu_limit_milli)
        assert row["cpu_wait"] == _seen(each.cpu_wait)


def _seen(measure: float) -> float | None:
    """Return a measurement as JSON has it."""
    return None if math.isnan(measure) else measure


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
