# SPDX-License-Identifier: Apache-2.0
"""Migration by the model, against cases computed by hand and the cost of plans."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.engines.sim.network import Network
from billow.engines.sim.precopy import Precopy, Turn
from billow.engines.sim.timing import Timing
from billow.model.group import Link
from billow.model.host import Host, Node
from billow.model.pool import Pool
from billow.plan.cost import precopy as estimate

TIMING = Timing(switch_s=0.05, downtime_limit_s=0.3, most_rounds=30, throttle=False)


def copy_of(memory_mib: float, dirty_mib_s: float, timing: Timing = TIMING) -> Precopy:
    return Precopy("a", "b", memory_mib, dirty_mib_s, timing, 0.0)


def run(copy: Precopy, rate: float) -> tuple[float, Turn]:
    """Let a copy flow at one rate to its end; return when that was, and how it ended."""
    copy.flow(rate, 0.0)
    while (turn := copy.turn(copy.turns_at)) is Turn.COPY:
        pass
    return copy.turns_at if turn is Turn.SWITCH else copy.since, turn


def test_an_idle_instance_takes_one_round() -> None:
    copy = copy_of(1000, 0)
    ended, turn = run(copy, 100)
    assert turn is Turn.SWITCH
    assert ended == pytest.approx(10.0 + 0.05)
    assert copy.rounds == 1
    assert copy.downtime_s == pytest.approx(0.05)


def test_two_rounds_by_hand() -> None:
    # 1000 MiB at 100 MiB/s: 10 s, 100 MiB written; 1 s, 10 MiB written: 0.1 s of standstill.
    copy = copy_of(1000, 10)
    ended, turn = run(copy, 100)
    assert turn is Turn.SWITCH
    assert copy.rounds == 2
    assert copy.downtime_s == pytest.approx(0.15)
    assert ended == pytest.approx(11.15)
    assert copy.copied + copy.left == pytest.approx(1110)


def test_what_is_written_is_at_most_all_memory() -> None:
    # 200 MiB/s against 100 MiB/s: after a round of 10 s all 1000 MiB are written anew.
    copy = copy_of(1000, 200)
    copy.flow(100, 0.0)
    assert copy.turn(copy.turns_at) is Turn.COPY
    assert copy.left == 1000


def test_who_writes_faster_is_stuck_after_the_last_round() -> None:
    copy = copy_of(1000, 200)
    ended, turn = run(copy, 100)
    assert turn is Turn.STUCK
    assert copy.rounds == 30
    assert ended == pytest.approx(300.0)


def test_a_throttled_writer_gets_over() -> None:
    copy = copy_of(1000, 200, Timing(throttle=True, most_rounds=100))
    _, turn = run(copy, 100)
    assert turn is Turn.SWITCH
    assert copy.throttled > 0.5  # below that it writes as fast as it is copied


def test_a_light_writer_is_not_throttled() -> None:
    copy = copy_of(1000, 10, Timing(throttle=True))
    run(copy, 100)
    assert copy.throttled == 0.0


def test_the_script_strikes_where_it_says() -> None:
    copy = copy_of(1000, 10)
    copy.fails_at = 0.4
    ended, turn = run(copy, 100)
    assert turn is Turn.STRUCK
    assert ended == pytest.approx(4.0)
    assert copy.copied == pytest.approx(400)


def test_a_change_of_rate_is_exact() -> None:
    copy = copy_of(1000, 0)
    copy.flow(100, 0.0)
    copy.flow(50, 4.0)  # 600 MiB left
    assert copy.turns_at == pytest.approx(4.0 + 12.0)
    copy.flow(200, 10.0)  # 300 MiB left
    assert copy.turns_at == pytest.approx(11.5)


def test_looking_changes_nothing() -> None:
    copy = copy_of(1000, 10)
    copy.flow(100, 0.0)
    first = copy.progress(3.3)
    assert copy.progress(3.3) == first
    assert first.copied_mib == pytest.approx(330)
    assert copy.turns_at == pytest.approx(10.0)


@given(
    st.floats(1, 1e6),
    st.floats(0, 900),
    st.floats(1000, 1e5),
)
def test_it_agrees_with_the_cost_of_plans(memory: float, dirty: float, rate: float) -> None:
    expected = estimate(memory, dirty, rate)
    copy = copy_of(memory, dirty)
    ended, turn = run(copy, rate)
    if turn is Turn.SWITCH and expected.downtime_s <= 0.05 + 0.3:
        assert ended == pytest.approx(expected.seconds, rel=1e-6)
        assert copy.downtime_s == pytest.approx(expected.downtime_s, rel=1e-6)
        assert copy.copied + copy.left == pytest.approx(expected.copied_mib, rel=1e-6)


def network(*links: Link) -> Network:
    hosts = [Host(name, (Node(1000, 1000),), bandwidth_mib_s=1000.0) for name in "abc"]
    slow = Host("slow", (Node(1000, 1000),), bandwidth_mib_s=100.0)
    blind = Host("blind", (Node(1000, 1000),), bandwidth_mib_s=0.0)
    return Network(Pool.build([*hosts, slow, blind], links=links))


def between(source: str, target: str) -> Precopy:
    return Precopy(source, target, 1000, 0, TIMING, 0.0)


def test_a_link_is_shared_by_who_uses_it() -> None:
    net = network()
    first, second, third = between("a", "b"), between("a", "c"), between("c", "b")
    net.join("1", first)
    assert net.rate(first) == 1000
    assert set(net.join("2", second)) == {"1", "2"}
    assert (net.rate(first), net.rate(second)) == (500, 500)
    assert set(net.join("3", third)) == {"1", "2", "3"}
    assert net.rate(third) == 500
    assert set(net.leave("1", first)) == {"2", "3"}
    assert (net.rate(second), net.rate(third)) == (500, 500)
    net.leave("2", second)
    assert net.rate(third) == 1000


def test_the_slower_end_decides_and_a_stated_link_overrules() -> None:
    net = network(Link("a", "c", 300.0))
    slow, stated, blind = between("a", "slow"), between("c", "a"), between("b", "blind")
    net.join("slow", slow)
    assert net.rate(slow) == 100
    net.join("stated", stated)
    assert net.rate(stated) == 150
    net.join("blind", blind)
    assert net.rate(blind) == 1.0  # no bandwidth at all would never end


def test_a_move_within_a_host_uses_its_link_once() -> None:
    net = network()
    within = between("a", "a")
    net.join("1", within)
    assert net.rate(within) == 1000
    assert net.leave("1", within) == {}


def test_durations_are_checked() -> None:
    with pytest.raises(Exception, match="place_s"):
        Timing(place_s=-1)
    with pytest.raises(Exception, match="power_on_s"):
        Timing(power_on_s=math.inf)
