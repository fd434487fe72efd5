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

from billow.capabilities.defrag.states import States
from billow.model.resources import FloatArray, IntArray

NEVER = -1e18


@dataclass(frozen=True)
class Prices:
    """What things are worth.

    Attributes:
        move: Of one migration.
        slot: Factor of every target's worth.
        instance: Of each class, `(classes,)`; never negative.
    """

    move: float
    slot: float
    instance: FloatArray


@dataclass(frozen=True)
class Priced:
    """The best at given prices.

    Attributes:
        fill: What room can earn by arrivals and slots, `(kinds, cpu + 1, memory + 1)`.
        wide: What hosts can earn by instances that lie on all nodes and take just so much,
            `(kinds, sums)`, for the sums of `States.sums`.
        row: What each leaving costs, `(rows,)`, not positive.
        place: The best of each node type at each offset of its room, `(types, offsets)`.
        choice: The best of each way of a host's wide instances to leave, `(ways,)`.
        best: The best of each host type, `(host types,)`.
        total: The bound without the price of the moves that are allowed.
    """

    fill: FloatArray
    wide: FloatArray
    row: FloatArray
    place: FloatArray
    choice: FloatArray
    arrival: IntArray
    best: FloatArray
    total: float


def priced(states: States, prices: Prices) -> Priced:
    """Return what every place and host type does at these prices."""
    fill = _fill(states, prices)
    wide = _wide(states, prices)
    rows = states.singles
    cost = -prices.move * rows.moves - np.where(
        rows.real, rows.gone @ prices.instance, 0.0
    )
    place = _place(states, fill, cost)
    value = host_values(states, prices, wide, place)
    arrival = value.argmax(axis=1)
    choice = value[np.arange(len(value)), arrival]
    best = np.maximum.reduceat(choice, states.wides.start[:-1]) if len(choice) else choice
    total = float(best @ states.problem.types.count) if len(best) else 0.0
    return Priced(fill, wide, cost, place, choice, arrival, best, total)


def host_values(
    states: States, prices: Prices, wide: FloatArray, place: FloatArray
) -> FloatArray:
    """Return what each way of wide instances to leave is worth with each arrival, `(ways, sums)`."""
    ways, types = states.wides, states.problem.types
    cost = -prices.move * ways.moves - np.where(ways.real, ways.gone @ prices.instance, 0.0)
    kind = states.kind_of_host[ways.owner]
    value = cost[:, None] + wide[kind]
    padded = np.concatenate([place, np.zeros((1, place.shape[1]))])
    for column in types.nodes.T:
        value += padded[column[ways.owner][:, None], states.offset_of]
    return value


def row_values(states: States, found: Priced, rows: IntArray, offset: IntArray) -> FloatArray:
    """Return what leavings (rows) are worth at an offset of their place's room."""
    room = states.room(rows, offset)
    value = found.fill.reshape(-1)[np.maximum(room, 0)]
    return np.where(room >= 0, found.row[rows] + value, NEVER)


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


def _place(states: States, fill: FloatArray, cost: FloatArray) -> FloatArray:
    """Return the best leaving of each node type at each offset, `(types, offsets)`."""
    rows, flat = states.singles, fill.reshape(-1)
    best = np.full((len(states.problem.nodes), len(states.offsets)), NEVER)
    if not len(rows):
        return best
    every = np.arange(len(rows))
    for offset in range(len(states.offsets)):
        room = states.room(every, np.full(len(rows), offset))
        value = np.where(room >= 0, cost + flat[np.maximum(room, 0)], NEVER)
        best[:, offset] = np.maximum.reduceat(value, rows.start[:-1])
    return best
