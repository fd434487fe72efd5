# SPDX-License-Identifier: Apache-2.0
"""Direct requests: each becomes an action, or a no with its reason."""

import math

import pytest

from billow.errors import Invalid, NotFound
from billow.model.action import (
    Allot,
    Cordon,
    Evacuate,
    Fence,
    Migrate,
    PowerOff,
    Resize,
    Resume,
    Start,
    Suspend,
    Throttle,
    Uncordon,
)
from billow.model.ask import Ask, AskVerb
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import Arch, Power, State, Storage
from billow.model.plan import Proposal
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.plan.asked import requested

BOUND = Shape("bound", 2000, 4096, numa_nodes=1)
NODES = (Node(4000, 8192), Node(4000, 8192))
POOL = Pool.build(
    [
        Host("h1", NODES),
        Host("h2", NODES),
        Host("arm", NODES, arch=Arch.AARCH64),
        Host("shut", NODES, cordon="disk"),
        Host("dark", NODES, power=Power.OFF),
    ],
    [
        Instance("a", BOUND, host="h1", nodes=(0,), state=State.RUNNING),
        Instance("s", BOUND, host="h1", nodes=(0,), state=State.STOPPED),
        Instance("pinned", BOUND, host="h1", nodes=(1,), state=State.RUNNING, immovable="a GPU"),
        Instance("held", BOUND, host="h2", nodes=(0,), state=State.PAUSED, cpu_limit_milli=500),
        *(Instance(f"b{n}", BOUND, host="h2", nodes=(0,), state=State.RUNNING) for n in range(2)),
    ],
)


def ask(verb: AskVerb, subject: str, target: str = "", shape: Shape | None = None) -> Proposal:
    return requested(POOL, [Ask(verb, subject, target, shape)], lambda _pool, _name: ("h2", (1,)))


def test_each_verb_becomes_its_action() -> None:
    assert ask(AskVerb.START, "s").actions == (Start(instance="s", host="h1", reason="asked for"),)
    (cordon,) = ask(AskVerb.CORDON, "h1").actions
    assert isinstance(cordon, Cordon)
    assert cordon.why == "maintenance"
    (uncordon,) = ask(AskVerb.UNCORDON, "shut").actions
    assert uncordon == Uncordon(host="shut", was="disk", reason="asked for")
    (off,) = ask(AskVerb.POWER_OFF, "h1").actions
    assert isinstance(off, PowerOff)


def test_standing_still_and_going_on() -> None:
    (suspend,) = ask(AskVerb.SUSPEND, "a").actions
    assert suspend == Suspend(instance="a", host="h1", reason="asked for")
    (resume,) = ask(AskVerb.RESUME, "held").actions
    assert resume == Resume(instance="held", host="h2", reason="asked for")


def asked(wanted: Ask) -> Proposal:
    return requested(POOL, [wanted], lambda _pool, _name: ("h2", (1,)))


def test_a_throttle_carries_the_limit_before() -> None:
    (limit,) = asked(Ask(AskVerb.THROTTLE, "a", cpus=1.5)).actions
    assert limit == Throttle(instance="a", host="h1", cpu_limit_milli=1500, reason="asked for")
    (lift,) = asked(Ask(AskVerb.THROTTLE, "held", cpus=0)).actions
    assert isinstance(lift, Throttle)
    assert (lift.cpu_limit_milli, lift.was_milli) == (0, 500)
    no = asked(Ask(AskVerb.THROTTLE, "held", cpus=0.5)).rejections[0]
    assert "held is limited to 0.5 CPUs already" in no.reason


@pytest.mark.parametrize("cpus", [-1.0, 0.0001, 1e12, math.nan, math.inf, None])
def test_a_throttle_needs_cpus_that_can_be(cpus: float | None) -> None:
    with pytest.raises(Invalid):
        asked(Ask(AskVerb.THROTTLE, "a", cpus=cpus))


def test_an_allot_keeps_the_ratio_that_is_not_named() -> None:
    (allot,) = asked(Ask(AskVerb.ALLOT, "h1", cpu_ratio=3.0)).actions
    assert isinstance(allot, Allot)
    assert (allot.cpu_ratio, allot.memory_ratio) == (3.0, 1.0)
    assert (allot.was_cpu_ratio, allot.was_memory_ratio) == (1.0, 1.0)
    same = asked(Ask(AskVerb.ALLOT, "h1", memory_ratio=1.0))
    assert "h1 sells 1 per CPU and 1 per MiB already" in same.rejections[0].reason


@pytest.mark.parametrize("ratio", [0.0, -1.0, 1e9, math.nan, None])
def test_an_allot_needs_ratios_that_can_be(ratio: float | None) -> None:
    with pytest.raises(Invalid):
        asked(Ask(AskVerb.ALLOT, "h1", cpu_ratio=ratio))
    with pytest.raises(Invalid):
        asked(Ask(AskVerb.ALLOT, "h1", memory_ratio=ratio))


def test_a_named_target_gets_nodes_with_room() -> None:
    (move,) = ask(AskVerb.MIGRATE, "a", "h2").actions
    assert isinstance(move, Migrate)
    assert (move.source_nodes, move.target, move.target_nodes) == ((0,), "h2", (1,))


def test_without_a_target_placement_chooses() -> None:
    (move,) = ask(AskVerb.MIGRATE, "a").actions
    assert isinstance(move, Migrate)
    assert (move.target, move.target_nodes) == ("h2", (1,))


def test_a_resize_to_more_nodes_finds_them() -> None:
    wide = Shape("wide", 2000, 4096, numa_nodes=2)
    (resize,) = ask(AskVerb.RESIZE, "a", shape=wide).actions
    assert isinstance(resize, Resize)
    assert (resize.old_nodes, resize.nodes) == ((0,), (0, 1))


@pytest.mark.parametrize(
    ("verb", "subject", "target", "reason"),
    [
        (AskVerb.START, "a", "", "a is running already"),
        (AskVerb.STOP, "s", "", "s is stopped already"),
        (AskVerb.MIGRATE, "pinned", "h2", "cannot be migrated: a GPU"),
        (AskVerb.MIGRATE, "a", "h1", "a is on h1 already"),
        (AskVerb.MIGRATE, "a", "arm", "nothing moves between them"),
        (AskVerb.MIGRATE, "a", "shut", "shut takes nothing new: disk"),
        (AskVerb.MIGRATE, "a", "dark", "power off"),
        (AskVerb.SUSPEND, "held", "", "held is suspended already"),
        (AskVerb.SUSPEND, "s", "", "s is stopped, not running"),
        (AskVerb.RESUME, "a", "", "a is running already"),
        (AskVerb.RESUME, "s", "", "s is stopped, not suspended"),
        (AskVerb.UNCORDON, "h1", "", "h1 is not cordoned"),
        (AskVerb.CORDON, "shut", "", "cordoned already: disk"),
        (AskVerb.POWER_ON, "h1", "", "h1 is on already"),
        (AskVerb.POWER_OFF, "dark", "", "dark is off already"),
    ],
)
def test_what_makes_no_sense_now_is_rejected(
    verb: AskVerb, subject: str, target: str, reason: str
) -> None:
    proposal = ask(verb, subject, target)
    assert not proposal.actions
    assert reason in proposal.rejections[0].reason


@pytest.mark.parametrize("verb", list(AskVerb))
def test_the_unknown_is_not_found(verb: AskVerb) -> None:
    with pytest.raises(NotFound):
        ask(verb, "ghost")


def test_a_target_that_is_unknown_is_not_found() -> None:
    with pytest.raises(NotFound, match="no host 'nowhere'"):
        ask(AskVerb.MIGRATE, "a", "nowhere")


def test_a_resize_needs_a_shape_of_its_own_name() -> None:
    with pytest.raises(Invalid, match="needs a shape"):
        ask(AskVerb.RESIZE, "a")
    with pytest.raises(Invalid, match="another shape named bound"):
        ask(AskVerb.RESIZE, "a", shape=Shape("bound", 1, 1))


@pytest.mark.parametrize("hostile", ["", " ", "a b", "a\n", "../x y", "-x", "#x", "x" * 300])
def test_hostile_names_are_invalid(hostile: str) -> None:
    with pytest.raises(Invalid):
        Ask(AskVerb.STOP, hostile)


def test_a_dead_host_is_evacuated_by_requests_and_one_that_may_live_is_not() -> None:
    there = [
        Instance("x", BOUND, host="dark", nodes=(0,), state=State.FAILED),
        Instance("own", BOUND, host="dark", nodes=(1,), state=State.FAILED, disk=Storage.OWN),
    ]
    pool = Pool.build([Host("h1", NODES), Host("dark", NODES, power=Power.OFF)], there)
    asks = [Ask(AskVerb.EVACUATE, name) for name in ("x", "own")]
    found = requested(pool, asks, lambda _pool, _name: ("h1", (1,)))
    (action,) = found.actions
    assert action == Evacuate(
        instance="x", source="dark", target="h1", target_nodes=(1,), reason="asked for"
    )
    assert "the disk of own is on dark itself" in found.rejections[0].reason
    alive = ask(AskVerb.EVACUATE, "a")
    assert alive.actions == ()
    assert alive.rejections[0].fix == "billow host fence h1"


def test_a_host_is_fenced_before_it_is_evacuated_by_the_same_requests() -> None:
    asks = [Ask(AskVerb.FENCE, "h1"), Ask(AskVerb.EVACUATE, "a"), Ask(AskVerb.EVACUATE, "s")]
    found = requested(POOL, asks, lambda _pool, _name: ("h2", (1,)))
    assert [type(each) for each in found.actions] == [Fence, Evacuate, Evacuate]
    assert "off already" in ask(AskVerb.FENCE, "dark").rejections[0].reason
