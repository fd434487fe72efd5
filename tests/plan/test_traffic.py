# SPDX-License-Identifier: Apache-2.0
"""Which moves go now: links are filled, writers are left alone, nobody starves."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.plan.convergence import SETUP_S
from billow.plan.lanes import Lane, fair
from billow.plan.traffic import WHOLE, Stage, Transfer, admitted, crowded, in_turn, seconds

UP = Stage.UNDER_WAY


def transfer(
    name: str,
    target: str = "t1",
    *,
    copy_mib: float = 10_000.0,
    dirty: float = 0.0,
    priority: int = 0,
    out: float = 1000.0,
    into: float = 1000.0,
) -> Transfer:
    lanes = Lane("h1 out", out), Lane(f"{target} in", into)
    return Transfer(
        id=name,
        instance=name,
        hosts=("h1", target),
        route=lanes,
        copy_mib=copy_mib,
        seconds=copy_mib / min(out, into) + SETUP_S,
        dirty_mib_s=dirty,
        priority=priority,
    )


def started(waiting: Sequence[Transfer], *going: Transfer, most: int = 0) -> list[str]:
    return list(admitted(in_turn(waiting), [(each, UP) for each in going], most))


def test_one_idle_move_flows_and_the_next_is_set_up_beside_it() -> None:
    assert started([transfer(name) for name in "abcd"]) == ["a", "b"]


def test_small_moves_that_are_mostly_set_up_go_together_in_numbers() -> None:
    small = [transfer(f"s{number:02}", copy_mib=50) for number in range(40)]
    assert 8 <= len(started(small)) <= 12  # each flows for an eighth of its time


def test_who_writes_has_the_link_for_itself() -> None:
    writer, other, idle = (
        transfer("w", dirty=400),
        transfer("x", dirty=400),
        transfer("i", copy_mib=9000),
    )
    assert started([writer, other, idle]) == ["w"]
    assert started([other, idle], writer) == []
    assert started([writer], idle) == []


def test_who_writes_little_counts_as_idle() -> None:
    assert started([transfer("a", dirty=50), transfer("b", dirty=50)]) == ["a", "b"]


def test_the_next_goes_while_what_is_left_of_the_last_takes_no_longer_than_its_set_up() -> None:
    writer, idle = transfer("w", dirty=400), transfer("i")
    assert admitted([idle], [(writer, Stage.ENDING)]) == ("i",)


def test_a_fast_source_feeds_several_slow_targets_at_once() -> None:
    slow = [
        transfer(f"m{number}", f"t{number}", dirty=40, into=100.0, copy_mib=5000)
        for number in range(12)
    ]
    assert 10 <= len(started(slow)) <= 11
    both = [transfer(f"m{number}", f"t{number % 2}", into=100.0) for number in range(8)]
    assert Counter(each[1:] in {"0", "2", "4", "6"} for each in started(both)) == {
        True: 2,
        False: 2,
    }


def test_what_a_slow_target_leaves_of_a_link_is_used() -> None:
    slow = transfer("slow", "t1", dirty=200, into=500.0)
    assert started([transfer("idle", "t2")], slow) == ["idle"]
    writer = transfer("writer", "t2", dirty=400)
    assert started([writer], slow) == ["writer"]  # half, since nobody else wants it
    assert started([replace(writer, yields=False)], slow) == []


def test_longest_first_within_a_priority_and_high_priority_last() -> None:
    short, long_ = transfer("short", copy_mib=100), transfer("long", copy_mib=9000)
    dear = transfer("dear", copy_mib=90_000, priority=5)
    assert [each.id for each in in_turn([short, dear, long_])] == ["long", "short", "dear"]


def test_who_goes_over_a_narrow_uplink_goes_first() -> None:
    near = transfer("near", copy_mib=5000)
    far = replace(near, id="far", copy_mib=4000.0)
    far = replace(far, route=(*far.route[:1], Lane("t2 in", 1000.0), Lane("rack r1 out", 500.0)))
    assert [each.id for each in in_turn([near, far])] == ["far", "near"]


def test_nobody_of_a_higher_priority_takes_what_somebody_waits_for() -> None:
    going = transfer("going", "t1", dirty=200, into=500.0)
    writer = replace(transfer("writer", "t2", dirty=900), yields=False)
    dear = transfer("dear", "t3", priority=1)
    assert started([dear], going) == ["dear"]
    assert started([writer, dear], going) == []
    assert started([replace(writer, priority=1), replace(dear, priority=1)], going) == ["dear"]


def test_a_host_s_limit_is_kept_at_both_ends() -> None:
    moves = [transfer(f"m{number}", f"t{number}", copy_mib=50) for number in range(9)]
    assert len(started(moves, most=3)) == 3
    assert started(moves[3:], *moves[:3], most=3) == []
    assert admitted(moves[3:], [(each, Stage.ENDING) for each in moves[:3]], 3) == ()


def test_what_copies_nothing_goes_at_once() -> None:
    still = replace(transfer("still"), route=(), copy_mib=0.0)
    assert started([still], transfer("w", dirty=400)) == ["still"]


def test_together_they_take_what_the_busiest_link_carries_or_the_limits_leave() -> None:
    moves = [transfer(f"m{number}", f"t{number}") for number in range(10)]
    assert seconds(moves, 0, 32) == pytest.approx(100 + SETUP_S)
    assert seconds(moves, 1, 32) == pytest.approx(10 * (10 + SETUP_S))
    assert seconds(moves, 0, 1) == pytest.approx(10 * (10 + SETUP_S))
    assert seconds([], 0, 32) == 0.0


def test_only_who_shares_a_lane_is_crowded() -> None:
    a, b = transfer("a", "t1"), transfer("b", "t2")
    still = replace(transfer("still"), route=())
    assert crowded([a, still], []) == frozenset()
    assert crowded([a, still], [b]) == {"a"}
    assert crowded([a, b], []) == {"a", "b"}


@st.composite
def transfers(draw: st.DrawFn) -> Transfer:
    number = draw(st.integers(0, 10**6))
    source, target = draw(st.lists(st.sampled_from("abcde"), min_size=2, max_size=2, unique=True))
    speeds = {"a": 1000.0, "b": 1000.0, "c": 100.0, "d": 5000.0, "e": 300.0}
    lanes = [Lane(f"{source} out", speeds[source]), Lane(f"{target} in", speeds[target])]
    if draw(st.booleans()):
        lanes.append(Lane("rack r1 out", 400.0))
    copy_mib = draw(st.floats(1, 1e5))
    return Transfer(
        id=f"m{number}",
        instance=f"i{number}",
        hosts=(source, target),
        route=tuple(lanes),
        copy_mib=copy_mib,
        seconds=copy_mib / min(lane.mib_s for lane in lanes) + SETUP_S,
        dirty_mib_s=draw(st.sampled_from([0.0, 5.0, 80.0, 200.0, 900.0])),
        priority=draw(st.integers(0, 2)),
    )


MOVES = st.lists(transfers(), max_size=25, unique_by=lambda each: each.id)
MOST = st.integers(0, 4)


@given(MOVES, MOST)
def test_all_end_and_no_host_is_ever_above_its_limit(moves: list[Transfer], most: int) -> None:
    waiting, done = in_turn(moves), 0
    going: list[Transfer] = []
    while waiting or going:
        chosen = set(admitted(waiting, [(each, UP) for each in going], most))
        going += [each for each in waiting if each.id in chosen]
        waiting = [each for each in waiting if each.id not in chosen]
        load = Counter(host for each in going for host in each.hosts)
        assert not most or max(load.values(), default=0) <= most
        assert going, "something waits and nothing goes"
        going.pop(0)
        done += 1
    assert done == len(moves)


@given(MOVES, MOST)
def test_who_writes_is_not_slowed_down_by_who_is_let_go(moves: list[Transfer], most: int) -> None:
    going: list[Transfer] = []
    for each in in_turn(moves):
        before = fair({g.id: g.route for g in going})
        if admitted([each], [(g, UP) for g in going], most):
            going.append(each)
            after = fair({g.id: g.route for g in going})
            for other in going[:-1]:
                if other.writes:
                    assert after[other.id] >= WHOLE * min(before[other.id], other.most_mib_s) - 1e-6


@given(MOVES, MOST)
def test_a_move_that_could_go_alone_waits_only_for_who_goes_or_goes_before_it(
    moves: list[Transfer], most: int
) -> None:
    waiting = in_turn(moves)
    chosen = set(admitted(waiting, [], most))
    going = [each for each in waiting if each.id in chosen]
    for place, each in enumerate(waiting):
        if each.id in chosen:
            continue
        ahead = [other for other in waiting[:place] if other.id not in chosen]
        lanes = {lane.name for other in (*going, *ahead) for lane in other.route}
        hosts = {host for other in (*going, *ahead) for host in other.hosts}
        assert lanes & {lane.name for lane in each.route} or (most and hosts & {*each.hosts})


@given(MOVES, MOST)
def test_it_is_the_same_whatever_the_order_in_which_moves_came(
    moves: list[Transfer], most: int
) -> None:
    assert admitted(in_turn(moves), [], most) == admitted(in_turn(moves[::-1]), [], most)
