# SPDX-License-Identifier: Apache-2.0
"""The quick ways give what the slow ways give: one host as all, a kept board as a new one."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.capabilities.placement.arithmetic import ARRAYS, NUMBERS
from billow.capabilities.placement.balance import Balance
from billow.capabilities.placement.board import Board
from billow.capabilities.placement.cells import CELL, cells_of
from billow.capabilities.placement.fellows import NOTHING_CLOSED, Closed, closed_by, open_to
from billow.capabilities.placement.filters import standing
from billow.capabilities.placement.judge import NO_ROOM, Judge
from billow.capabilities.placement.need import Need, need_of
from billow.capabilities.placement.plan import Placement
from billow.capabilities.placement.policy import PlacementPolicy, Strategy
from billow.capabilities.placement.scene import Scene
from billow.capabilities.placement.solve import Placer, ordered, requests
from billow.model.action import Place
from billow.model.host import Host, Node
from billow.model.kinds import State
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.plan.draft import Draft
from billow.plan.replay import prepared
from tests.capabilities.placement.worlds import SHAPES, worlds

policies = st.sampled_from([PlacementPolicy(), PlacementPolicy(strategy=Strategy.PACK)])


@given(worlds(most_requests=0), st.sampled_from(SHAPES), policies)
def test_one_host_is_scored_as_all_are(pool: Pool, shape: Shape, policy: PlacementPolicy) -> None:
    scene = Scene(pool)
    judge = Judge(Need(shape), policy, scene.oversold)
    together = judge.score(scene.left_by_all(judge), ARRAYS)
    alone = [judge.score(scene.left_on(row, judge), NUMBERS) for row in range(len(pool.hosts))]
    assert together.tolist() == alone


@given(worlds(), policies)
def test_a_kept_board_reads_like_a_new_one(pool: Pool, policy: PlacementPolicy) -> None:
    placer, ours = Placer(pool, policy), pool.instances
    cells = cells_of(pool.hosts)
    for instance in ordered(placer.scene.draft, requests(pool)):
        placer.place(instance)
    for key, board in placer._boards.items():
        *kin, _ = key
        member = next(
            row
            for row in range(len(pool.instances))
            if [ours.shape[row], ours.kind[row], placer._reach.code(row)] == kin
        )
        need = replace(need_of(pool, member), zone="")
        judge = Judge(need, policy, placer.scene.oversold)
        fresh = Board(placer.scene, cells, judge, standing(placer.scene, need, policy))
        board.pick(np.zeros(len(cells)), NOTHING_CLOSED)
        assert board.scores.tolist() == fresh.scores.tolist()
        assert board._best.tolist() == fresh._best.tolist()


@given(worlds(), policies)
def test_the_balance_is_kept_up_to_date(pool: Pool, policy: PlacementPolicy) -> None:
    placer = Placer(pool, policy)
    placer.place_all(ordered(placer.scene.draft, requests(pool)))
    anew = Balance(placer.scene, cells_of(pool.hosts), policy)
    assert placer._balance.term.tolist() == pytest.approx(anew.term.tolist())


@given(worlds(), st.data())
def test_a_pick_is_the_best_open_host(pool: Pool, data: st.DataObject) -> None:
    """Cells, closed hosts and closed cells change the road, not the answer."""
    if not len(pool.hosts):
        return
    scene, cells = Scene(pool), cells_of(pool.hosts)
    need = Need(data.draw(st.sampled_from(SHAPES)))
    judge = Judge(need, PlacementPolicy(), scene.oversold)
    board = Board(scene, cells, judge, standing(scene, need, PlacementPolicy()))
    rows = range(len(pool.hosts))
    hosts = data.draw(st.frozensets(st.sampled_from(rows)))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(cells), max_size=len(cells))))
    term = np.array([0.1 * (cell % 3) for cell in range(len(cells))])
    value = {
        int(row): board.scores[place] + term[cells.of[row]]
        for place, row in enumerate(cells.order)
        if int(row) not in hosts and not mask[cells.of[row]]
    }
    best = max(value.values(), default=NO_ROOM)
    expected = next((row for row in value if value[row] == best), None) if best > NO_ROOM else None
    assert board.pick(term, Closed(hosts, mask)) == expected
    allowed = np.array([row in value for row in rows])
    assert board.pick_among(term, allowed) == expected


@given(worlds())
def test_groups_close_what_the_draft_refuses(pool: Pool) -> None:
    draft, cells = Draft(pool), cells_of(pool.hosts)
    for row in range(len(pool.instances)):
        circle = draft.circle(row)
        closed = closed_by(circle, row, cells)
        opened = open_to(circle, row, len(pool.hosts))
        for host in range(len(pool.hosts)):
            allowed = circle is None or circle.allow(row, host)
            shut = host in closed.hosts or (
                closed.cells is not None and bool(closed.cells[cells.of[host]])
            )
            assert (not shut and closed.only in (None, host)) is allowed
            assert bool(opened[host]) is allowed


def test_cells_hold_one_rack_each() -> None:
    hosts = [
        Host(f"h{number:03}", (Node(1, 1),), zone=f"z{number % 2}", rack=f"r{number % 3}")
        for number in range(6 * CELL + 60)
    ]
    cells = cells_of(Pool.build(hosts).hosts)
    assert sorted(cells.order.tolist()) == list(range(len(hosts)))
    for cell in range(len(cells)):
        rows = cells.order[cells.start[cell] : cells.start[cell + 1]].tolist()
        assert 0 < len(rows) <= CELL
        assert rows == sorted(rows)
        assert len({(hosts[row].zone, hosts[row].rack) for row in rows}) == 1
        assert {int(cells.of[row]) for row in rows} == {cell}


@given(worlds())
def test_planning_grows_a_pool_only_once(pool: Pool) -> None:
    """Placements name the very values that were asked for, so their replay finds the grown pool."""
    views = list(pool.instance_views())
    asked = [each for each in views if each.state is State.REQUESTED]
    placed = [each for each in views if each.host]
    base = Pool.build(pool.host_views(), placed, groups=pool.groups)
    grown = base.with_requests(asked)
    proposal = Placement().propose(grown, PlacementPolicy())
    for action in proposal.actions:
        assert isinstance(action, Place)
        assert action.instance == grown.instance(action.instance.id)
    if not proposal.rejections:
        assert prepared(base, proposal.actions) is grown
