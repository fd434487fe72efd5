# SPDX-License-Identifier: Apache-2.0
"""The way to an answer for a crowd: the most worth first, then the fewest moves that give it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from billow.capabilities.defrag.compact import Compact, compact_of
from billow.capabilities.defrag.dense import Crowd
from billow.capabilities.defrag.dense_moving import realised
from billow.capabilities.defrag.highs import SolverFailed
from billow.capabilities.defrag.program import Effort, Solved, solved
from billow.model.resources import IntArray
from billow.plan.draft import Draft

NEAR = 1e-6
NODES_FOR_FEWER = 20
"""Most nodes of the search tree for fewer moves; nearly all is found at its root."""
FOR_THE_MOST = 0.6
"""Share of the time for the most worth; the rest is for the fewest moves."""


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
    first = left_s()
    compact = compact_of(crowd)
    ticking = left_s() < first
    enough = wish.wanted or np.inf

    def effort(share: float, nodes: int) -> Effort:
        return Effort(left_s() * share if ticking else np.inf, min(nodes, most_nodes))

    best = solved(compact.most_slots(wish.moves, enough), effort(FOR_THE_MOST, most_nodes))
    bound = _even(-best.bound, crowd)
    if best.values is None or float(compact.worth @ best.values) <= wish.floor + NEAR:
        return Crowded(None, bound)
    values = _fewest(compact, wish, best.values, effort(1.0, NODES_FOR_FEWER))
    return Crowded(realised(compact, values), bound)


def _fewest(compact: Compact, wish: Wish, values: IntArray, effort: Effort) -> IntArray:
    """Return an answer as good as another, or as good as is wanted, with fewer moves."""
    worth = float(compact.worth @ values)
    goal = min(worth, wish.wanted) if wish.wanted else worth
    try:
        lean = solved(compact.fewest_moves(wish.moves, goal), effort)
    except SolverFailed:
        lean = Solved(None, 0.0)
    if lean.values is None or compact.moves @ lean.values >= compact.moves @ values:
        return values
    return lean.values


def _even(bound: float, crowd: Crowd) -> float:
    """Return a bound rounded down to what worths can sum up to."""
    weights = crowd.worth[crowd.worth > 0]
    step = float(weights.min(initial=np.inf))
    if not np.isfinite(step) or not np.isfinite(bound):
        return bound
    times = weights / step
    even = bool((np.abs(times - np.round(times)) < 1e-9).all())
    return float(np.floor(bound / step + NEAR)) * step if even else bound
