# SPDX-License-Identifier: Apache-2.0
"""Slots are what a draft lets in, one by one, and what people count by hand."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.model.group import Fact
from billow.model.instance import Instance
from billow.model.kinds import Kind
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.plan.draft import Draft
from billow.plan.mix import mix, unknown, weights
from billow.plan.slots import Room, _spread, best_possible, fragmentation
from billow.testing.pools import pool
from billow.testing.strategies import pools, shapes


def counted(world: Pool, shape: Shape, host: int, most: int) -> int:
    """Put instances on a host as long as a draft lets them; any order of node masks, exhaustively
    for the roomiest nodes first, which is optimal."""
    names = [f"more{number}" for number in range(most)]
    grown = world.with_requests([Instance(name, shape) for name in names])
    draft = Draft(grown)
    count = int(grown.hosts.node_count[host])
    for done, name in enumerate(names):
        row = grown.instance_row(name)
        masks = [0]
        if shape.numa_nodes:
            shares = Room(grown.hosts, draft.free_hosts, draft.free_nodes, room_open(grown))
            roomiest = np.argsort(-shares.per_node(shape)[host, :count], kind="stable").tolist()
            masks = [
                sum(1 << node for node in chosen)
                for chosen in combinations(roomiest, shape.numa_nodes)
            ]
        if not any(draft.assign(row, host, mask) for mask in masks):
            return done
    return most


def room_open(world: Pool) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.ones(len(world.hosts), dtype=np.bool_)


@given(pools(requests=False), shapes("wanted"))
def test_slots_are_what_a_draft_lets_in(world: Pool, shape: Shape) -> None:
    room = Room.of(world)
    per_host = room.per_host(shape)
    for host in range(len(world.hosts)):
        expected = int(per_host[host])
        if not room.suits(shape)[host]:
            assert expected == 0
        else:
            assert counted(world, shape, host, expected + 1) == expected


@given(pools(requests=False), shapes("wanted"))
def test_fit_never_exceeds_theory(world: Pool, shape: Shape) -> None:
    room = Room.of(world)
    emptied = Room.emptied(world)
    best = best_possible(room, emptied, shape)
    assert 0 <= room.fit(shape) <= best <= room.theoretical(shape)
    assert (room.per_host(shape) <= emptied.per_host(shape)).all()
    assert 0.0 <= fragmentation(room.fit(shape), room.theoretical(shape)) <= 1.0


@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.integers(1, 5))
def test_spread_is_the_largest_count(shares: list[int], width: int) -> None:
    found = int(_spread(np.array([shares], dtype=np.int64), width)[0])
    possible = [c for c in range(31) if sum(min(each, c) for each in shares) >= width * c]
    assert found == (max(possible) if width <= len(shares) else 0)


@given(pools(requests=False), shapes("wanted"), st.integers(0, 5))
def test_taken_room_is_gone_and_nothing_is_oversold(world: Pool, shape: Shape, less: int) -> None:
    room = Room.of(world)
    counts = np.maximum(room.per_host(shape) - less, 0)
    after = room.taken(shape, counts)
    used = counts > 0
    assert (after.free[used] >= 0).all()
    assert (after.free_nodes[used] >= 0).all()
    assert (after.per_host(shape) <= room.per_host(shape) - counts).all()
    if less == 0:
        assert after.fit(shape) == 0
    shares = room.free_nodes - after.free_nodes
    expected = counts[:, None] * shape.numa_nodes * np.array(shape.share)
    assert (shares.sum(axis=1) == expected).all()


def test_counts_by_hand() -> None:
    # a host of 2 x 8 CPUs with 3 CPUs taken of node 0: 5 + 8 CPUs left
    world = pool("1 hosts x 64GiB 16c 2numa; a: 1 vms x 4GiB 3c 1numa pack")
    room = Room.of(world)
    assert room.fit(Shape("one", 4000, 1024, 1)) == 1 + 2
    assert room.fit(Shape("two", 4000, 1024, 2)) == 2  # halves: 2 and 4 shares
    assert room.fit(Shape("floats", 4000, 1024)) == 3
    assert room.fit(Shape("three", 4000, 1024, 3)) == 0
    assert room.theoretical(Shape("one", 4000, 1024, 1)) == 3
    assert room.per_node(Shape("one", 4000, 1024, 1)).tolist() == [[1, 2]]


def test_what_cannot_move_limits_what_is_possible() -> None:
    # 6 + 6 CPUs are free on two hosts of 8; if both VMs stay, 4 CPUs fit once on each
    world = pool("2 hosts x 64GiB 8c; a: 2 vms x 4GiB 2c spread immovable")
    shape = Shape("s", 4000, 1024)
    assert Room.of(world).theoretical(shape) == 3
    assert best_possible(Room.of(world), Room.emptied(world), shape) == 2
    moving = pool("2 hosts x 64GiB 8c; a: 2 vms x 4GiB 2c spread")
    assert best_possible(Room.of(moving), Room.emptied(moving), shape) == 3


@pytest.mark.parametrize("word", ["off", "failed", "cordoned"])
def test_closed_hosts_do_not_count(word: str) -> None:
    world = pool(f"2 hosts x 64GiB 16c; 1 hosts x 64GiB 16c {word}")
    assert Room.of(world).per_host(Shape("s", 8000, 1024)).tolist() == [2, 2, 0]
    assert Room.of(world).theoretical(Shape("s", 32000, 1024)) == 1


def test_bare_metal_has_its_host_alone() -> None:
    world = pool("2 hosts x 64GiB 16c; m: 1 bare_metals x 4GiB 2c on=h1")
    assert world.instance("m1").kind is Kind.BARE_METAL
    assert Room.of(world).per_host(Shape("s", 8000, 1024)).tolist() == [0, 2]


def test_what_matters_is_named_or_weighed_or_in_use() -> None:
    world = pool("2 hosts x 64GiB 16c; a: 3 vms x 4GiB 2c pack; b: 1 vms x 1GiB 1c pack")
    often, seldom = (each.shape.name for each in mix(world))
    assert (often, seldom) == ("2000m-4096mib", "1000m-1024mib")
    assert [each.weight for each in mix(world)] == [0.75, 0.25]
    assert [each.shape.name for each in mix(world, [seldom, "none"])] == [seldom]
    assert unknown(world, [seldom, "none"]) == ("none",)
    weighed = Pool.build(
        world.host_views(),
        world.instance_views(),
        facts=[Fact(f"shape/{seldom}", "weight", "2")],
    )
    assert weights(weighed) == {seldom: 2.0}
    assert [each.shape.name for each in mix(weighed)] == [seldom]
