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
from billow.capabilities.defrag.highs import Model, Relaxation, SolverFailed
from billow.capabilities.defrag.prices import Prices
from billow.capabilities.defrag.pricing import (
    Priced,
    priced,
    row_values,
)
from billow.capabilities.defrag.states import States
from billow.model.resources import FloatArray, IntArray

NEAR = 1e-6
SHORT_S = 0.2
FIRST_PRICES = ((0.8, 0.5), (0.5, 0.5), (0.2, 0.5), (0.0, 0.5))
"""Share of a slot's worth that CPU has, and price of a move, to begin with."""


@dataclass(frozen=True)
class Question:
    """What is asked: the most slots with `moves`, or, when `wanted` is set, the fewest moves."""

    moves: int
    wanted: float = 0.0


@dataclass(frozen=True)
class Pace:
    """How long may be searched: seconds that are left, and rounds."""

    left_s: Callable[[], float]
    most_rounds: int = 200


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
    columns: Columns
    rounds: int = 0
    agreed: bool = False


def relaxed(
    states: States, question: Question, pace: Pace, known: Columns | None = None
) -> Relaxed:
    """Return the best prices that are found in the time. Raises SolverFailed.

    `known` are columns of an earlier question on the same states, to begin with.
    """
    return _Pricing(states, question, pace, known).run()


class _Pricing:
    def __init__(
        self, states: States, question: Question, pace: Pace, known: Columns | None
    ) -> None:
        self._states = states
        self._question = question
        self._pace = pace
        self._columns = known or _first(states)
        self._program = Relaxation(max(pace.left_s(), 0.1))
        self._best: Relaxed | None = None

    def run(self) -> Relaxed:
        """Price, widen, solve, until the bound and the program agree or nothing is left to try.

        Prices of a program with few columns jump about. So columns are named at two points: at its
        own prices, and half way to the prices that gave the best bound so far.
        """
        best = self._note(self._by_size(1.0, 0.0), 0)
        for share, move in FIRST_PRICES:
            best = self._note(self._by_size(share, move), 0)
        for number in range(1, self._pace.most_rounds + 1):
            try:
                outcome = self._program.solve(self._columns, limits(self._columns, self._question))
            except SolverFailed:
                if self._pace.left_s() > SHORT_S:
                    raise
                break  # time is over: what was found so far still holds
            best.value = max(best.value, -outcome.objective)
            own = prices_of(self._columns, self._question, outcome.duals)
            before = len(self._columns.names)
            for prices in (_between(own, best.prices), own):
                best = self._note(prices, number)
                best.agreed = best.bound - best.value <= NEAR * max(1.0, abs(best.value))
                if best.agreed or self._pace.left_s() < 0:
                    return best
            if len(self._columns.names) == before:
                break
        return best

    def _by_size(self, share: float, move: float) -> Prices:
        """Return prices to begin with: an instance costs a share of the slots that it stands on."""
        items, slot = self._states.problem.items, 1.0
        if self._question.wanted:
            slot = 0.0
        size = items.size[:, 0] * np.where(items.span, 2.0, 1.0)
        rate = (items.worth / np.maximum(size, 1.0)).max(initial=0.0) * slot
        return Prices(1.0 - slot + move * slot, slot, share * rate * size[: items.classes])

    def _note(self, prices: Prices, number: int) -> Relaxed:
        """Price everything, take new columns in, and return the best prices so far."""
        found = priced(self._states, prices)
        bound, best = bound_of(self._question, prices, found), self._best
        if best is None or bound < best.bound:
            value = best.value if best else -np.inf
            best = Relaxed(prices, found, bound, value, self._columns)
        best.rounds = number
        self._best = best
        self._widen(prices, found)
        return best

    def _widen(self, prices: Prices, found: Priced) -> None:
        states, columns = self._states, self._columns
        for way in _best_ways(states, found):
            columns.add_way(way, _arrivals(states, prices, found, way))
        places = [(node, offset) for kind, node, offset in columns.rows if kind == "place"]
        for row, offset in best_leavings(states, found, places):
            columns.add_leave(row, offset)
        open_rooms(columns, found, prices)


def _first(states: States) -> Columns:
    """Return hosts as they are, and every leaving of one; no room is open yet."""
    columns = Columns(states)
    for way in states.wides.start[:-1].tolist():
        columns.add_way(way, ())
    for row in np.flatnonzero((states.singles.moves <= 1) & states.singles.real).tolist():
        columns.add_leave(row, 0)
    return columns


def open_rooms(columns: Columns, found: Priced, prices: Prices) -> None:
    """Let rooms be filled with whatever fits; with the best alone where rooms are many."""
    states = columns.states
    items = np.flatnonzero(~states.problem.items.span).tolist()
    if not states.memories:
        while columns.opened:
            room = columns.opened.pop()
            for item in items:
                columns.add_fill(room, item)
        return
    fill, earned = found.fill.reshape(-1), states.earned(prices)
    todo = [number for kind, number, _ in columns.rows if kind == "room"]
    done: set[int] = set()
    while todo:
        room = todo.pop()
        if room in done or fill[room] <= 0.0:
            continue
        done.add(room)
        for item in items:
            after = columns.after(room, item)
            if after >= 0 and earned[item] > 0 and earned[item] + fill[after] >= fill[room] - 1e-9:
                columns.add_fill(room, item)
                todo.append(after)
                break
    columns.opened.clear()


def _between(first: Prices, second: Prices) -> Prices:
    return Prices(
        (first.move + second.move) / 2,
        (first.slot + second.slot) / 2,
        (first.instance + second.instance) / 2,
    )


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
    row, which, first = states.rows_of(table[:, 0])
    offset = table[which, 1]
    value = np.where(states.singles.real[row], row_values(states, found, row, offset), -np.inf)
    best = np.maximum.reduceat(value, first[:-1])
    hit = np.flatnonzero((value >= best[which]) & (value > -1e17))
    _, pick = np.unique(which[hit], return_index=True)
    return [(int(row[k]), int(offset[k])) for k in hit[pick].tolist()]
