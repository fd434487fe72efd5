# SPDX-License-Identifier: Apache-2.0
"""Which hosts of a large crowd a few moves are for: those that gain most, and those that take.

A hundred moves touch some two hundred hosts, however many there are. So a program is written for
these alone; what the others could have given is in the bound, which looks at all hosts.
"""

from dataclasses import dataclass

import numpy as np

from billow.capabilities.defrag.dense import Crowd
from billow.capabilities.defrag.dense_bound import Yields
from billow.model.resources import FloatArray, IntArray

SPARE = 1.5
"""So many times the moves that are allowed may be spent on what gains most."""
FOR_GIVERS = 0.5
"""Most of the hosts that are there for what they gain; the others are there for what they take."""


@dataclass(frozen=True)
class Core:
    """Hosts to look at together.

    Attributes:
        positions: Where they stand in the crowd's hosts, ascending.
        moves: So many of the moves are for them; the rest is for others that gain as much.
    """

    positions: IntArray
    moves: int


def core_of(crowd: Crowd, yields: Yields, moves: int, most_hosts: int) -> Core:
    """Return the hosts that moves are best for, at most so many."""
    worthy = _givers(crowd, yields, moves)
    givers = worthy[: int(most_hosts * FOR_GIVERS)]
    taking = _taking(crowd, yields, givers)
    taking[givers] = -1.0
    ranked = np.argsort(-taking, kind="stable")
    takers = ranked[: most_hosts - len(givers)]
    portion = -(-moves * len(givers) // max(len(worthy), 1))
    return Core(np.sort(np.concatenate([givers, takers])), portion)


def _givers(crowd: Crowd, yields: Yields, moves: int) -> IntArray:
    """Return hosts by what their first departures gain, those that lack least first."""
    slope, lack = yields.slope[:, 0], _lack(crowd, yields)
    order = np.lexsort((lack, -slope))
    order = order[slope[order] > 0]
    each = 1.0 / np.maximum(slope[order], 0.1)
    enough = int(np.searchsorted(np.cumsum(each), moves * SPARE)) + 1
    return order[:enough].astype(np.int64)


def _lack(crowd: Crowd, yields: Yields) -> FloatArray:
    """Return what a host lacks for one more slot, as a share of the slot, `(n,)`."""
    target = np.maximum(crowd.demand[-1], 1)
    wanted = (yields.now[:, None] + 1) * crowd.demand[-1]
    lack: FloatArray = np.maximum((wanted - crowd.free) / target, 0.0).max(axis=1)
    return lack


def _taking(crowd: Crowd, yields: Yields, givers: IntArray) -> FloatArray:
    """Return how much of what givers may send a host can take without losing a slot, `(n,)`."""
    classes, demand = crowd.classes, crowd.demand[: crowd.classes]
    sent = crowd.residents[givers].sum(axis=(0, 1)).astype(np.float64)
    total = max(float(sent.sum()), 1.0)
    mean = sent @ demand / total
    slots = np.where(crowd.suits[:, -1], yields.now, 0)
    useless = crowd.free - slots[:, None] * crowd.demand[-1]
    times = np.full(len(crowd.hosts), np.inf)
    for kind in np.flatnonzero(mean > 0).tolist():
        np.minimum(times, useless[:, kind] / mean[kind], out=times)
    welcome: FloatArray = crowd.suits[:, :classes] @ sent / total
    return np.maximum(np.where(np.isfinite(times), times, 0.0), 0.0) * welcome
