# SPDX-License-Identifier: Apache-2.0
"""Migration by the model, against cases computed by hand and the cost of plans."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.engines.sim.brake import writers
from billow.engines.sim.network import Network
from billow.engines.sim.precopy import Precopy, Turn
from billow.engines.sim.timing import Timing
from billow.model.assessment import Way
from billow.model.group import Link, Uplink
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import MigrationPolicy
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.plan.convergence import SETUP_S, SWITCH_S
from billow.plan.cost import copying

TIMING = Timing(switch_s=0.05, downtime_limit_s=0.3, most_rounds=30, throttle=False)
PATIENT = Timing(most_rounds=100)
PLAIN = MigrationPolicy.NO_THROTTLE


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


def test_a_disk_goes_first_and_ends_whatever_is_written() -> None:
    # 500 MiB of disk at 100 MiB/s: 5 s; then as without it.
    copy, alone = replace(copy_of(1000, 10), disk_mib=500), copy_of(1000, 10)
    ended, turn = run(copy, 100)
    assert turn is Turn.SWITCH
    assert ended == pytest.approx(5 + run(alone, 100)[0])
    assert copy.copied + copy.left == pytest.approx(1610)
    assert (copy.rounds, copy.downtime_s) == (alone.rounds, alone.downtime_s)


def test_a_disk_says_that_it_is_one() -> None:
    copy = replace(copy_of(1000, 10), disk_mib=500)
    copy.flow(100, 0.0)
    seen = copy.progress(2.0)
    assert (seen.phase, seen.copied_mib, seen.total_mib) == ("copying the disk", 200, 1500)
    assert copy.turn(copy.turns_at) is Turn.COPY
    assert copy.progress(5.0).phase == "copying"


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


def test_who_writes_faster_is_stuck_as_soon_as_that_is_clear() -> None:
    copy = copy_of(1000, 200)
    ended, turn = run(copy, 100)
    assert turn is Turn.STUCK
    assert copy.rounds == 4
    assert ended == pytest.approx(40.0)


def braked(
    dirty: float,
    policy: MigrationPolicy,
    timing: Timing = PATIENT,
    promise_s: float = math.nan,
) -> Precopy:
    """Return a copy of an instance of four vCPUs, each of which writes half of the one before."""
    shares = (8 / 15, 4 / 15, 2 / 15, 1 / 15)
    return Precopy(
        "a", "b", 1000, dirty, timing, 0.0, policy=policy, shares=shares, promise_s=promise_s
    )


def test_auto_converge_slows_all_until_they_get_over() -> None:
    copy = braked(200, MigrationPolicy.AUTO_CONVERGE)
    _, turn = run(copy, 100)
    assert turn is Turn.SWITCH
    assert copy.brake.way is Way.AUTO_CONVERGE
    assert copy.brake.throttle > 0.5  # below that it writes as fast as it is copied
    assert not copy.brake.limits


def test_dirty_limit_slows_only_those_who_write_much_and_ends_sooner() -> None:
    all_slowed = braked(200, MigrationPolicy.AUTO_CONVERGE)
    some_slowed = braked(200, MigrationPolicy.BALANCED)
    late, _ = run(all_slowed, 100)
    early, turn = run(some_slowed, 100)
    assert turn is Turn.SWITCH
    assert early < late / 2
    assert some_slowed.brake.way is Way.DIRTY_LIMIT
    assert some_slowed.brake.throttle == 0.0
    heavy, *_, light = some_slowed.brake.limits
    assert heavy < some_slowed.brake.rates[0] / 2
    assert math.isnan(light)
    assert some_slowed.brake.writes[-1] == some_slowed.brake.rates[-1]


def test_shortest_limits_after_the_first_round_and_balanced_after_the_second() -> None:
    copies = {
        policy: braked(200, policy)
        for policy in (MigrationPolicy.SHORTEST, MigrationPolicy.BALANCED)
    }
    for rounds, limited in enumerate(([False, False], [True, False], [True, True])):
        assert [bool(copy.brake.limits) for copy in copies.values()] == limited, rounds
        for copy in copies.values():
            copy.flow(100, copy.since)
            copy.turn(copy.turns_at)
    shortest, balanced = (run(braked(200, policy), 100)[0] for policy in copies)
    assert shortest < balanced


def test_a_limit_that_does_not_help_is_halved() -> None:
    copy = braked(200, MigrationPolicy.BALANCED)
    copy.flow(100, 0.0)
    before = 0.0
    for stretch in range(8):
        copy.left, copy.written = 1000.0, 0.0
        now = copy.since
        copy.turn(copy.turns_at) if stretch < 2 else copy.brake.look(1000.0, 1000.0, 100.0)
        before = before or next(iter(copy.brake.limits), 0.0)
        assert copy.since >= now
    assert copy.brake.limits[0] <= max(1.0, before / 4)


@pytest.mark.parametrize("policy", [MigrationPolicy.BALANCED, MigrationPolicy.AUTO_CONVERGE])
def test_a_light_writer_is_left_alone(policy: MigrationPolicy) -> None:
    copy = braked(10, policy)
    run(copy, 100)
    assert copy.brake.throttle == 0.0
    assert copy.brake.limits == ()
    assert copy.brake.way is Way.PLAIN


def test_without_a_ring_all_are_slowed_and_without_a_throttle_nobody() -> None:
    blind = braked(200, MigrationPolicy.BALANCED, timing=Timing(ring=False, most_rounds=100))
    assert run(blind, 100)[1] is Turn.SWITCH
    assert blind.brake.way is Way.AUTO_CONVERGE
    free = braked(200, MigrationPolicy.BALANCED, timing=Timing(throttle=False))
    assert run(free, 100)[1] is Turn.STUCK
    assert free.brake.course.why


def test_post_copy_switches_after_one_round_and_fetches_the_rest() -> None:
    copy = braked(200, MigrationPolicy.POST_COPY)
    copy.flow(100, 0.0)
    assert copy.turn(copy.turns_at) is Turn.SWITCH
    assert copy.rounds == 1
    assert copy.since == pytest.approx(10.0)
    assert copy.downtime_s == pytest.approx(copy.timing.switch_s)
    assert copy.fetches
    copy.arrive(copy.turns_at)
    assert copy.dirty_now == 0.0
    assert copy.turns_at == pytest.approx(20.0 + copy.timing.switch_s)
    end = copy.end(copy.turns_at)
    assert end.flow is not None
    assert (end.flow.way, end.flow.left_mib) == (Way.POST_COPY, 0.0)
    assert end.copied_mib == pytest.approx(2000)


@given(st.floats(0, 400), st.floats(0.02, 2), st.sampled_from(sorted(MigrationPolicy)))
def test_a_promise_is_kept(dirty: float, promise: float, policy: MigrationPolicy) -> None:
    copy = braked(dirty, policy, promise_s=promise, timing=Timing(switch_s=0.01))
    _, turn = run(copy, 100)
    assert turn is not Turn.SWITCH or copy.downtime_s <= promise + 1e-9


def test_a_flow_says_how_it_goes() -> None:
    copy = braked(150, MigrationPolicy.BALANCED)
    copy.flow(100, 0.0)
    flow = copy.progress(4.0).flow
    assert flow is not None
    assert (flow.way, flow.seconds) == (Way.PLAIN, 4.0)
    assert flow.left_mib == pytest.approx(600)
    assert flow.dirty_mib_s == pytest.approx((80, 40, 20, 10))
    assert (flow.limits_mib_s, flow.throttle, flow.pages_round) == ((), 0.0, 1)
    assert math.isnan(flow.downtime_s)
    for _ in range(2):
        copy.turn(copy.turns_at)
    held = copy.progress(copy.since + 1.0).flow
    assert held is not None
    assert (held.way, held.pages_round) == (Way.DIRTY_LIMIT, 3)
    assert held.limits_mib_s == copy.brake.limits


def test_an_instance_has_heavy_and_light_writers() -> None:
    for cpus in (1, 2, 4, 500):
        shares = writers(Instance("x", Shape("s", cpus * 1000, 1024)))
        assert len(shares) == min(cpus, 64)
        assert math.fsum(shares) == pytest.approx(1.0)
        assert list(shares) == sorted(shares, reverse=True)
    assert writers(Instance("x", Shape("s", 500, 1024))) == (1.0,)


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
    st.floats(1, 1e5),
    st.floats(0, 900),
    st.floats(1000, 1e5),
)
def test_it_agrees_with_the_cost_of_plans(memory: float, dirty: float, rate: float) -> None:
    expected = copying(memory, dirty, rate, PLAIN)
    copy = copy_of(memory, dirty, Timing(throttle=False))
    ended, turn = run(copy, rate)
    if turn is Turn.SWITCH:
        assert ended == pytest.approx(expected.seconds - SETUP_S + SWITCH_S, rel=1e-6)
        assert copy.downtime_s == pytest.approx(expected.downtime_s, rel=1e-6)
        assert copy.copied + copy.left == pytest.approx(expected.copied_mib, rel=1e-6)


def network(*links: Link) -> Network:
    hosts = [Host(name, (Node(1000, 1000),), rack="r1", bandwidth_mib_s=1000.0) for name in "abc"]
    slow = Host("slow", (Node(1000, 1000),), rack="r1", bandwidth_mib_s=100.0)
    blind = Host("blind", (Node(1000, 1000),), rack="r1", bandwidth_mib_s=0.0)
    far = Host("far", (Node(1000, 1000),), rack="r2", bandwidth_mib_s=1000.0)
    pool = Pool.build([*hosts, slow, blind, far], links=links, uplinks=[Uplink("r1", 400.0)])
    return Network(pool)


def joined(net: Network, name: str, source: str, target: str) -> dict[str, float]:
    """Let a copy join; return who flows how fast now, of those whose rate may have changed."""
    copy = Precopy(source, target, 1000, 0, TIMING, 0.0)
    return {each: round(rate, 6) for each, (_, rate) in net.join(name, copy).items()}


def left(net: Network, name: str) -> dict[str, float]:
    return {each: round(rate, 6) for each, (_, rate) in net.leave(name).items()}


def test_each_direction_of_a_link_is_shared_by_who_uses_it() -> None:
    net = network()
    assert joined(net, "1", "a", "b") == {"1": 1000}
    assert joined(net, "2", "a", "c") == {"1": 500, "2": 500}
    assert joined(net, "back", "b", "a") == {"back": 1000}
    assert joined(net, "3", "c", "b") == {"1": 500, "2": 500, "3": 500}
    assert left(net, "1") == {"2": 1000, "3": 1000}
    assert left(net, "2") == {}


def test_what_a_slow_target_leaves_goes_to_the_others() -> None:
    net = network()
    joined(net, "slow", "a", "slow")
    assert joined(net, "quick", "a", "b") == {"slow": 100, "quick": 900}


def test_a_rack_s_uplink_is_shared_by_all_who_leave_it() -> None:
    net = network()
    joined(net, "1", "a", "far")
    assert joined(net, "2", "b", "far") == {"1": 200, "2": 200}
    assert joined(net, "3", "b", "c") == {"1": 200, "2": 200, "3": 800}


def test_the_slower_end_decides_and_a_faster_link_of_two_hosts_stands_beside_their_own() -> None:
    net = network(Link("a", "c", 1100.0), Link("b", "c", 300.0))
    assert joined(net, "slow", "a", "slow") == {"slow": 100}
    assert joined(net, "beside", "c", "a") == {"beside": 1100}
    assert joined(net, "behind", "b", "c") == {"behind": 300}
    assert joined(net, "blind", "c", "blind") == {"blind": 1.0}  # none at all would never end


def test_one_stream_fills_no_fast_link() -> None:
    hosts = [Host(name, (Node(1000, 1000),), bandwidth_mib_s=5000.0) for name in "ab"]
    net = Network(Pool.build(hosts), 1200.0)
    assert joined(net, "1", "a", "b") == {"1": 1200}
    for number in range(2, 5):
        joined(net, str(number), "a", "b")
    assert joined(net, "5", "a", "b") == dict.fromkeys("12345", 1000)


def test_durations_are_checked() -> None:
    with pytest.raises(Exception, match="place_s"):
        Timing(place_s=-1)
    with pytest.raises(Exception, match="power_on_s"):
        Timing(power_on_s=math.inf)
