# SPDX-License-Identifier: Apache-2.0
"""What holds when the solver fails, time is short, or the world changes meanwhile."""

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.defrag_pools import Recipe, document
from benchmarks.defrag_replay import replayed
from benchmarks.defrag_run import planned, run, written

from billow.capabilities.defrag import Defrag, DefragPolicy, highs
from billow.capabilities.defrag.repair import repair
from billow.errors import Invalid
from billow.model.action import Migrate
from billow.model.policy import Limits
from billow.model.pool import Pool
from billow.plan.check import violations
from billow.plan.compose import Stamp, compose
from billow.sense.vmr import vmr_pool

SMALL = document(Recipe(24, 120, seed=3))


def moves_of(pool: Pool, policy: DefragPolicy) -> list[Migrate]:
    actions = Defrag().propose(pool, policy).actions
    return [each for each in actions if isinstance(each, Migrate)]


def test_without_the_solver_the_heuristic_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(time_limit_s: float) -> None:
        raise highs.SolverFailed("HiGHS is not installed")

    monkeypatch.setattr(highs, "solver", missing)
    proposal = Defrag().propose(vmr_pool(SMALL, "small"), DefragPolicy(moves=10))
    assert proposal.gain["slots_after"] > proposal.gain["slots_before"]
    assert proposal.gain["proven"] == 0.0
    assert proposal.gain["slots_bound"] >= proposal.gain["slots_after"]
    assert "HiGHS is not installed" in proposal.findings[-1].text


def test_the_exact_answer_is_no_worse_than_the_heuristic(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = vmr_pool(SMALL, "small")
    exact = Defrag().propose(pool, DefragPolicy(moves=10)).gain
    monkeypatch.setattr(highs, "solver", lambda time_limit_s: None)
    greedy = Defrag().propose(pool, DefragPolicy(moves=10)).gain
    assert exact["slots_after"] >= greedy["slots_after"]
    assert exact["slots_bound"] >= exact["slots_after"]


@pytest.mark.parametrize("ratios", [(2,), (2, 8)])
def test_a_plan_replays_with_other_arithmetic(ratios: tuple[int, ...]) -> None:
    mapping = document(Recipe(30, 150, seed=5, ratios=ratios, mix=0.8))
    found = run(mapping, "drawn", 20, 30.0)
    checked = replayed(mapping, written(found.plan))
    assert checked.faults == ()
    assert checked.slots == found.slots > found.proposal.gain["slots_before"]
    assert checked.moves <= 20
    assert found.bound >= found.slots


def test_what_is_protected_or_pinned_stays() -> None:
    pool = vmr_pool(SMALL, "small")
    first = {move.instance for move in moves_of(pool, DefragPolicy(moves=8))}
    hosts = {move.target for move in moves_of(pool, DefragPolicy(moves=8))}
    protected = frozenset({*first, *hosts})
    for move in moves_of(pool, DefragPolicy(moves=8, protected=protected)):
        assert not {move.instance, *move.hosts} & protected


def test_the_same_again_and_no_use_of_time() -> None:
    pool = vmr_pool(SMALL, "small")
    policy = DefragPolicy(moves=12)
    assert moves_of(pool, policy) == moves_of(pool, policy)


def test_time_that_is_over_leaves_an_answer() -> None:
    ticks = iter(range(0, 10_000_000, 3600))
    proposal = Defrag(lambda: float(next(ticks))).propose(
        vmr_pool(SMALL, "small"), DefragPolicy(moves=10)
    )
    assert proposal.gain["slots_after"] >= proposal.gain["slots_before"]


def test_repair_keeps_what_holds_and_drops_what_is_gone() -> None:
    pool = vmr_pool(SMALL, "small")
    wanted = moves_of(pool, DefragPolicy(moves=10))
    gone = wanted[0].instance
    stay = [each for each in pool.instance_views() if each.id != gone]
    now = Pool.build(pool.host_views(), stay, shapes=pool.shapes, facts=pool.facts)
    again = repair(now, wanted, 10)
    assert gone in again.dropped
    assert set(again.kept) == {move.instance for move in wanted} - {gone}
    assert (again.after.free_nodes >= 0).all()


def test_repair_of_an_unchanged_pool_changes_nothing() -> None:
    pool = vmr_pool(SMALL, "small")
    wanted = moves_of(pool, DefragPolicy(moves=10))
    again = repair(pool, wanted, 10)
    assert set(again.kept) == {move.instance for move in wanted}
    assert again.redirected == again.dropped == ()


def test_an_unknown_shape_is_an_error() -> None:
    with pytest.raises(Invalid, match="no shape"):
        Defrag().propose(vmr_pool(SMALL, "small"), DefragPolicy(shapes={"nix": 1.0}))


def test_replay_finds_what_is_wrong() -> None:
    found = planned(vmr_pool(SMALL, "small"), 10, 30.0)
    moves = written(found.plan)
    moves[0]["to"] = {"host_id": "pm_999", "numa": [0]}
    assert replayed(SMALL, moves).faults
    with pytest.raises(Invalid, match="no move"):
        replayed(SMALL, [{"instance_id": 1}])


def test_a_proposal_is_mended_when_the_pool_has_changed() -> None:
    pool, policy = vmr_pool(SMALL, "small"), DefragPolicy(moves=10)
    proposal = Defrag().propose(pool, policy)
    gone = next(each.instance for each in proposal.actions if isinstance(each, Migrate))
    keep = [row for row, name in enumerate(pool.instances.id) if name != gone]
    now = replace(pool, instances=pool.instances.take(np.array(keep)))
    mended = Defrag().mended(now, proposal, policy)
    moved = {each.instance for each in mended.actions if isinstance(each, Migrate)}
    assert moved
    assert gone not in moved
    plan = compose(now, [mended], Limits(), Stamp("p"))
    assert not plan.rejections
    assert violations(now, plan) == ()
    assert mended.gain["slots_after"] > mended.gain["slots_before"]
    assert "were dropped" in mended.findings[0].text
