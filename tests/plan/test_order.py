# SPDX-License-Identifier: Apache-2.0
"""Any set of moves to a possible arrangement is ordered so that no moment is over capacity."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.model.action import (
    Allot,
    Delete,
    Migrate,
    Place,
    PowerOff,
    PowerOn,
    Start,
    Suspend,
    Throttle,
)
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import Kind, Power, State
from billow.model.plan import Plan, Proposal
from billow.model.policy import Limits
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.plan.check import violations
from billow.plan.compose import Stamp, compose
from billow.plan.convergence import SETUP_S
from billow.plan.inverse import inverse
from billow.plan.replay import replay
from tests.plan.pools import reachable

HALF = Shape("half", 2000, 4096)
WHOLE = Shape("whole", 4000, 8192)


def plan_for(pool: Pool, *actions: object, limits: Limits | None = None) -> Plan:
    proposal = Proposal("request", actions)  # type: ignore[arg-type]
    return compose(pool, [proposal], limits or Limits(), Stamp("p"))


def hosts(*names: str) -> list[Host]:
    return [Host(name, (Node(4000, 8192),)) for name in names]


def on(name: str, host: str, shape: Shape = HALF) -> Instance:
    return Instance(name, shape, host=host, state=State.RUNNING)


def move(name: str, source: str, target: str) -> Migrate:
    return Migrate(instance=name, source=source, target=target)


def test_a_swap_of_full_hosts_goes_by_a_third() -> None:
    pool = Pool.build(hosts("h1", "h2", "h3"), [on("a", "h1", WHOLE), on("b", "h2", WHOLE)])
    plan = plan_for(pool, move("a", "h1", "h2"), move("b", "h2", "h1"))
    assert [(s.action.instance, s.action.target) for s in plan.steps] == [
        ("a", "h3"),
        ("b", "h1"),
        ("a", "h2"),
    ]
    assert not plan.rejections
    assert (plan.predicted.instance("a").host, plan.predicted.instance("b").host) == ("h2", "h1")


def test_a_swap_without_a_third_host_is_rejected_with_what_lacks() -> None:
    pool = Pool.build(hosts("h1", "h2"), [on("a", "h1", WHOLE), on("b", "h2", WHOLE)])
    plan = plan_for(pool, move("a", "h1", "h2"), move("b", "h2", "h1"))
    assert not plan.steps
    assert [r.subject for r in plan.rejections] == ["instance/a", "instance/b"]
    assert "needs 4000 thousandths of a CPU, 0 free" in plan.rejections[0].causes
    assert plan.predicted.digest == pool.digest


def test_a_step_names_what_it_waits_for() -> None:
    pool = Pool.build(hosts("h1", "h2"), [on("a", "h1", WHOLE), on("b", "h2", WHOLE)])
    new = Place(instance=Instance("c", WHOLE), host="h2")
    plan = plan_for(pool, new, Delete(instance="b", host="h2"))
    first, second = plan.steps
    assert (first.action.name, second.action.name) == ("delete", "place")
    assert second.after == (first.action.id,)


def test_all_moves_that_have_room_are_in_one_wave_whatever_the_limits() -> None:
    names = [f"i{number}" for number in range(8)]
    tiny = Shape("tiny", 100, 128)
    pool = Pool.build(
        hosts("h1", "h2", "h3", "h4"),
        [on(name, "h1" if int(name[1]) < 4 else "h2", tiny) for name in names],
    )
    moves = [
        move(n, "h1" if int(n[1]) < 4 else "h2", "h3" if int(n[1]) < 4 else "h4") for n in names
    ]
    narrow = Limits(migrations_at_once_per_host=1, steps_at_once=2)
    plan = plan_for(pool, *moves, limits=narrow)
    assert [len(wave) for wave in plan.waves] == [8]
    together = plan_for(pool, *moves).cost.seconds
    alone = plan.steps[0].cost.seconds
    assert alone < together < plan.cost.seconds
    assert plan.cost.seconds == pytest.approx(4 * alone)  # each host moves one after another


def test_moves_that_share_a_link_take_as_long_as_it_carries_them() -> None:
    pool = Pool.build(hosts("h1", "h2", "h3"), [on(name, "h1") for name in ("a", "b")])
    plan = plan_for(pool, move("a", "h1", "h2"), move("b", "h1", "h3"))
    first, second = (step.cost.seconds for step in plan.steps)
    assert first == second == pytest.approx(4096 / 1000 + SETUP_S)
    assert plan.cost.seconds == pytest.approx(2 * 4096 / 1000 + SETUP_S)


def test_a_host_is_powered_off_after_it_is_empty_and_on_before_it_is_used() -> None:
    asleep = Host("h3", (Node(4000, 8192),), power=Power.OFF)
    pool = Pool.build([*hosts("h1", "h2"), asleep], [on("a", "h1")])
    plan = plan_for(pool, PowerOff(host="h1"), move("a", "h1", "h3"), PowerOn(host="h3"))
    assert [s.action.name for s in plan.steps] == ["power-on", "migrate", "power-off"]
    assert plan.steps[1].after == (plan.steps[0].action.id,)
    assert plan.steps[2].after == (plan.steps[1].action.id,)


def test_what_is_its_host_starts_without_power_and_nobody_else_does() -> None:
    """Whoever starts bare metal gives its machine power."""
    asleep = [replace(host, power=Power.OFF) for host in hosts("h1", "h2")]
    guests = [
        replace(on(name, host), state=State.STOPPED) for name, host in (("a", "h1"), ("b", "h2"))
    ]
    guests[0] = replace(guests[0], kind=Kind.BARE_METAL)
    pool = Pool.build(asleep, guests)
    plan = plan_for(pool, *(Start(instance=each.id, host=each.host) for each in guests))
    assert [each.action.subject for each in plan.steps] == ["instance/a"]
    (rejection,) = plan.rejections
    assert (rejection.subject, rejection.reason) == ("instance/b", "start: h2 has no power")
    assert plan.predicted.host("h1").power is Power.ON
    assert violations(pool, plan) == ()


def test_a_whole_life_is_ordered_in_one_plan() -> None:
    bound = Shape("bound", 2000, 4096, numa_nodes=1)
    pool = Pool.build([Host(name, (Node(2000, 4096),) * 2) for name in ("h1", "h2")])
    there = Migrate(instance="a", source="h1", target="h2", source_nodes=(0,), target_nodes=(1,))
    place = Place(instance=Instance("a", bound), host="h1", nodes=(0,))
    again = Place(instance=Instance("b", bound), host="h2", nodes=(1,))
    plan = plan_for(pool, place, there, Delete(instance="a", host="h2"), again)
    assert [s.action.name for s in plan.steps] == ["place", "migrate", "delete", "place"]
    assert violations(pool, plan) == ()


@given(reachable(), st.integers(1, 3), st.integers(1, 8))
def test_every_moment_is_within_capacity(
    case: tuple[Pool, list[Migrate]], per_host: int, at_once: int
) -> None:
    pool, moves = case
    limits = Limits(migrations_at_once_per_host=per_host, steps_at_once=at_once)
    plan = plan_for(pool, *moves, limits=limits)
    assert violations(pool, plan) == ()
    assert plan.cost.seconds >= plan_for(pool, *moves).cost.seconds


@given(reachable())
def test_every_move_is_done_or_rejected_and_what_is_predicted_is_what_replay_gives(
    case: tuple[Pool, list[Migrate]],
) -> None:
    pool, moves = case
    plan = plan_for(pool, *moves)
    refused = {rejection.subject for rejection in plan.rejections}
    after = plan.predicted
    for each in moves:
        if each.subject not in refused:
            assert after.instance(each.instance).host == each.target
            assert after.instance(each.instance).nodes == each.target_nodes
    assert after.digest == replay(pool, [step.action for step in plan.steps]).digest


@given(reachable())
def test_a_free_host_makes_every_arrangement_reachable(case: tuple[Pool, list[Migrate]]) -> None:
    pool, moves = case
    spare = Host("zz", (Node(100_000, 200_000), Node(100_000, 200_000)), rack="rz", zone="zz")
    ungrouped = [
        Instance(i.id, i.shape, host=i.host, nodes=i.nodes, state=i.state)
        for i in pool.instance_views()
    ]
    roomy = Pool.build([*pool.host_views(), spare], ungrouped)
    assert not plan_for(roomy, *moves).rejections


def test_room_that_an_allotment_makes_is_there_for_later_waves_only() -> None:
    pool = Pool.build(hosts("h1"), [on("a", "h1", WHOLE)])
    allot = Allot(host="h1", cpu_ratio=2.0, memory_ratio=2.0)
    plan = plan_for(pool, Place(instance=Instance("b", WHOLE), host="h1"), allot)
    assert [(step.action.name, step.wave) for step in plan.steps] == [("allot", 0), ("place", 1)]
    assert plan.steps[1].after == (plan.steps[0].action.id,)
    assert not plan.rejections
    assert plan.predicted.hosts.cpu_ratio.tolist() == [2.0]
    assert plan.predicted.free[0, :2].tolist() == [0, 0]


def test_an_allotment_that_takes_room_away_leaves_none_at_once() -> None:
    host = replace(hosts("h1")[0], cpu_ratio=2.0, memory_ratio=2.0)
    pool = Pool.build([host], [on("a", "h1", WHOLE)])
    less = Allot(host="h1", cpu_ratio=1.0, memory_ratio=1.0, was_cpu_ratio=2.0)
    plan = plan_for(pool, less, Place(instance=Instance("b", WHOLE), host="h1"))
    assert [step.action.name for step in plan.steps] == ["allot"]
    assert [each.subject for each in plan.rejections] == ["instance/b"]


def test_the_lint_finds_a_placement_beside_the_allotment_that_makes_its_room() -> None:
    pool = Pool.build(hosts("h1"), [on("a", "h1", WHOLE)])
    allot = Allot(host="h1", cpu_ratio=2.0, memory_ratio=2.0)
    plan = plan_for(pool, allot, Place(instance=Instance("b", WHOLE), host="h1"))
    at_once = replace(plan, steps=tuple(replace(s, wave=0, after=()) for s in plan.steps))
    assert violations(pool, plan) == ()
    assert "host h1 in wave 0 would hold 8000 of 4000 cpu_milli" in violations(pool, at_once)


def test_every_new_verb_has_a_way_back() -> None:
    host = replace(hosts("h1")[0], cpu_ratio=2.0)
    pool = Pool.build([host], [on("a", "h1")])
    forth = (
        Allot(host="h1", cpu_ratio=3.0, memory_ratio=1.5, was_cpu_ratio=2.0),
        Throttle(instance="a", host="h1", cpu_limit_milli=500),
        Suspend(instance="a", host="h1"),
    )
    back = [inverse(action) for action in reversed(forth)]
    changed = replay(pool, forth)
    assert changed.digest != pool.digest
    assert replay(changed, [action for action in back if action]).digest == pool.digest
