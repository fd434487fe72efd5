# SPDX-License-Identifier: Apache-2.0
"""One plan of many wishes: precedence, protection, limits, and words fixed by tests."""

from dataclasses import replace

import pytest

from billow.errors import NotFound
from billow.model.action import Action, Cordon, Delete, Migrate, Place, Resize, Stop
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import State
from billow.model.plan import Plan, Proposal, Step
from billow.model.policy import Limits
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.plan.check import violations
from billow.plan.compose import Stamp, compose
from billow.plan.explain import diff, text

HALF = Shape("half", 2000, 4096)
HOSTS = [Host(name, (Node(4000, 8192),)) for name in ("h1", "h2", "h3")]
POOL = Pool.build(
    HOSTS, [Instance(name, HALF, host="h1", state=State.RUNNING) for name in ("a", "b")]
)
MOVE_A = Migrate(instance="a", source="h1", target="h2", reason="h1 is too full")


def composed(*proposals: Proposal, limits: Limits | None = None) -> Plan:
    return compose(POOL, proposals, limits or Limits(), Stamp("p", title="a test"))


def test_the_words_of_a_plan() -> None:
    plan = composed(
        Proposal(
            "request",
            (
                MOVE_A,
                Place(instance=Instance("big", Shape("big", 4000, 4096)), host="h3"),
                Place(instance=Instance("more", Shape("big", 4000, 4096)), host="h3"),
                Delete(instance="b", host="h1"),
            ),
        )
    )
    assert text(POOL, plan) == (
        "plan p: a test\n"
        f"based on {POOL.digest}\n"
        "wave 0\n"
        "  migrate a  h1 -> h2  [4 GiB, ~4 s, 20 ms down]  because h1 is too full\n"
        "  place big  -> h3 (4 CPU, 4 GiB)  [~2 s]\n"
        "  delete b   on h1  [~1 s]\n"
        "not possible\n"
        "  instance/more: place: h3 has no room at any moment of the plan\n"
        "    - needs 4000 thousandths of a CPU, 0 free\n"
        "    fix: choose another host, or let placement choose\n"
        "undo: no way back from delete b\n"
        "1 migrate, 1 place, 1 delete, 4 GiB to copy, ~4 s, worst host 100% -> 100%, "
        "1 not possible (billow plan why-not p)\n"
    )
    assert diff(POOL, plan.predicted) == (
        "~ instance a h1 running half -> h2 running half\n- instance b on h1\n+ instance big on h3"
    )


def test_the_first_in_precedence_keeps_a_contested_subject() -> None:
    away = Migrate(instance="a", source="h1", target="h3")
    plan = composed(Proposal("defrag", (away,)), Proposal("hotspot", (MOVE_A,)))
    assert [step.action.hosts for step in plan.steps] == [("h1", "h2")]
    assert [r.reason for r in plan.rejections] == [
        "migrate: hotspot wants the same subject and goes before defrag"
    ]


@pytest.mark.parametrize("protected", ["a", "h2"])
def test_what_is_protected_is_not_touched(protected: str) -> None:
    plan = composed(Proposal("request", (MOVE_A,)), limits=Limits(protected=frozenset({protected})))
    assert not plan.steps
    assert plan.rejections[0].reason == f"migrate: {protected} is protected"


def test_a_plan_has_no_more_steps_than_allowed() -> None:
    actions = (MOVE_A, Stop(instance="b", host="h1"))
    plan = composed(Proposal("request", actions), limits=Limits(steps_per_plan=1))
    assert len(plan.steps) == 1
    assert "most allowed" in plan.rejections[0].reason


def test_nothing_wanted_is_an_empty_plan_that_predicts_the_same_pool() -> None:
    plan = composed()
    assert plan.steps == ()
    assert plan.predicted.digest == POOL.digest
    assert text(POOL, plan).endswith("nothing to do\n")


def test_a_resize_and_a_cordon_are_predicted() -> None:
    grown = Shape("grown", 2000, 8192)
    resize = Resize(instance="a", host="h1", old=HALF, new=grown)
    plan = composed(Proposal("request", (resize, Cordon(host="h2", why="disk"))))
    assert [r.subject for r in plan.rejections] == ["instance/a"]
    after = composed(Proposal("request", (Delete(instance="b", host="h1"), resize)))
    assert after.predicted.instance("a").shape == grown
    assert plan.predicted.host("h2").cordon == "disk"


def broken(plan: Plan, *steps: Step) -> Plan:
    return replace(plan, steps=steps)


def test_the_lint_finds_a_moment_over_capacity() -> None:
    plan = composed()
    whole = Shape("whole", 4000, 8192)
    one = Place(id="1", instance=Instance("x", whole), host="h2")
    two = Place(id="2", instance=Instance("y", whole), host="h2")
    found = violations(POOL, broken(plan, Step(one, 0), Step(two, 0)))
    assert found[0] == "host h2 in wave 0 would hold 8000 of 4000 cpu_milli"


def test_the_lint_counts_a_moving_instance_at_both_ends() -> None:
    plan = composed()
    whole = Shape("whole", 4000, 8192)
    swap: list[Action] = [
        replace(MOVE_A, id="1"),
        Place(id="2", instance=Instance("x", whole), host="h1"),
    ]
    assert violations(POOL, broken(plan, *(Step(action, 0) for action in swap)))


def test_the_lint_finds_broken_dependencies_and_twice_used_ids() -> None:
    plan = composed()
    stop = Stop(id="1", instance="a", host="h1")
    late = Step(replace(stop, id="2", instance="b"), 0, after=("1",))
    assert "not in an earlier wave" in violations(POOL, broken(plan, Step(stop, 0), late))[0]
    assert "stands twice" in violations(POOL, broken(plan, Step(stop, 0), Step(stop, 1)))[0]
    again = Step(replace(stop, id="2"), 0)
    assert "changed twice" in violations(POOL, broken(plan, Step(stop, 0), again))[0]


def test_an_action_on_something_unknown_is_not_found() -> None:
    with pytest.raises(NotFound, match="no instance 'ghost'"):
        composed(Proposal("request", (Migrate(instance="ghost", source="h1", target="h2"),)))
