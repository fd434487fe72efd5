# SPDX-License-Identifier: Apache-2.0
"""Pages that a cursor joins are the whole list, also when the pool changes in between."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.api.listing import chosen, page_of
from billow.errors import Invalid
from billow.model.host import Host, Node
from billow.model.listing.columns import Grid
from billow.model.listing.hosts import host_grid
from billow.model.listing.instances import instance_grid
from billow.model.listing.search import Query
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


def walked(grid: Grid, query: Query, limit: int) -> list[str]:
    """Return the ids of all pages in order."""
    ids: list[str] = []
    cursor = ""
    while True:
        page = page_of(grid, query, limit, cursor)
        ids += [grid.id[row] for row in page.rows]
        cursor = page.cursor
        if not cursor:
            assert page.total == len(ids)
            return ids
        assert len(page.rows) == limit


@given(pools(), st.sampled_from(SORTABLE_HOSTS), SIGNS, st.integers(1, 4))
def test_hosts_come_in_order_page_by_page(pool: Pool, field: str, sign: str, limit: int) -> None:
    grid, sort = host_grid(pool), sign + field
    assert walked(grid, Query(sort=sort), limit) == naive_order(rows_of(grid), sort, HOST_RANKS)


@given(pools(), st.sampled_from(SORTABLE_INSTANCES), SIGNS, st.integers(1, 4))
def test_instances_come_in_order_page_by_page(
    pool: Pool, field: str, sign: str, limit: int
) -> None:
    grid, sort = instance_grid(pool), sign + field
    assert walked(grid, Query(sort=sort), limit) == naive_order(rows_of(grid), sort, INSTANCE_RANKS)


def test_a_page_survives_a_changed_pool() -> None:
    node = (Node(4000, 4096),)
    before = host_grid(Pool.build([Host("a", node), Host("c", node), Host("d", node)]))
    after = host_grid(Pool.build([Host("a", node), Host("b", node), Host("d", node)]))
    first = page_of(before, Query(), limit=2)
    second = page_of(after, Query(), limit=2, cursor=first.cursor)
    assert [after.id[row] for row in second.rows] == ["d"]


@pytest.mark.parametrize(
    "cursor",
    ["x", "é", "W10", "bnVsbA", "WyJpZCIsIHsiYSI6MX0sICJhIl0", "W" * 10_000, "WyJpZCIsTmFOLDFd"],
)
def test_a_forged_cursor_is_an_error(cursor: str) -> None:
    with pytest.raises(Invalid, match="cursor"):
        page_of(host_grid(POOL), Query(), cursor=cursor)


def test_a_cursor_of_another_sort_is_an_error() -> None:
    grid = host_grid(Pool.build([Host("a", (Node(1, 1),)), Host("b", (Node(1, 1),))]))
    cursor = page_of(grid, Query(), limit=1).cursor
    with pytest.raises(Invalid, match="cursor"):
        page_of(grid, Query(sort="zone"), cursor=cursor)


def test_fields_are_chosen_in_the_order_asked() -> None:
    grid = host_grid(POOL)
    assert chosen(grid, "power,id,power") == ["power", "id"]
    assert chosen(grid, "")[0] == "id"
    with pytest.raises(Invalid, match="nonsense"):
        chosen(grid, "id,nonsense")
