# SPDX-License-Identifier: Apache-2.0
"""Whole answers: the columns that an answer of a wanted value may hold, and the best of them.

An answer loses, beside the bound, at least the loss of each of its columns. So what loses more than
the bound is above the wanted value can be left out without losing any such answer: where no whole
answer is left, there is none, and the next lower value is asked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from billow.capabilities.defrag.columns import Columns
from billow.capabilities.defrag.highs import Outcome, integer
from billow.capabilities.defrag.master import Pace, Question, Relaxed, limits
from billow.capabilities.defrag.pricing import host_values, row_values
from billow.capabilities.defrag.states import States
from billow.model.resources import FloatArray

NEAR = 1e-6
MOST_TARGETS = 6
"""How many values are asked for, from the highest possible down."""
MOST_COLUMNS = 60_000
"""Most columns that a whole answer is looked for among."""


@dataclass(frozen=True)
class Whole:
    """A whole answer over columns.

    Attributes:
        columns, times: What is done, and how often, `(columns,)`.
        worth, moves: What it comes to.
    """

    columns: Columns
    times: FloatArray
    worth: float
    moves: int


@dataclass
class Search:
    """The best whole answer so far and what is proven.

    Attributes:
        bound: As `Relaxed.bound`, lowered where a value was shown to be out of reach.
        relaxed: The bound before it was lowered.
        move: What one move more could add to the bound at most.
        step: Answers differ by a multiple of this in value; 0 when nothing is known.
    """

    bound: float
    step: float
    whole: Whole | None = None
    move: float = 0.0
    relaxed: float = np.inf

    def reached(self, value: float) -> bool:
        """Return whether nothing better than a value is possible."""
        return value >= self.top - NEAR

    @property
    def top(self) -> float:
        """The highest value that the bound leaves possible."""
        return self.top_with(0)

    def top_with(self, more_moves: int) -> float:
        """Return the highest value that is possible with so many moves more."""
        bound = self.relaxed + self.move * more_moves if more_moves else self.bound
        if not self.step:
            return bound
        return float(np.floor(bound / self.step + NEAR)) * self.step


def whole(
    states: States,
    question: Question,
    ground: Relaxed,
    floor: float,
    pace: Pace,
) -> Search:
    """Return the best whole answer that is found in the time. Raises SolverFailed.

    `floor` is the value of an answer that is known already.
    """
    search = Search(
        ground.bound, step_of(states, question), move=ground.prices.move, relaxed=ground.bound
    )
    target = search.top
    _easily(search, states, question, ground, pace)
    for _ in range(MOST_TARGETS):
        if target <= max(floor, _value(search, question)) + NEAR or pace.left_s() < 0.05:
            break
        slack = ground.bound - target + 10 * NEAR
        columns, complete = columns_within(states, ground, slack)
        outcome = integer(columns, limits(columns, question), NEAR - target, pace.left_s())
        _keep(search, columns, outcome, question)
        if not (outcome.proven and search.step and complete):
            break
        if _value(search, question) < target - NEAR:
            search.bound = target = target - search.step
    return search


def _easily(
    search: Search,
    states: States,
    question: Question,
    ground: Relaxed,
    pace: Pace,
) -> None:
    """Look for an answer with so few moves that the bound leaves nearly no room for choice."""
    move, target = ground.prices.move, search.top
    if question.wanted or move <= NEAR:
        return
    fewer = int((ground.bound - target) / move + NEAR)
    lean = Question(max(question.moves - fewer, 0))
    slack = ground.bound - move * (question.moves - lean.moves) - target + 10 * NEAR
    columns, _ = columns_within(states, ground, slack)
    outcome = integer(columns, limits(columns, lean), NEAR - target, pace.left_s() / 3)
    _keep(search, columns, outcome, question)


def _value(search: Search, question: Question) -> float:
    if search.whole is None:
        return -np.inf
    return float(-search.whole.moves) if question.wanted else search.whole.worth


def _keep(search: Search, columns: Columns, outcome: Outcome, question: Question) -> None:
    if outcome.values is None:
        return
    worth, moves = columns.sums(outcome.values)
    found = Whole(columns, outcome.values, worth, moves)
    value = float(-moves) if question.wanted else worth
    if value > _value(search, question):
        search.whole = found


def step_of(states: States, question: Question) -> float:
    """Return by how much values differ at least."""
    if question.wanted:
        return 1.0
    worth = states.problem.items.worth
    weights = worth[worth > 0]
    least = float(weights.min(initial=1.0))
    even = np.abs(weights / least - np.round(weights / least)) < 1e-9
    return least if even.all() else 0.0


def columns_within(states: States, ground: Relaxed, slack: float) -> tuple[Columns, bool]:
    """Return all columns that lose at most `slack`, and whether they are all."""
    columns = Columns(states)
    spare: dict[tuple[int, int], float] = {}
    for way, arrivals, loss in _ways_within(states, ground, slack):
        columns.add_way(way, arrivals)
        for place in _places(states, way, arrivals):
            spare[place] = max(spare.get(place, 0.0), slack - loss)
        if len(columns.names) > MOST_COLUMNS:
            return columns, False
    for (node, offset), left in spare.items():
        _add_leavings(columns, ground, (node, offset), left)
    complete = len(columns.names) <= MOST_COLUMNS
    _add_fillings(columns, ground, slack)
    return columns, complete


def _ways_within(
    states: States, ground: Relaxed, slack: float
) -> Iterator[tuple[int, tuple[int, ...], float]]:
    found = ground.found
    value = host_values(states, ground.prices, found.wide, found.place, slack)
    loss = found.best[states.wides.owner][:, None] - value
    good = (loss <= slack) & states.wides.real[:, None]
    for way, number in np.argwhere(good).tolist():
        kind = int(states.kind_of_host[states.wides.owner[way]])
        left = slack - float(loss[way, number])
        for arrivals, lost in _arrivals_within(states, ground, kind, number, left):
            yield way, arrivals, float(loss[way, number]) + lost


def _arrivals_within(
    states: States, ground: Relaxed, kind: int, number: int, left: float
) -> Iterator[tuple[tuple[int, ...], float]]:
    """Yield the sets of wide items of a sum that lose little, with their loss."""
    earned, wide = states.earned(ground.prices), ground.found.wide[kind]
    todo: list[tuple[int, tuple[int, ...], float]] = [(number, (), 0.0)]
    while todo:
        here, chosen, lost = todo.pop()
        if not here:
            yield tuple(sorted(chosen)), lost
            continue
        for item, before in states.steps_to.get(here, ()):
            if (chosen and item > chosen[-1]) or not states.problem.items.suits[kind, item]:
                continue
            loss = lost + float(wide[here] - wide[before] - earned[item])
            if loss <= left:
                todo.append((before, (*chosen, item), loss))


def _places(states: States, way: int, arrivals: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    size = states.problem.items.size[list(arrivals)].sum(axis=0)
    offset = int(states.offset_of[way, states.sum_at[int(size[0]), int(size[1])]])
    for node in states.problem.types.nodes[states.wides.owner[way]].tolist():
        if node >= 0:
            yield node, offset


def _add_leavings(columns: Columns, ground: Relaxed, place: tuple[int, int], left: float) -> None:
    states, (node, offset) = columns.states, place
    rows = np.arange(states.singles.start[node], states.singles.start[node + 1])
    value = row_values(states, ground.found, rows, np.full(len(rows), offset))
    best = ground.found.place.at(np.array([node]), np.array([offset]))
    loss = best - value
    good = (loss <= left) & states.singles.real[rows]
    for row in rows[good].tolist():
        columns.add_leave(row, offset)


def _add_fillings(columns: Columns, ground: Relaxed, slack: float) -> None:
    states = columns.states
    fill, earned = ground.found.fill.reshape(-1), states.earned(ground.prices)
    items = np.flatnonzero(~states.problem.items.span).tolist()
    while columns.opened:
        room = columns.opened.pop()
        for item in items:
            after = columns.after(room, item)
            if after >= 0 and fill[room] - earned[item] - fill[after] <= slack:
                columns.add_fill(room, item)
