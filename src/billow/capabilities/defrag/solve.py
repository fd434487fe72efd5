# SPDX-License-Identifier: Apache-2.0
"""The way to an answer: a greedy one at once, the exact one behind it, and a bound for both.

An answer is looked for on the pool, carried out in memory, and looked for again on what came of it,
until nothing is gained any more: so what a group's rule or the order spoiled is made good, and a
second plan is empty.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from billow.capabilities.defrag.dense import crowd_of, is_dense
from billow.capabilities.defrag.dense_mix import mixed_worth
from billow.capabilities.defrag.dense_solve import Wish, rearranged
from billow.capabilities.defrag.greedy import emptied
from billow.capabilities.defrag.highs import SolverFailed
from billow.capabilities.defrag.integral import Search, Whole, step_of, whole
from billow.capabilities.defrag.layout import Layout, layout_of
from billow.capabilities.defrag.master import Pace, Question, Relaxed, relaxed
from billow.capabilities.defrag.moving import Moving
from billow.capabilities.defrag.policy import DefragPolicy
from billow.capabilities.defrag.prices import Prices
from billow.capabilities.defrag.pricing import priced
from billow.capabilities.defrag.problem import Allowed, allowed, problem_of
from billow.capabilities.defrag.sequence import Ordering, sequence
from billow.capabilities.defrag.slots import slots, slots_by_host
from billow.capabilities.defrag.states import States, states_of
from billow.capabilities.defrag.target import Target
from billow.model.action import Migrate
from billow.model.pool import Pool
from billow.model.resources import CPU, BoolArray, IntArray
from billow.plan.draft import Draft

Stopwatch = Callable[[], float]
"""Seconds since some moment; never goes back."""

NEAR = 1e-6
MOST_GOALS = 4
"""How many goals are tried with the fewest moves, from the highest possible down."""
MANY_HOST_TYPES = 1500
MOVES_AT_ONCE = 1000
"""Where host types are so many, moves are looked for in portions: each is solved to its best."""
FOR_THE_ORDER = 0.15
"""Share of the time that is kept for the order of the moves."""


@dataclass(frozen=True)
class Answer:
    """Moves in order, and what is known of them.

    Attributes:
        before, after: What fits: instances of the one target, or the weighted worth of several.
        bound: The most that any plan with so many moves can reach.
        failure: What kept the solver from its part; empty when nothing did.
    """

    moves: tuple[Migrate, ...]
    pool: Pool
    before: float
    after: float
    bound: float
    failure: str = ""

    @property
    def proven(self) -> bool:
        """Whether nothing better is possible."""
        return self.after >= self.bound - NEAR


def solve(
    pool: Pool, targets: tuple[Target, ...], policy: DefragPolicy, stopwatch: Stopwatch
) -> Answer:
    """Return the best answer that is found in the policy's time."""
    return _Solving(pool, targets, policy, stopwatch).run()


def worth(pool: Pool, targets: tuple[Target, ...], policy: DefragPolicy) -> float:
    """Return what fits into a pool: instances of the one target, or the worth of the best mix."""
    if len(targets) == 1:
        return float(slots(pool, targets[0].shape, count_memory=policy.count_memory))
    return _mixed(pool, targets, allowed(pool, frozenset()).hosts)


def _mixed(pool: Pool, targets: tuple[Target, ...], hosts: BoolArray) -> float:
    """Return what the best mix is worth on hosts; in rounded units where the solver fails."""
    still = Allowed(np.zeros(len(pool.instances), dtype=np.bool_), hosts)
    if not hosts.any():
        return 0.0
    try:
        return mixed_worth(crowd_of(pool, targets, still))
    except SolverFailed:
        frame = states_of(problem_of(pool, targets, still))
        return priced(frame, Prices(0.0, 1.0, np.zeros(0))).total


class _Solving:
    def __init__(
        self,
        pool: Pool,
        targets: tuple[Target, ...],
        policy: DefragPolicy,
        stopwatch: Stopwatch,
    ) -> None:
        self._pool = pool
        self._policy = policy
        self._targets = _countable(targets, policy)
        self._stopwatch = stopwatch
        self._started = stopwatch()
        self._failure = ""
        self._first: Ordering | None = None
        self._pace = Pace(self._left_s, policy.rounds)

    def run(self) -> Answer:
        pool, moves = self._pool, list[Migrate]()
        before = worth(pool, self._targets, self._policy)
        after, bound = before, self._unfragmented()
        while len(moves) < self._policy.moves or not moves:
            ordering, limit = self._once(pool, after, self._policy.moves - len(moves))
            if not moves and limit < np.inf:
                bound = min(bound, limit)
            gained = worth(ordering.after, self._targets, self._policy)
            if gained <= after + NEAR:
                break
            pool, after = ordering.after, gained
            moves += ordering.moves
            if self._enough(after, bound) or self._left_s() <= 0:
                break
        still = self._first or Ordering((), self._pool)
        found = max(Ordering(tuple(moves), pool), still, key=self._rank)
        after = worth(found.after, self._targets, self._policy)
        return Answer(found.moves, found.after, before, after, max(bound, after), self._failure)

    def _unfragmented(self) -> float:
        """Return how much would fit if all free CPU were one piece; infinite for a mix."""
        cpu_milli = self._targets[0].shape.cpu_milli
        if len(self._targets) > 1 or not cpu_milli:
            return np.inf
        free = np.maximum(self._pool.free[self._pool.hosts.schedulable, CPU], 0)
        return float(free.sum() // cpu_milli)

    def _enough(self, after: float, bound: float) -> bool:
        wanted = self._policy.slots_wanted
        return after >= bound - NEAR or bool(wanted and after >= wanted)

    def _once(self, pool: Pool, before: float, budget: int) -> tuple[Ordering, float]:
        """Return the best of the greedy and the exact answer for one state of the pool."""
        allow = allowed(pool, self._policy.protected)
        if not allow.hosts.any() or not allow.instances.any():
            return Ordering((), pool), before
        if is_dense(pool, self._targets, allow) and (found := self._crowded(pool, before, budget)):
            return found
        problem = problem_of(pool, self._targets, allow)
        states = states_of(problem)
        fixed = self._beside(pool, problem.hosts)
        first = self._ordered(states, emptied(states, budget), budget)
        best, bound = first, np.inf
        self._first = self._first or first
        at_once, rest = _portion(len(problem.types), budget)
        try:
            search = self._exact(states, Question(at_once), before - fixed)
            bound = search.top_with(rest) + fixed
            if search.whole is not None:
                exact = self._ordered(states, layout_of(problem, search.whole), budget)
                best = exact if rest else max(first, exact, key=self._rank)
        except SolverFailed as failed:
            self._failure = str(failed)
        if self._rank(best)[0] <= before + NEAR:
            best = Ordering((), pool)
        return best, bound

    def _crowded(self, pool: Pool, before: float, budget: int) -> tuple[Ordering, float] | None:
        """Return the answer for hosts with many residents; None when the solver fails."""
        crowd = crowd_of(pool, self._targets, allowed(pool, self._policy.protected))
        fixed = self._beside(pool, crowd.hosts)
        wanted = max(self._policy.slots_wanted - fixed, 0.0)
        try:
            wish = Wish(budget, before - fixed, wanted)
            found = rearranged(crowd, wish, self._left_s, self._policy.rounds)
        except SolverFailed as failed:
            self._failure = str(failed)
            return None
        draft = found.draft or Draft(pool)
        return sequence(pool, draft, budget, "makes room"), found.bound + fixed

    def _exact(self, states: States, question: Question, floor: float) -> Search:
        """Return the best whole answer; where moves are no limit, with the fewest. May fail."""
        ground = relaxed(states, question, self._pace)
        search = Search(
            ground.bound,
            step_of(states, question),
            move=ground.prices.move,
            relaxed=ground.bound,
        )
        wanted = float(self._policy.slots_wanted)
        goal = min(wanted, search.top) if wanted else search.top
        if goal <= floor + NEAR:
            return search
        if goal < search.top or ground.prices.move <= NEAR:
            lean = self._fewest(states, Question(question.moves, goal), ground, max(floor, 0.0))
            if lean is not None:
                return replace(search, whole=lean)
        found = whole(states, question, ground, floor, self._pace)
        if found.whole is None or found.whole.worth <= floor + NEAR:
            return replace(found, whole=None)
        return found

    def _fewest(
        self, states: States, question: Question, ground: Relaxed, floor: float
    ) -> Whole | None:
        """Return an answer that reaches the goal, or a little less, with the fewest moves."""
        step = step_of(states, Question(question.moves))
        for _ in range(MOST_GOALS):
            if question.wanted <= floor + NEAR or self._left_s() < 0.1:
                break
            try:
                lean = relaxed(states, question, self._pace, ground.columns)
                found = whole(states, question, lean, -np.inf, self._pace).whole
            except SolverFailed:
                found = None
            if found is not None or not step:
                return found
            question = replace(question, wanted=question.wanted - step)
        return None

    def _ordered(self, states: States, layout: Layout, budget: int) -> Ordering:
        moving = Moving(states.problem)
        moving.realise(layout)
        return sequence(states.problem.pool, moving.draft, budget, "makes room")

    def _rank(self, ordering: Ordering) -> tuple[float, int]:
        """Return how good an answer is: what fits, as far as it is wanted, then few moves."""
        value = worth(ordering.after, self._targets, self._policy)
        return min(value, self._policy.slots_wanted or value), -len(ordering.moves)

    def _beside(self, pool: Pool, hosts: IntArray) -> float:
        """Return what fits on hosts (rows) that take no part."""
        if len(self._targets) > 1:
            others = allowed(pool, frozenset()).hosts.copy()
            others[hosts] = False
            return _mixed(pool, self._targets, others)
        policy, shape = self._policy, self._targets[0].shape
        by_host = slots_by_host(pool, shape, count_memory=policy.count_memory)
        by_host = by_host.copy()
        by_host[hosts] = 0
        return float(by_host.sum())

    def _left_s(self) -> float:
        most = self._policy.time_limit_s * (1.0 - FOR_THE_ORDER)
        return most - (self._stopwatch() - self._started)


def _portion(host_types: int, moves: int) -> tuple[int, int]:
    """Return how many moves are looked for at once, and how many are left for later."""
    at_once = min(moves, MOVES_AT_ONCE if host_types > MANY_HOST_TYPES else moves)
    return at_once, moves - at_once


def _countable(targets: tuple[Target, ...], policy: DefragPolicy) -> tuple[Target, ...]:
    """Return targets as they are counted: one target weighs one, and memory may not count."""
    if not policy.count_memory:
        targets = tuple(replace(each, shape=replace(each.shape, memory_mib=0)) for each in targets)
    return (replace(targets[0], weight=1.0),) if len(targets) == 1 else targets
