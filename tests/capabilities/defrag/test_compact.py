# SPDX-License-Identifier: Apache-2.0
"""Pools with many residents on each host: the best is reached, proven, and never out of reach."""

from typing import Any

import numpy as np
import pytest
from benchmarks.whitepaper_pools import S6_WANTED, pool_s6
from hypothesis import given, settings

from billow.capabilities.defrag import Defrag, DefragPolicy, dense_solve
from billow.capabilities.defrag.compact import compact_of
from billow.capabilities.defrag.dense import crowd_of, is_dense
from billow.capabilities.defrag.dense_bound import poured, yields_of
from billow.capabilities.defrag.dense_mix import mixed_worth
from billow.capabilities.defrag.dense_solve import Wish, rearranged
from billow.capabilities.defrag.highs import SolverFailed
from billow.capabilities.defrag.problem import allowed
from billow.capabilities.defrag.program import Effort, solved
from billow.capabilities.defrag.slots import slots, slots_by_host
from billow.capabilities.defrag.target import Target
from billow.engines.sim.generate import generate
from billow.model.plan import Proposal
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.plan.replay import replay
from billow.testing.pools import pool
from billow.testing.strategies import pools

UNLIMITED = Effort(np.inf, 200)
WANTED = Shape("wanted", 4000, 8192)
ON_NODE = Shape("wanted", 4000, 8192, numa_nodes=1)
ON_BOTH = Shape("wanted", 4000, 8192, numa_nodes=2)


def plan(world: Pool, shape: str, moves: int, **knobs: Any) -> Proposal:  # noqa: ANN401 (any knob)
    policy = DefragPolicy(shapes={shape: 1.0}, moves=moves, **knobs)
    found = Defrag().propose(world, policy)
    after = replay(world, found.actions)
    wanted = world.shape(shape)
    assert wanted is not None
    assert found.gain["slots_after"] == slots(after, wanted)
    assert (after.free >= 0).all()
    assert (after.free_nodes >= 0).all()
    return found


def test_the_white_papers_pool_is_solved_to_the_end() -> None:
    found = plan(pool_s6(), S6_WANTED.name, 50)
    assert found.gain["slots_after"] == found.gain["slots_bound"] == 437
    assert found.gain["moves"] <= 50


def test_a_mixed_pool_gains_and_knows_that_no_plan_gains_more() -> None:
    found = plan(generate(60, seed=3), "c16-m64", 10)
    assert found.gain["slots_after"] > found.gain["slots_before"]
    assert found.gain["proven"]


def test_so_many_as_wanted_take_fewer_moves() -> None:
    world = pool_s6()
    found = plan(world, S6_WANTED.name, 50, slots_wanted=412)
    assert found.gain["slots_after"] == 412
    assert found.gain["moves"] == 6


@pytest.mark.parametrize("shape", [WANTED, ON_NODE, ON_BOTH], ids=["floats", "node", "both"])
@settings(max_examples=25, deadline=None)
@given(world=pools(requests=False))
def test_bounds_hold_and_answers_can_be_done(shape: Shape, world: Pool) -> None:
    """No answer of the exact program is better than the bound that needs no solver."""
    crowd = crowd_of(world, (Target(shape),), allowed(world, frozenset()))
    now = slots_by_host(world, shape)[crowd.hosts]
    compact = compact_of(crowd)
    if not len(compact):
        return
    for moves in (0, 1, 3):
        best = solved(compact.most_slots(moves, np.inf), UNLIMITED)
        assert best.values is not None
        worth = float(compact.worth @ best.values)
        assert worth <= yields_of(crowd, now).bound(moves) + 1e-6
        assert worth <= poured(crowd) + 1e-6
        assert worth >= now.sum() - 1e-6
        assert moves or worth == now.sum()
    found = rearranged(crowd, Wish(3, float(now.sum())), lambda: 1.0, 200)
    if found.draft is not None:
        assert (found.draft.free_hosts[crowd.hosts] >= 0).all()
        assert len(found.draft.changed()) <= 3


def test_few_residents_are_another_solvers() -> None:
    world = generate(30, seed=1)
    bound = world.shape("c16-m64")
    assert bound is not None
    assert is_dense(world, (Target(bound),), allowed(world, frozenset()))
    nothing = Pool.build(world.host_views(), [])
    assert not is_dense(nothing, (Target(bound),), allowed(nothing, frozenset()))


def test_a_mix_may_float_and_be_bound_at_once() -> None:
    world = generate(40, seed=2)
    weights = {"c16-m64": 16.0, "c4-m16": 4.0, "a16-m64": 16.0}
    found = Defrag().propose(world, DefragPolicy(shapes=weights, moves=5))
    targets = tuple(
        Target(shape, weights[shape.name]) for shape in world.shapes if shape.name in weights
    )
    after = replay(world, found.actions)
    crowd = crowd_of(after, targets, allowed(after, frozenset()))
    assert found.gain["slots_after"] == mixed_worth(crowd)
    assert found.gain["slots_before"] < found.gain["slots_after"] <= found.gain["slots_bound"]


def test_the_best_mix_of_one_host_by_hand() -> None:
    # 11 CPUs: one of 8 and one of 3 are worth 11; three of 3 would be worth 9
    world = pool("1 hosts x 64GiB 11c")
    targets = (Target(Shape("eight", 8000, 0), 8.0), Target(Shape("three", 3000, 0), 3.0))
    assert mixed_worth(crowd_of(world, targets, allowed(world, frozenset()))) == 11.0


def test_a_large_pool_is_looked_at_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense_solve, "MOST_COLUMNS", 400)
    found = plan(generate(120, seed=5), "c16-m64", 6)
    assert found.gain["slots_after"] >= found.gain["slots_before"] + 6
    assert found.gain["proven"]


def test_a_solver_that_fails_leaves_the_greedy_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise SolverFailed("broken on purpose")

    monkeypatch.setattr(dense_solve, "solved", fails)
    found = plan(generate(40, seed=2), "c16-m64", 20)
    assert any("broken on purpose" in each.text for each in found.findings) or found.gain["proven"]
