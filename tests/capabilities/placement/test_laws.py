# SPDX-License-Identifier: Apache-2.0
"""What placement promises of every pool, whatever the policy."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.capabilities.placement.plan import Choice, Placement, choose, why_not
from billow.capabilities.placement.policy import PlacementPolicy, Strategy
from billow.capabilities.placement.scene import Scene
from billow.model.action import Place
from billow.model.instance import Instance
from billow.model.kinds import State
from billow.model.plan import Proposal, Rejection
from billow.model.pool import Pool
from billow.plan.replay import replay
from tests.capabilities.placement.worlds import SHAPES, World, requested, worlds

POLICIES = (
    PlacementPolicy(),
    PlacementPolicy(strategy=Strategy.PACK),
    PlacementPolicy(strategy=Strategy.PACK, numa_weight=0, gpu_reserve_weight=0, cpu_weight=0),
    PlacementPolicy(zone_weight=0, rack_weight=0, even_weight=0, memory_weight=0, cpu_weight=0),
)
policies = st.sampled_from(POLICIES)


def placements(proposal: Proposal) -> list[Place]:
    assert all(isinstance(action, Place) for action in proposal.actions)
    return [action for action in proposal.actions if isinstance(action, Place)]


def wanted(pool: Pool) -> dict[str, Instance]:
    return {each.id: each for each in pool.instance_views() if each.state is State.REQUESTED}


@given(worlds(), policies)
def test_every_request_gets_a_lawful_place_or_a_reason(pool: Pool, policy: PlacementPolicy) -> None:
    proposal = Placement().propose(pool, policy)
    world = World.of(pool)
    for action in placements(proposal):
        world.put(action)
    placed = [action.instance.id for action in placements(proposal)]
    refused = [each.subject.removeprefix("instance/") for each in proposal.rejections]
    assert sorted(placed + refused) == sorted(wanted(pool))
    assert proposal.gain["instances_placed"] == len(placed)
    assert proposal.gain["instances_rejected"] == len(refused)


@given(worlds(), policies)
def test_what_is_refused_fits_nowhere_in_the_end(pool: Pool, policy: PlacementPolicy) -> None:
    proposal = Placement().propose(pool, policy)
    world = World.of(replay(pool, list(proposal.actions)))
    for rejection in proposal.rejections:
        request = wanted(pool)[rejection.subject.removeprefix("instance/")]
        assert world.fitting(request) == set()
        assert rejection.reason
        assert counted(rejection) == len(pool.hosts)


def counted(rejection: Rejection) -> int:
    return sum(int(cause.split()[0]) for cause in rejection.causes)


@given(worlds(), policies)
def test_a_second_plan_is_empty(pool: Pool, policy: PlacementPolicy) -> None:
    first = Placement().propose(pool, policy)
    second = Placement().propose(replay(pool, list(first.actions)), policy)
    assert second.actions == ()
    assert {each.subject for each in second.rejections} == {
        each.subject for each in first.rejections
    }


@given(worlds(), policies)
def test_the_draft_never_objects_to_a_pick(pool: Pool, policy: PlacementPolicy) -> None:
    answers: list[bool] = []
    ask = Scene.assign

    def watched(scene: Scene, instance: int, host: int, nodes: int) -> bool:
        answers.append(ask(scene, instance, host, nodes))
        return answers[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scene, "assign", watched)
        proposal = Placement().propose(pool, policy)
    assert all(answers)
    assert len(answers) >= len(proposal.actions)


@given(worlds(), policies, st.data())
def test_the_order_of_requests_does_not_matter(
    pool: Pool, policy: PlacementPolicy, data: st.DataObject
) -> None:
    requests = list(wanted(pool).values())
    shuffled = data.draw(st.permutations(requests))
    base = Pool.build(
        pool.host_views(),
        [each for each in pool.instance_views() if each.host],
        groups=pool.groups,
    )
    first = Placement().propose(base.with_requests(requests), policy)
    second = Placement().propose(base.with_requests(shuffled), policy)
    assert repr(first) == repr(second)


@given(worlds(most_requests=0), requested(99), policies)
def test_one_request_fits_where_brute_force_says(
    pool: Pool, request: Instance, policy: PlacementPolicy
) -> None:
    fitting = World.of(pool).fitting(request)
    proposal = Placement().propose(pool.with_requests([request]), policy)
    assert [action.host in fitting for action in placements(proposal)] == [True] * bool(fitting)
    obstacles = why_not(pool, request, policy)
    named = sum(counted(each) for each in obstacles)
    assert named == len(pool.hosts) - len(fitting)


@given(worlds(), policies, st.data())
def test_another_host_is_chosen_where_brute_force_says(
    pool: Pool, policy: PlacementPolicy, data: st.DataObject
) -> None:
    world = World.of(pool)
    if not world.instances:
        return
    name = data.draw(st.sampled_from(sorted(world.instances)))
    excluded = data.draw(st.sets(st.sampled_from(sorted(world.hosts))))
    moving = world.instances[name]
    fitting = world.fitting(replace(moving, nodes=())) - {moving.host} - excluded
    found = choose(pool, pool.instance_row(name), policy, excluded)
    if isinstance(found, Choice):
        assert found.host in fitting
        assert not world.objections(replace(moving, nodes=()), found.host, found.nodes)
    else:
        assert fitting == set()
        assert counted(found) == len(pool.hosts)


@given(worlds(), policies)
def test_more_important_requests_do_not_yield(pool: Pool, policy: PlacementPolicy) -> None:
    """Without groups, a refused request has no room beside the ones at least as important."""
    plain = [replace(each, group="") for each in pool.instance_views()]
    pool = Pool.build(pool.host_views(), plain)
    proposal = Placement().propose(pool, policy)
    priorities = [action.instance.priority for action in placements(proposal)]
    assert priorities == sorted(priorities, reverse=True)
    for rejection in proposal.rejections:
        refused = wanted(pool)[rejection.subject.removeprefix("instance/")]
        before = World.of(pool)
        for action in placements(proposal):
            if action.instance.priority >= refused.priority:
                before.put(action)
        assert before.fitting(refused) == set()


def test_an_empty_pool_refuses_with_a_reason() -> None:
    request = Instance("a", SHAPES[0])
    proposal = Placement().propose(Pool.build([]).with_requests([request]), PlacementPolicy())
    assert proposal.actions == ()
    assert proposal.rejections == (
        Rejection("instance/a", "the pool has no host", fix="add a host"),
    )
    assert math.isclose(proposal.gain["instances_rejected"], 1)
