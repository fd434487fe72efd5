# SPDX-License-Identifier: Apache-2.0
"""A draft never goes over, and forgets what is taken back."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.instances import NOWHERE
from billow.model.kinds import State
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.plan.draft import Draft
from tests.plan.pools import pools

MOVES = st.lists(st.tuples(st.integers(0, 13), st.integers(-1, 4), st.integers(0, 7)), max_size=40)


def _try(draft: Draft, move: tuple[int, int, int]) -> None:
    row, host, nodes = move
    if row < len(draft.pool.instances) and host < len(draft.pool.hosts):
        draft.assign(row, host, 0 if host == NOWHERE else nodes)


@given(pools(), MOVES)
def test_no_host_or_node_is_ever_over_capacity(
    pool: Pool, moves: list[tuple[int, int, int]]
) -> None:
    draft = Draft(pool)
    for move in moves:
        _try(draft, move)
        assert (draft.free_hosts >= 0).all()
        assert (draft.free_nodes >= 0).all()


@given(pools(), MOVES)
def test_what_is_counted_step_by_step_is_what_a_fresh_count_gives(
    pool: Pool, moves: list[tuple[int, int, int]]
) -> None:
    draft = Draft(pool)
    for move in moves:
        _try(draft, move)
    again = draft.freeze()
    assert np.array_equal(draft.free_hosts, again.free)
    assert np.array_equal(draft.free_nodes, again.free_nodes)


@given(pools(), MOVES, MOVES)
def test_rollback_returns_to_the_checkpoint(
    pool: Pool, kept: list[tuple[int, int, int]], tried: list[tuple[int, int, int]]
) -> None:
    draft = Draft(pool)
    for move in kept:
        _try(draft, move)
    before, mark = draft.freeze().digest, draft.checkpoint()
    free = draft.free_nodes.copy()
    for move in tried:
        _try(draft, move)
    draft.rollback(mark)
    assert draft.freeze().digest == before
    assert np.array_equal(draft.free_nodes, free)


@given(pools(), MOVES)
def test_group_rules_hold_after_every_move(pool: Pool, moves: list[tuple[int, int, int]]) -> None:
    draft = Draft(pool)
    for move in moves:
        _try(draft, move)
    placed = [each for each in draft.freeze().instance_views() if each.host]
    hosts = {host.id: host for host in pool.host_views()}
    apart = [each.host for each in placed if each.group == "apart"]
    racks = [hosts[each.host].rack for each in placed if each.group == "spread"]
    zones = {hosts[each.host].zone for each in placed if each.group == "near"}
    assert len(set(apart)) == len(apart)
    assert len(set(racks)) == len(racks)
    assert len(zones) <= 1


def test_a_mask_that_does_not_suit_the_shape_is_refused() -> None:
    host = Host("h", (Node(4000, 4096), Node(4000, 4096)))
    pool = Pool.build([host]).with_requests([Instance("a", Shape("m", 1000, 1024, numa_nodes=1))])
    draft = Draft(pool)
    assert not draft.assign(0, 0, 0)
    assert not draft.assign(0, 0, 0b11)
    assert not draft.assign(0, 0, 0b100)
    assert draft.assign(0, 0, 0b10)
    assert draft.freeze().instance("a").nodes == (1,)


def test_a_live_move_holds_room_at_both_ends_until_it_settles() -> None:
    hosts = [Host(name, (Node(2000, 2048),)) for name in ("h1", "h2")]
    shape = Shape("m", 2000, 2048)
    pool = Pool.build(hosts, [Instance("a", shape, host="h1", state=State.RUNNING)])
    draft = Draft(pool.with_requests([Instance("b", shape)]))
    assert draft.begin(0, 1)
    assert not draft.assign(1, 0)
    draft.settle(0)
    assert draft.assign(1, 0)


def test_reshape_grows_only_where_there_is_room() -> None:
    small, large = Shape("s", 1000, 1024), Shape("x", 4000, 4096)
    pool = Pool.build(
        [Host("h", (Node(4000, 8192),))],
        [Instance(name, small, host="h", state=State.RUNNING) for name in "ab"],
    ).with_shapes([large])
    draft = Draft(pool)
    assert not draft.reshape(0, pool.shapes.index(large))
    assert draft.assign(1, NOWHERE)
    assert draft.reshape(0, pool.shapes.index(large))
    assert draft.free_hosts[0].tolist() == [0, 4096, 0, 0]
