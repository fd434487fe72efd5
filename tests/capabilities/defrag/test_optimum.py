# SPDX-License-Identifier: Apache-2.0
"""Small pools, whose optimum is found by trying everything."""

from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billow.capabilities.defrag import Defrag, DefragPolicy
from billow.capabilities.defrag.problem import allowed, problem_of
from billow.capabilities.defrag.slots import slots
from billow.capabilities.defrag.solve import worth
from billow.capabilities.defrag.target import Target, targets_of
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import State
from billow.model.plan import Proposal
from billow.model.policy import Limits
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.plan.compose import Stamp, compose
from billow.plan.draft import Draft

WANTED = DefragPolicy(cpu_milli=4000, memory_mib=4096, numa_nodes=1, moves=2)
GIB = 1024


def shape(cpus: int, gib: int, width: int) -> Shape:
    return Shape(f"c{cpus}m{gib}n{width}", cpus * 1000 * width, gib * GIB * width, width)


def host(name: str, gib: int = 8) -> Host:
    return Host(name, (Node(8000, gib * GIB), Node(8000, gib * GIB)))


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    """Draw three hosts of two nodes, tight in CPU or memory, and a few instances on them."""
    hosts = [host(name, draw(st.sampled_from([8, 16]))) for name in ("a", "b", "c")]
    draft: list[Instance] = []
    for number in range(draw(st.integers(1, 5))):
        width = draw(st.sampled_from([1, 1, 1, 2]))
        size = shape(draw(st.sampled_from([1, 2, 3, 5])), draw(st.sampled_from([1, 2, 5])), width)
        nodes = (0, 1) if width == 2 else (draw(st.integers(0, 1)),)
        name = draw(st.sampled_from("abc"))
        each = Instance(f"i{number}", size, host=name, nodes=nodes, state=State.RUNNING)
        if (Pool.build(hosts, [*draft, each]).free_nodes >= 0).all():
            draft.append(each)
    return Pool.build(hosts, draft)


def best(pool: Pool, policy: DefragPolicy, target: Shape) -> int:
    """Return the most slots of any end state with so many changes, by trying all."""
    places = {1: [1, 2], 2: [3]}
    top = slots(pool, target)
    rows = range(len(pool.instances))
    for moving in combinations(rows, min(policy.moves, len(rows))):
        widths = [pool.shapes[int(pool.instances.shape[row])].numa_nodes for row in moving]
        spots = [list(product(range(3), places[width])) for width in widths]
        for ends in product(*spots):
            draft = Draft(pool)
            for row in moving:
                draft.assign(row, -1)
            if all(draft.assign(row, *end) for row, end in zip(moving, ends, strict=True)):
                top = max(top, slots(draft.freeze(), target))
    return top


def after(pool: Pool, proposal: Proposal) -> Pool:
    plan = compose(pool, [proposal], Limits(), Stamp("p"))
    assert plan.rejections == ()
    return plan.predicted


@settings(max_examples=60, deadline=None)
@given(pools())
def test_no_end_state_is_better_than_the_bound(pool: Pool) -> None:
    target = targets_of(pool, WANTED)[0].shape
    proposal = Defrag().propose(pool, WANTED)
    reached = slots(after(pool, proposal), target)
    optimum = best(pool, WANTED, target)
    assert proposal.gain["slots_after"] == reached
    assert reached <= optimum <= proposal.gain["slots_bound"]
    assert len(proposal.actions) <= WANTED.moves
    if proposal.gain["proven"]:
        assert reached == optimum


def test_two_halves_become_a_whole() -> None:
    small = shape(2, 1, 1)
    rows = [
        Instance(f"i{node}{name}", small, host=name, nodes=(node,), state=State.RUNNING)
        for name in "ab"
        for node in (0, 1)
    ]
    pool = Pool.build([host("a"), host("b")], rows)
    policy = DefragPolicy(cpu_milli=8000, memory_mib=GIB, numa_nodes=1)
    proposal = Defrag().propose(pool, policy)
    assert proposal.gain["slots_before"] == 0
    assert proposal.gain["slots_after"] == 3
    assert proposal.gain["proven"] == 1.0
    assert len(proposal.actions) == 3
    assert "proven" in proposal.findings[0].text


def test_nothing_to_gain_is_an_empty_plan_with_its_proof() -> None:
    full = Instance("x", shape(8, 8, 2), host="a", nodes=(0, 1), state=State.RUNNING)
    pool = Pool.build([host("a"), host("b")], [full])
    proposal = Defrag().propose(pool, WANTED)
    assert proposal.actions == ()
    assert proposal.gain["proven"] == 1.0
    assert "4 slots with 0 moves, proven" in proposal.findings[0].text


@pytest.mark.parametrize(("wanted", "moves"), [(1, 1), (2, 2), (3, 3)])
def test_the_fewest_moves_for_so_many_slots(wanted: int, moves: int) -> None:
    small = shape(2, 1, 1)
    rows = [
        Instance(f"i{node}{name}", small, host=name, nodes=(node,), state=State.RUNNING)
        for name in "ab"
        for node in (0, 1)
    ]
    pool = Pool.build([host("a"), host("b")], rows)
    policy = DefragPolicy(cpu_milli=8000, memory_mib=GIB, numa_nodes=1, slots_wanted=wanted)
    proposal = Defrag().propose(pool, policy)
    assert proposal.gain["slots_after"] == wanted
    assert len(proposal.actions) == moves


def test_more_than_can_be_is_said() -> None:
    pool = Pool.build([host("a")])
    policy = DefragPolicy(cpu_milli=8000, memory_mib=GIB, numa_nodes=1, slots_wanted=9)
    texts = [each.text for each in Defrag().propose(pool, policy).findings]
    assert any("9 slots are wanted; 2 are reached" in text for text in texts)


def test_a_mix_counts_its_worth() -> None:
    pool = Pool.build([host("a")])
    mix = (Target(shape(8, 1, 1), 5.0), Target(shape(4, 1, 1), 2.0))
    assert worth(pool, mix, DefragPolicy()) == 10.0


def test_equal_hosts_are_one_type() -> None:
    larger = Host("c", (Node(16_000, 8 * GIB), Node(16_000, 8 * GIB)))
    pool = Pool.build([host("a"), host("b"), larger])
    problem = problem_of(pool, targets_of(pool, WANTED), allowed(pool, frozenset()))
    assert sorted(problem.types.count.tolist()) == [1, 2]
