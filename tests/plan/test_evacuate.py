# SPDX-License-Identifier: Apache-2.0
"""Evacuations in plans: not before the source is proved dead, never over capacity, no way back."""

import hypothesis.strategies as st
from hypothesis import given

from billow.act.premise import unmet
from billow.model.action import Action, Evacuate, Fence, Place, PowerOn
from billow.model.codec import action_document, action_from_document
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import Health, Power, State
from billow.model.plan import Plan, Proposal
from billow.model.policy import Limits
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.plan.check import violations
from billow.plan.compose import Stamp, compose
from billow.plan.explain import change, text
from billow.plan.inverse import inverse
from billow.plan.replay import replay

HALF = Shape("half", 2000, 2048)
STATES = (State.RUNNING, State.FAILED, State.STOPPED, State.PAUSED)


def host(name: str, power: Power = Power.ON, health: Health = Health.OK) -> Host:
    return Host(name, (Node(4000, 4096),), power=power, health=health)


def on(name: str, where: str, state: State = State.FAILED) -> Instance:
    return Instance(name, HALF, host=where, state=state)


def evacuate(name: str, target: str, incident: str = "", epoch: int = 1) -> Evacuate:
    return Evacuate(instance=name, source="h1", target=target, incident=incident, epoch=epoch)


def planned(pool: Pool, *actions: Action) -> Plan:
    return compose(pool, [Proposal("request", actions)], Limits(), Stamp("p"))


def test_a_host_that_has_no_power_is_evacuated_in_one_wave() -> None:
    pool = Pool.build([host("h1", Power.OFF), host("h2")], [on("a", "h1"), on("b", "h1")])
    plan = planned(pool, evacuate("a", "h2"), evacuate("b", "h2"))
    assert [step.wave for step in plan.steps] == [0, 0]
    assert violations(pool, plan) == ()
    assert {each.host for each in plan.predicted.instance_views()} == {"h2"}
    assert {each.state for each in plan.predicted.instance_views()} == {State.RUNNING}
    assert "no way back from evacuate a, evacuate b" in text(pool, plan)


def test_a_host_that_may_live_is_not_evacuated() -> None:
    for power in (Power.ON, Power.UNKNOWN):
        pool = Pool.build([host("h1", power), host("h2")], [on("a", "h1")])
        plan = planned(pool, evacuate("a", "h2"))
        assert plan.steps == ()
        (told,) = plan.rejections
        assert "h1 is not seen without power" in told.reason
        assert "billow host fence h1" in told.fix
        assert unmet(pool, evacuate("a", "h2").expects)


def test_an_incident_brings_its_own_proof() -> None:
    """An agent ends the guests of a host that keeps its power: the incident's record says so."""
    pool = Pool.build([host("h1"), host("h2")], [on("a", "h1")])
    plan = planned(pool, evacuate("a", "h2", "i-1"))
    assert len(plan.steps) == 1
    assert unmet(pool, plan.steps[0].action.expects) == ()


def test_a_fence_of_the_same_plan_comes_first() -> None:
    pool = Pool.build([host("h1", Power.UNKNOWN), host("h2")], [on("a", "h1")])
    plan = planned(pool, evacuate("a", "h2"), Fence(host="h1"))
    assert [(step.wave, step.action.name) for step in plan.steps] == [(0, "fence"), (1, "evacuate")]
    assert plan.steps[1].after == (plan.steps[0].action.id,)


def test_a_target_must_have_power_be_well_and_take_instances() -> None:
    dead = host("h1", Power.OFF)
    for target in (
        host("h2", Power.OFF),
        host("h2", health=Health.FAILED),
        host("h2", health=Health.SUSPECT),
    ):
        pool = Pool.build([dead, target], [on("a", "h1")])
        assert unmet(pool, evacuate("a", "h2").expects)
    off = Pool.build([dead, host("h2", Power.OFF)], [on("a", "h1")])
    assert planned(off, evacuate("a", "h2")).steps == ()
    plan = planned(off, evacuate("a", "h2"), PowerOn(host="h2"))
    assert [step.action.name for step in plan.steps] == ["power-on", "evacuate"]


def test_room_on_the_target_is_kept() -> None:
    there = [on("a", "h1"), on("b", "h2", State.RUNNING), on("c", "h2", State.RUNNING)]
    pool = Pool.build([host("h1", Power.OFF), host("h2")], there)
    plan = planned(pool, evacuate("a", "h2"))
    assert plan.steps == ()
    assert "no room" in plan.rejections[0].reason


def test_what_was_stopped_or_paused_is_given_a_home_and_not_started() -> None:
    for state, after in zip(
        STATES, (State.RUNNING, State.RUNNING, State.STOPPED, State.STOPPED), strict=True
    ):
        pool = Pool.build([host("h1", Power.OFF), host("h2")], [on("a", "h1", state)])
        action = evacuate("a", "h2")
        predicted = replay(pool, [action])
        assert predicted.instance("a").state is after
        assert unmet(predicted, action.achieves) == ()


def test_there_is_no_way_back_and_it_is_told_in_words() -> None:
    action = evacuate("a", "h2", "i-1", 3)
    assert inverse(action) is None
    assert change(action) == "h1, which is dead -> h2, with a restart"
    assert action.hosts == ("h2",)
    assert action_from_document(action_document(action)) == action


@given(
    states=st.lists(st.sampled_from(STATES), min_size=1, max_size=8),
    targets=st.lists(st.sampled_from(["h2", "h3", "h4"]), min_size=8, max_size=8),
    placed=st.lists(st.sampled_from(["h2", "h3"]), max_size=3),
)
def test_no_moment_is_over_capacity(
    states: list[State], targets: list[str], placed: list[str]
) -> None:
    """Whatever is asked for, the lint of plans finds nothing, and nothing is lost."""
    there = [on(f"a{number}", "h1", state) for number, state in enumerate(states)]
    large = Host("h1", (Node(16_000, 16_384),), power=Power.OFF)
    pool = Pool.build([large, host("h2"), host("h3"), host("h4")], there)
    asked: list[Action] = [
        evacuate(each.id, target) for each, target in zip(there, targets, strict=False)
    ]
    asked += [Place(instance=Instance(f"n{n}", HALF), host=at) for n, at in enumerate(placed)]
    plan = planned(pool, *asked)
    assert violations(pool, plan) == ()
    assert len(plan.steps) + len(plan.rejections) == len(asked)
    used = plan.predicted.free[1:]
    assert (used >= 0).all()
