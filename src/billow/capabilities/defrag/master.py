# SPDX-License-Identifier: Apache-2.0
"""The relaxed problem: prices from a linear program, columns from the prices, until both agree.

The linear program over columns gives prices; at those prices every place and host names its best
column and the bound; new columns go in. Where the bound meets the program's value, it is the best
that the relaxation can say, and its whole part is the most slots that any plan can reach.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from billow.capabilities.defrag.columns import MOVES, SLOTS, Columns
from billow.capabilities.defrag.highs import Model, Relaxation
from billow.capabilities.defrag.pricing import (
    Priced,
    Prices,
    host_values,
    priced,
    row_values,
)
from billow.capabilities.defrag.states import States
from billow.model.resources import FloatArray, IntArray

NEAR = 1e-6


@dataclass(frozen=True)
class Question:
    """What is asked: the most slots with `moves`, or, when `wanted` is set, the fewest moves."""

    moves: int
    wanted: float = 0.0


@dataclass
class Relaxed:
    """The best prices so far, and what they prove.

    Attributes:
        bound: The most that can be reached (slots), or the fewest moves that are needed.
        value: What the linear program reaches with its columns.
    """

    prices: Prices
    found: Priced
    bound: float
    value: float
    rounds: int
    agreed: bool


def relaxed(
    states: States, question: Question, left_s: Callable[[], float], most_rounds: int
) -> Relaxed:
    """Return the best prices that are found in the time. Raises SolverFailed."""
    return _Pricing(states, question, left_s).run(most_rounds)


class _Pricing:
    def __init__(
        self, states: States, question: Question, left_s: Callable[[], float]
    ) -> None:
        self._states = states
        self._question = question
        self._left_s = left_s
        self._columns = Columns(states)
        self._program = Relaxation(max(left_s(), 0.1))
        self._best: Relaxed | None = None

    def run(self, most_rounds: int) -> Relaxed:
        self._first()
        for number in range(1, most_rounds + 1):
            outcome = self._program.solve(self._columns, limits(self._columns, self._question))
            prices = prices_of(self._columns, self._question, outcome.duals)
            found = priced(self._states, prices)
            self._note(prices, found, -outcome.objective, number)
            assert self._best is not None
            if self._best.agreed or self._left_s() < 0:
                break
            if not self._widen(prices, found):
                break
        assert self._best is not None
        return self._best

    def _first(self) -> None:
        """Begin with hosts as they are, and every leaving of few."""
        states = self._states
        for way in states.wides.start[:-1].tolist():
            self._columns.add_way(way, ())
        for row in np.flatnonzero(states.singles.moves <= 1).tolist():
            if states.singles.real[row]:
                self._columns.add_leave(row, 0)
        self._open()

    def _note(self, prices: Prices, found: Priced, value: float, number: int) -> None:
        bound = bound_of(self._question, prices, found)
        best = self._best
        if best is None or bound < best.bound:
            best = Relaxed(prices, found, bound, value, number, agreed=False)
        best.value, best.rounds = max(best.value, value), number
        best.agreed = best.bound - value <= NEAR * max(1.0, abs(value))
        self._best = best

    def _widen(self, prices: Prices, found: Priced) -> bool:
        states, columns = self._states, self._columns
        before = len(columns.names)
        for way in _best_ways(states, found):
            columns.add_way(way, _arrivals(states, prices, found, way))
        places = [(node, offset) for kind, node, offset in columns.rows if kind == "place"]
        for row, offset in best_leavings(states, found, places):
            columns.add_leave(row, offset)
        self._open(found, prices)
        return len(columns.names) > before

    def _open(self, found: Priced | None = None, prices: Prices | None = None) -> None:
        """Let every room be filled with whatever fits; where there are many, with the best."""
        columns = self._columns
        items = np.flatnonzero(~self._states.problem.items.span).tolist()
        while columns.opened:
            room = columns.opened.pop()
            for item in items:
                columns.add_fill(room, item)


def limits(columns: Columns, question: Question) -> Model:
    """Return the costs and limits of the master problem; it is minimised."""
    count, rows = len(columns.names), len(columns.rows)
    lower, upper = np.zeros(rows), np.full(rows, np.inf)
    for (kind, number, _), row in columns.rows.items():
        if kind == "host":
            lower[row] = upper[row] = columns.states.problem.types.count[number]
        elif kind in {"place", "room"}:
            upper[row] = 0.0
            lower[row] = 0.0 if kind == "place" else -np.inf
    cost = np.zeros(count)
    counted, sign = (MOVES, 1.0) if question.wanted else (SLOTS, -1.0)
    lower[columns.rows[SLOTS]] = question.wanted or -np.inf
    lower[columns.rows[MOVES]] = -np.inf
    upper[columns.rows[MOVES]] = question.moves
    number = columns.rows[counted]
    for position, (numbers, values) in enumerate(columns.entries):
        if number in numbers:
            cost[position] = sign * values[numbers.index(number)]
    return Model(cost, np.full(count, np.inf), lower, upper)


def prices_of(columns: Columns, question: Question, duals: FloatArray) -> Prices:
    """Return prices from the duals of the rows."""
    move = max(-float(duals[columns.rows[MOVES]]), 0.0)
    slot = 1.0
    if question.wanted:
        move, slot = 1.0 + move, max(float(duals[columns.rows[SLOTS]]), 0.0)
    classes = columns.states.problem.items.classes
    instance = np.maximum(duals[2 : 2 + classes], 0.0)
    return Prices(move, slot, instance)


def bound_of(question: Question, prices: Prices, found: Priced) -> float:
    """Return what prices prove: no more slots, or (negative) no fewer moves."""
    if question.wanted:
        return found.total - prices.slot * question.wanted + (prices.move - 1.0) * question.moves
    return found.total + prices.move * question.moves


def _best_ways(states: States, found: Priced) -> list[int]:
    """Return the best way of each host type."""
    value = np.where(states.wides.real, found.choice, -np.inf)
    start = states.wides.start
    owner_best = np.maximum.reduceat(value, start[:-1]) if len(value) else value
    hit = np.flatnonzero(value >= owner_best[states.wides.owner])
    _, first = np.unique(states.wides.owner[hit], return_index=True)
    ways: list[int] = hit[first].tolist()
    return ways


def _arrivals(states: States, prices: Prices, found: Priced, way: int) -> tuple[int, ...]:
    """Return the best items that make up the sum which a way of a host is best with."""
    kind = int(states.kind_of_host[states.wides.owner[way]])
    number, earned, chosen = int(found.arrival[way]), states.earned(prices), []
    while number:
        value = found.wide[kind, number]
        item, before = next(
            (item, before)
            for after, item, before in states.steps
            if after == number
            and states.problem.items.suits[kind, item]
            and earned[item] + found.wide[kind, before] >= value - 1e-12
        )
        chosen.append(item)
        number = before
    return tuple(sorted(chosen))


def best_leavings(
    states: States, found: Priced, places: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Return the best leaving of each place (node type, offset)."""
    if not places:
        return []
    table: IntArray = np.array(places, dtype=np.int64)
    start = states.singles.start
    length = start[table[:, 0] + 1] - start[table[:, 0]]
    offset = np.repeat(table[:, 1], length)
    first = np.concatenate([[0], np.cumsum(length)])
    row = np.arange(first[-1]) - np.repeat(first[:-1] - start[table[:, 0]], length)
    value = np.where(states.singles.real[row], row_values(states, found, row, offset), -np.inf)
    best = np.maximum.reduceat(value, first[:-1])
    which = np.repeat(np.arange(len(places)), length)
    hit = np.flatnonzero((value >= best[which]) & (value > -1e17))
    _, pick = np.unique(which[hit], return_index=True)
    return [(int(row[k]), int(offset[k])) for k in hit[pick].tolist()]


__all__ = ["Question", "Relaxed", "best_leavings", "bound_of", "host_values", "limits", "relaxed"]
