# SPDX-License-Identifier: Apache-2.0
"""The way to an answer for a crowd: the most worth first, then the fewest moves that give it.

Where a crowd is too large for one program, the program is for the hosts that the moves are best
for, and who asks again for what came of it gets the next ones.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from billow.capabilities.defrag.compact import Compact, compact_of
from billow.capabilities.defrag.dense import Crowd
from billow.capabilities.defrag.dense_bound import Yields, poured, yields_of
from billow.capabilities.defrag.dense_core import core_of
from billow.capabilities.defrag.dense_mix import mixed_worth
from billow.capabilities.defrag.dense_moving import realised
from billow.capabilities.defrag.highs import SolverFailed
from billow.capabilities.defrag.program import Effort, Solved, solved
from billow.capabilities.defrag.slots import slots_by_host
from billow.model.resources import IntArray
from billow.plan.draft import Draft

NEAR = 1e-6
MOST_COLUMNS = 6_000
"""Most columns of one program; more of them take too long to be looked at together."""
MOSTLY = 0.9
"""Moves are left over where at most this share of them is used."""
COLUMNS_A_SECOND = 1_000
"""Where time is short, so many columns for each second that is left."""
MOST_CORES = 4
"""So many times others are looked at where nothing was found."""
HARDLY = 0.05
"""Moves are not saved where at most this share of them could be."""
NODES_FOR_FEWER = 20
"""Most nodes of the search tree for fewer moves; nearly all is found at its root."""
FOR_THE_MOST = 0.5
"""Share of the time for the most worth."""
FOR_FEWER = 0.6
"""Share of what is left then for the fewest moves; the rest is for the proof."""


@dataclass(frozen=True)
class Wish:
    """What is asked of a crowd.

    Attributes:
        moves: Most moves.
        floor: What there is already; less than this and no more is of no use.
        wanted: So much is enough; 0 for the most that can be.
    """

    moves: int
    floor: float
    wanted: float = 0.0


@dataclass(frozen=True)
class Crowded:
    """What was found: where instances should be (None: where they are), and the most possible."""

    draft: Draft | None
    bound: float


def rearranged(crowd: Crowd, wish: Wish, left_s: Callable[[], float], most_nodes: int) -> Crowded:
    """Return the best arrangement that is found. Raises SolverFailed.

    Args:
        crowd: Hosts and who may move.
        wish: What is asked.
        left_s: Seconds that are left; always the same when nobody counts them, and then
            `most_nodes` alone is the limit.
        most_nodes: Most nodes of the search tree of each program.
    """
    return _Rearranging(crowd, wish, left_s, most_nodes).run()


class _Rearranging:
    def __init__(
        self, crowd: Crowd, wish: Wish, left_s: Callable[[], float], most_nodes: int
    ) -> None:
        self._crowd = crowd
        self._wish = wish
        self._left_s = left_s
        self._nodes = most_nodes
        self._first = left_s()

    def run(self) -> Crowded:
        """Bound all hosts, choose those to look at, and look; where nothing is found, at others."""
        yields = _yields(self._crowd)
        bound = _even(poured(self._crowd), self._crowd)
        if len(self._crowd.targets) == 1:
            bound = min(bound, yields.bound(self._wish.moves))
        found = Crowded(None, bound)
        others = yields
        for _ in range(MOST_CORES):
            if bound <= self._wish.floor + NEAR or self._left_s() <= 0:
                break
            core, moves = self._core(others)
            found = self._looked_at(core, moves, yields, bound)
            if found.draft is not None or core is self._crowd:
                break
            others = others.without(np.isin(self._crowd.hosts, core.hosts))
        return found

    def _looked_at(self, core: Crowd, moves: int, yields: Yields, bound: float) -> Crowded:
        """Return the most with so many moves of some hosts, then with the fewest moves."""
        beside = self._beside(core, yields)
        compact = compact_of(core)
        enough = min(bound, self._wish.wanted or np.inf) - beside
        best = self._most(compact, moves, enough)
        if core is self._crowd:
            bound = min(bound, _even(-best.bound, core))
        floor = self._wish.floor - beside
        if best.values is None or float(compact.worth @ best.values) <= floor + NEAR:
            return Crowded(None, bound)
        goal = min(float(compact.worth @ best.values), enough)
        least = yields.fewest_moves(goal + beside) if len(core.targets) == 1 else 0
        values = self._fewest(compact, goal, least, best.values)
        if goal < bound - beside - NEAR and core is self._crowd:
            bound = self._without_limit(compact, values, bound)
        return Crowded(realised(compact, values), bound)

    def _beside(self, core: Crowd, yields: Yields) -> float:
        """Return what hosts that are not looked at are worth."""
        if core is self._crowd:
            return 0.0
        if len(core.targets) > 1:
            return self._wish.floor - mixed_worth(core)
        return float(yields.now[~np.isin(self._crowd.hosts, core.hosts)].sum())

    def _core(self, yields: Yields) -> tuple[Crowd, int]:
        """Return the hosts to look at, all or those that moves are best for, and the moves."""
        crowd, moves = self._crowd, self._wish.moves
        columns, limit = _columns(crowd), float(MOST_COLUMNS)
        if (left := self._left_s()) < self._first:
            limit = min(limit, max(left, 0.0) * COLUMNS_A_SECOND)
        if columns <= limit:
            return crowd, moves
        most = max(int(len(crowd.hosts) * limit / columns), 2)
        core = core_of(_heaviest(crowd), yields, moves, most)
        return crowd.only(core.positions), core.moves

    def _most(self, compact: Compact, moves: int, enough: float) -> Solved:
        program = compact.most_slots(moves, enough)
        return solved(program, self._effort(FOR_THE_MOST, self._nodes))

    def _fewest(self, compact: Compact, goal: float, least: int, values: IntArray) -> IntArray:
        """Return an answer that is worth a goal with fewer moves than one that is known.

        Nothing is looked for where it has hardly more than the `least` that any needs.
        """
        known = int(compact.moves @ values)
        if known - least <= known * HARDLY:
            return values
        program = compact.fewest_moves(self._wish.moves, goal, least)
        try:
            lean = solved(program, self._effort(FOR_FEWER, min(NODES_FOR_FEWER, self._nodes)))
        except SolverFailed:
            return values
        if lean.values is None or compact.moves @ lean.values >= known:
            return values
        return lean.values

    def _without_limit(self, compact: Compact, values: IntArray, bound: float) -> float:
        """Return a better bound where moves are left over.

        It is not their limit, then, that keeps from more, and without it a proof is easier.
        """
        if self._wish.wanted or compact.moves @ values > self._wish.moves * MOSTLY:
            return bound
        program = compact.most_slots(int(compact.moves @ compact.upper), bound)
        try:
            found = solved(program, self._effort(1.0, self._nodes))
        except SolverFailed:
            return bound
        return min(bound, _even(-found.bound, compact.crowd))

    def _effort(self, share: float, nodes: int) -> Effort:
        left = self._left_s()
        return Effort(left * share if left < self._first else np.inf, nodes)


def _yields(crowd: Crowd) -> Yields:
    """Return what departures can give for the one target, or for the one that is worth most."""
    alone = _heaviest(crowd)
    pool, shape = crowd.pool, alone.targets[0].shape
    return yields_of(alone, slots_by_host(pool, shape)[crowd.hosts])


def _heaviest(crowd: Crowd) -> Crowd:
    return crowd.towards(int(np.argmax(crowd.worth[crowd.classes :])))


def _columns(crowd: Crowd) -> int:
    """Return about how many columns a program of all hosts would have."""
    comings = crowd.suits * np.where(crowd.width == 1, crowd.free_nodes.shape[1], 1)
    return int(comings.sum() + (crowd.residents > 0).sum())


def _even(bound: float, crowd: Crowd) -> float:
    """Return a bound rounded down to what worths can sum up to."""
    weights = crowd.worth[crowd.worth > 0]
    step = float(weights.min(initial=np.inf))
    if not np.isfinite(step) or not np.isfinite(bound):
        return bound
    times = weights / step
    even = bool((np.abs(times - np.round(times)) < 1e-9).all())
    return float(np.floor(bound / step + NEAR)) * step if even else bound
