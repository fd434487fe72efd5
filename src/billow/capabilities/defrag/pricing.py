# SPDX-License-Identifier: Apache-2.0
"""Prices for moves and instances, and the best that every place and host can do at them.

This is the Lagrangian of the problem: a move costs `move`, an instance that leaves costs
`price[class]`, and a place that takes one in earns it. At any prices the sum of the best answers of
all hosts is an upper bound on what a plan can reach; it is computed here from the data alone, so a
solver's tolerance cannot make it wrong. Departures are enumerated, arrivals and slots are a
knapsack that depends on the room alone, and both meet at the room that is left.

Source: Dantzig & Wolfe, "Decomposition principle for linear programs", Oper. Res. 8 (1960); the
flow form of the knapsack is Valerio de Carvalho's, Ann. Oper. Res. 86 (1999).
"""

from dataclasses import dataclass

import numpy as np

from billow.capabilities.defrag.prices import Prices
from billow.capabilities.defrag.states import States
from billow.model.resources import FloatArray, IntArray

NEVER = -1e18
NEAR = 1e-9
AT_ONCE = 50_000
"""How many places are worked out in one go, so that memory stays small."""


@dataclass(frozen=True)
class Priced:
    """The best at given prices.

    Attributes:
        fill: What room can earn by arrivals and slots, `(kinds, cpu + 1, memory + 1)`.
        wide: What hosts can earn by instances that lie on all nodes and take just so much,
            `(kinds, sums)`, for the sums of `States.sums`.
        row: What each leaving costs, `(rows,)`, not positive.
        place: The best of each node type at each offset of its room.
        choice: The best of each way of a host's wide instances to leave, `(ways,)`.
        best: The best of each host type, `(host types,)`.
        total: The bound without the price of the moves that are allowed.
    """

    fill: FloatArray
    wide: FloatArray
    row: FloatArray
    place: "Places"
    choice: FloatArray
    arrival: IntArray
    best: FloatArray
    total: float


def priced(states: States, prices: Prices) -> Priced:
    """Return what every place and host type does at these prices."""
    fill, wide, rows = _fill(states, prices), _wide(states, prices), states.singles
    paid: FloatArray = np.where(rows.real, rows.gone @ prices.instance, 0.0)
    cost: FloatArray = -prices.move * rows.moves - paid
    place = Places(states, fill, cost)
    value = host_values(states, prices, wide, place, 0.0)
    arrival = value.argmax(axis=1)
    choice = value[np.arange(len(value)), arrival]
    best = np.maximum.reduceat(choice, states.wides.start[:-1]) if len(choice) else choice
    total = float(best @ states.problem.types.count) if len(best) else 0.0
    return Priced(fill, wide, cost, place, choice, arrival, best, total)


class Places:
    """The best leaving of node types at offsets, worked out when it is first asked for."""

    def __init__(self, states: States, fill: FloatArray, cost: FloatArray) -> None:
        self._states = states
        self._flat = fill.reshape(-1)
        self._cost = cost
        self._known = np.full((len(states.problem.nodes) + 1, len(states.offsets)), np.nan)
        self._known[-1] = 0.0

    def at(self, types: IntArray, offsets: IntArray) -> FloatArray:
        """Return the best of node types (0 for type -1) at offsets, of one shape."""
        key = (types % len(self._known)) * self._known.shape[1] + offsets
        known = self._known.reshape(-1)
        missing = np.unique(key[np.isnan(known[key])])
        for part in np.array_split(missing, -(-len(missing) // AT_ONCE)) if len(missing) else ():
            known[part] = self._worked_out(part)
        found: FloatArray = known[key]
        return found

    def loosely(self) -> FloatArray:
        """Return the best of each type at each CPU offset if memory were plenty, and 0 last."""
        states, rows = self._states, self._states.singles
        best = np.full((len(self._known), len(states.cpu_offsets)), NEVER)
        best[-1] = 0.0
        for number, offset in enumerate(states.cpu_offsets.tolist()):
            if len(rows):
                room = states.roomy(offset)
                value = np.where(room >= 0, self._cost + self._flat[room], NEVER)
                best[:-1, number] = np.maximum.reduceat(value, rows.start[:-1])
        return best

    def _worked_out(self, keys: IntArray) -> FloatArray:
        kind, offset = np.divmod(keys, self._known.shape[1])
        row, which, first = self._states.rows_of(kind)
        room = self._states.room(row, offset[which])
        value = np.where(room >= 0, self._cost[row] + self._flat[room], NEVER)
        found: FloatArray = np.maximum.reduceat(value, first[:-1])
        return found


def host_values(
    states: States, prices: Prices, wide: FloatArray, place: Places, slack: float
) -> FloatArray:
    """Return what each way of wide instances to leave is worth with each arrival, `(ways, sums)`.

    What loses more than `slack` beside the best of its host may be given as `NEVER`.
    """
    ways, types = states.wides, states.problem.types
    cost = -prices.move * ways.moves - np.where(ways.real, ways.gone @ prices.instance, 0.0)
    value = cost[:, None] + wide[states.kind_of_host[ways.owner]]
    nodes = types.nodes[ways.owner]
    if not len(ways):
        return value
    if states.memories:
        value = _worthwhile(states, value, place, slack)
    way, number = np.nonzero(value > NEVER / 2)
    for column in nodes.T:
        value[way, number] += place.at(column[way], states.offset_of[way, number])
    return value


def _worthwhile(states: States, value: FloatArray, place: Places, slack: float) -> FloatArray:
    """Return values without those that could not be good even if memory were plenty."""
    ways, types = states.wides, states.problem.types
    most, alone = value.copy(), value[:, 0].copy()
    loosely = place.loosely()
    for column in types.nodes[ways.owner].T:
        most += loosely[column[:, None], states.cpu_offset_of]
        alone += place.at(column, states.offset_of[:, 0])
    best = np.maximum.reduceat(alone, ways.start[:-1])[ways.owner]
    kept = most >= best[:, None] - slack - NEAR
    kept[:, 0] = True
    return np.where(kept, value, NEVER)


def row_values(states: States, found: Priced, rows: IntArray, offset: IntArray) -> FloatArray:
    """Return what leavings (rows) are worth at an offset of their place's room."""
    room = states.room(rows, offset)
    return np.where(room >= 0, found.row[rows] + found.fill.reshape(-1)[room], NEVER)


def _fill(states: States, prices: Prices) -> FloatArray:
    items = states.problem.items
    kinds, cpus, memories = len(items.suits), states.cpus, states.memories
    fill = np.zeros((kinds, cpus + 1, memories + 1))
    earned = states.earned(prices)
    order = np.flatnonzero(~items.span & (earned > 0)).tolist()
    for room in range(1, cpus + 1):
        fill[:, room] = np.maximum(fill[:, room], fill[:, room - 1])
        for number in order:
            cpu, memory = int(items.size[number, 0]), int(items.size[number, 1])
            if not cpu or cpu > room or memory > memories:
                continue
            gain = earned[number] + fill[:, room - cpu, : memories + 1 - memory]
            gain = np.where(items.suits[:, number, None], gain, 0.0)
            np.maximum(fill[:, room, memory:], gain, out=fill[:, room, memory:])
    return fill


def _wide(states: States, prices: Prices) -> FloatArray:
    items = states.problem.items
    value = np.full((len(items.suits), len(states.sums)), NEVER)
    value[:, 0] = 0.0
    earned = states.earned(prices)
    for number, item, before in states.steps:
        gain = np.where(items.suits[:, item], earned[item] + value[:, before], NEVER)
        value[:, number] = np.maximum(value[:, number], gain)
    return value
