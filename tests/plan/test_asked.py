# SPDX-License-Identifier: Apache-2.0
"""Direct requests: each becomes an action, or a no with its reason."""

import pytest

from billow.errors import Invalid, NotFound
from billow.model.action import Cordon, Migrate, PowerOff, Resize, Start, Uncordon
from billow.model.ask import Ask, AskVerb
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import Arch, Power, State
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
        (AskVerb.MIGRATE, "a", "arm", "they differ in arch"),
        (AskVerb.MIGRATE, "a", "shut", "shut takes nothing new: disk"),
        (AskVerb.MIGRATE, "a", "dark", "power off"),
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
