# SPDX-License-Identifier: Apache-2.0
"""Hosts are emptied by few moves, and only where that is worth them."""

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from billow.capabilities.placement.emptying import emptying, price
from billow.capabilities.placement.lifetimes import AHEAD
from billow.capabilities.placement.plan import Placement
from billow.capabilities.placement.policy import PlacementPolicy, Strategy
from billow.model.action import Migrate, Place
from billow.model.history import History, Lives
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.instances import NOWHERE
from billow.model.kinds import State
from billow.model.policy import Limits
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.plan.compose import Stamp, compose

SMALL = Shape("small", 1000, 1024)
HOUR = 3600.0
NOW = 1_000 * HOUR


def policy(moves: int) -> PlacementPolicy:
    return PlacementPolicy(strategy=Strategy.PACK, moves_per_plan=moves)


def pool_of(counts: list[int], requests: int = 0, stays: tuple[str, ...] = ()) -> Pool:
    """Hosts of eight CPUs with so many instances of one CPU each, named `HOST-NUMBER`."""
    hosts = [Host(f"h{row}", (Node(8_000, 65_536),)) for row in range(len(counts))]
    names = [
        (row, f"{row}-{number}") for row in range(len(counts)) for number in range(counts[row])
    ]
    there = [
        Instance(
            name,
            SMALL,
            host=f"h{row}",
            state=State.RUNNING,
            immovable="pinned device" if name in stays else "",
        )
        for row, name in names
    ]
    asked = [Instance(f"new-{number}", SMALL) for number in range(requests)]
    return Pool.build(hosts, there, taken_at=NOW).with_requests(asked)


def moves(pool: Pool, budget: int) -> dict[str, str]:
    actions = Placement().propose(pool, policy(budget)).actions
    return {each.instance: each.target for each in actions if isinstance(each, Migrate)}


def test_nothing_moves_unasked() -> None:
    assert moves(pool_of([6, 2, 5]), 0) == {}


def test_the_host_with_the_fewest_is_emptied_into_hosts_in_use() -> None:
    assert moves(pool_of([6, 2, 5, 0]), 2) == {"1-0": "h0", "1-1": "h0"}


def test_a_host_is_emptied_whole_or_left_alone() -> None:
    assert moves(pool_of([6, 3, 5]), 2) == {}
    assert moves(pool_of([7, 3, 7]), 8) == {}


def test_what_cannot_move_keeps_its_host() -> None:
    assert moves(pool_of([6, 2, 4], stays=("1-1",)), 2) == {}


def test_a_host_that_a_request_goes_to_is_not_emptied() -> None:
    proposal = Placement().propose(pool_of([8, 2, 1], requests=1), policy(1))
    placed = [each.host for each in proposal.actions if isinstance(each, Place)]
    assert placed == ["h1"]
    assert proposal.gain["hosts_emptied"] == 1
    assert [each.source for each in proposal.actions if isinstance(each, Migrate)] == ["h2"]


def test_a_host_that_empties_by_itself_is_left_to_it() -> None:
    pool = pool_of([5, 2, 2])
    born = NOW - 900 * HOUR + np.arange(200, dtype=np.float64) * HOUR
    tenants = ("brief", "steady") * 100
    ended = born + np.where(np.array(tenants) == "brief", 0.5, 80.0) * HOUR
    ids = tuple(pool.instances.id)
    brief = pool.instances.host == 1
    owners = [
        Instance(
            each.id, SMALL, host=each.host, state=State.RUNNING, tenant="brief" if row else "steady"
        )
        for each, row in zip(pool.views(range(len(ids))), brief, strict=True)
    ]
    pool = Pool.build(list(pool_hosts(pool)), owners, taken_at=NOW)
    lives = Lives(np.full(200, 1000), np.full(200, 1024), tenants, born, ended)
    nothing = np.full((len(ids), 0), np.nan, dtype=np.float32)
    since = np.full(len(ids), NOW - 0.2 * HOUR)
    history = History(300.0, NOW, ids, nothing, nothing, since, since, lives=lives)
    pool = pool.with_history(history)
    assert set(moves(pool, 2)) == {"2-0", "2-1"}
    (said,) = {
        each.reason
        for each in Placement().propose(pool, policy(2)).actions
        if isinstance(each, Migrate)
    }
    assert re.fullmatch(r"empties h2, which would stay in use for about \d\d\.\d hours", said)


def test_without_a_past_no_time_is_said() -> None:
    actions = Placement().propose(pool_of([6, 2]), policy(2)).actions
    said = {each.reason for each in actions if isinstance(each, Migrate)}
    assert said == {"empties h1, which would stay in use"}


def pool_hosts(pool: Pool) -> list[Host]:
    return [Host(name, (Node(8_000, 65_536),)) for name in pool.hosts.id]


@given(st.lists(st.integers(0, 8), min_size=1, max_size=6), st.integers(0, 12), st.integers(0, 3))
def test_a_plan_with_moves_keeps_every_law(counts: list[int], budget: int, requests: int) -> None:
    pool = pool_of(counts, requests)
    proposal = Placement().propose(pool, policy(budget))
    plan = compose(pool, [proposal], Limits(), Stamp("p1"))
    moved = sum(isinstance(step.action, Migrate) for step in plan.steps)
    assert moved == proposal.gain.get("moves", 0) <= budget
    host = plan.predicted.instances.host
    used = len(set(host[host != NOWHERE].tolist()))
    placed = {each.host for each in proposal.actions if isinstance(each, Place)}
    before = {f"h{row}" for row, count in enumerate(counts) if count} | placed
    assert used == len(before) - proposal.gain.get("hosts_emptied", 0)


def test_batch_mates_on_one_host_end_as_one() -> None:
    half = np.full((2, len(AHEAD)), 0.5)
    mates = emptying(np.array([0, 0]), np.array([7, 7]), half, 2)
    strangers = emptying(np.array([0, 0]), np.array([7, 8]), half, 2)
    assert mates[0].tolist() == [0.5] * len(AHEAD)
    assert strangers[0].tolist() == [0.25] * len(AHEAD)
    assert (mates[1] == 1).all()


def test_a_price_is_moves_for_idle_time_and_infinite_for_nothing() -> None:
    stays = np.zeros((4, len(AHEAD)))
    found = price(np.array([1, 2, 0, 3]), np.array([0.5, 0.5, 1.0, 0.0]), stays)
    assert found[1] == 2 * found[0] > 0
    assert np.isinf(found[2:]).all()
