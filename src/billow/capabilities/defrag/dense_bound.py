# SPDX-License-Identifier: Apache-2.0
"""What a few moves can give at most, host by host and without a solver: a bound for any crowd.

Whoever leaves a host comes to another. An instance that could hold `q` slots takes away at least
`q` where it comes to. So a departure is charged with its `q`, and arrivals need not be looked at:
what `k` departures give a host is at most what its `k` largest rests (size without those `q`
slots) add to what is free. The best moves over all hosts then bound every plan.

This is the Lagrangian relaxation of "as many come as leave" with `q` as the price of a class
(Geoffrion, Math. Prog. Study 2, 1974), with each host's knapsack relaxed to one resource at a time.
"""

from dataclasses import dataclass

import numpy as np

from billow.capabilities.defrag.dense import Crowd
from billow.model.resources import RESOURCES, BoolArray, FloatArray, IntArray

FEW = 12
"""So many departures of a host are told apart; beyond, all may leave for one more."""


@dataclass(frozen=True)
class Yields:
    """What departures can give at most.

    Attributes:
        now: Slots of each host, `(n,)`.
        gain: Slots more after 0, 1, 2 ... departures, net of what they take elsewhere,
            `(n, FEW + 2)`.
        slope: What the first, second ... departure gives, never rising, `(n, FEW + 1)`.
    """

    now: IntArray
    gain: IntArray
    slope: FloatArray

    def bound(self, moves: int) -> float:
        """Return a number of slots that no plan of so many moves can exceed."""
        slopes = np.sort(self.slope[self.slope > 0])[::-1]
        return float(np.floor(self.now.sum() + slopes[:moves].sum() + 1e-6))

    def without(self, hosts: BoolArray) -> "Yields":
        """Return the same where some hosts, `(n,) bool`, give nothing."""
        return Yields(self.now, self.gain, np.where(hosts[:, None], 0.0, self.slope))

    def fewest_moves(self, slots: float) -> int:
        """Return a number of moves that no plan for so many slots can do without."""
        slopes = np.sort(self.slope[self.slope > 0])[::-1]
        needed = slots - float(self.now.sum()) - 1e-6
        return int(np.searchsorted(np.cumsum(slopes), needed)) + 1 if needed > 0 else 0


def yields_of(crowd: Crowd, now: IntArray) -> Yields:
    """Return what departures can give for the one target of a crowd.

    Args:
        crowd: Hosts and who may move; its last item is the target.
        now: Slots that each of its hosts has, `(n,)`.
    """
    held = _held(crowd)
    most = np.minimum(_on_hosts(crowd, held), _on_nodes(crowd, held))
    most = np.where(crowd.suits[:, -1:], most, 0)
    gain = np.maximum(np.maximum.accumulate(most, axis=1) - now[:, None], 0)
    gain[:, 0] = 0
    return Yields(now, gain, _slopes(gain))


def poured(crowd: Crowd) -> float:
    """Return what all that is free would be worth as one host, sold as what pays best."""
    demand, worth = crowd.demand[crowd.classes :], crowd.worth[crowd.classes :]
    best = np.inf
    for kind in np.flatnonzero((demand > 0).all(axis=0)).tolist():
        rate = float((worth / demand[:, kind]).max())
        best = min(best, rate * float(crowd.free[:, kind].sum()))
    return best


def _held(crowd: Crowd) -> IntArray:
    """Return how many slots each class takes with it wherever it may come to, `(classes,)`."""
    target, classes = len(crowd.width) - 1, crowd.classes
    by_host = _times(crowd.demand[:classes], crowd.demand[target])
    by_node = _times(crowd.share[:classes], crowd.share[target])
    width, wanted = crowd.width[:classes], int(crowd.width[target])
    if wanted == 0:
        held = by_host
    elif wanted == 1:
        held = np.where(width > 0, width * by_node, 0)
    else:
        held = np.where(width == wanted, by_node, 0)
    leaks = (crowd.suits[:, :classes] & ~crowd.suits[:, target:]).any(axis=0)
    return np.where(leaks | (held > by_host), 0, held)


def _on_hosts(crowd: Crowd, held: IntArray) -> IntArray:
    """Return the most slots by what hosts have in total, `(n, FEW + 2)`."""
    demand, target = crowd.demand[: crowd.classes], crowd.demand[-1]
    rest = demand - held[:, None] * target
    return _slots(crowd.free, crowd.residents.sum(axis=1), rest, target)


def _on_nodes(crowd: Crowd, held: IntArray) -> IntArray:
    """Return the most slots by what nodes have, when each node has all departures to itself."""
    wanted, count = int(crowd.width[-1]), crowd.pool.hosts.node_count[crowd.hosts]
    unlimited = np.full((len(crowd.hosts), FEW + 2), 2**40, dtype=np.int64)
    if not wanted:
        return unlimited
    share, target = crowd.share[: crowd.classes], crowd.share[-1]
    width = crowd.width[: crowd.classes]
    apart = np.maximum(width, 1) if wanted == 1 else np.ones_like(width)
    rest = share - (held // apart)[:, None] * target
    wide = crowd.residents[:, 0] * (width > 1)
    found = []
    for node in range(crowd.free_nodes.shape[1]):
        here = crowd.residents[:, 1 + node] + wide
        slots = _slots(crowd.free_nodes[:, node], here, rest, target)
        there: BoolArray = node < count[:, None]
        found.append(np.where(there, slots, 0 if wanted == 1 else 2**40))
    total = np.sum(found, axis=0) if wanted == 1 else np.min(found, axis=0)
    exact = (count == wanted) | (wanted == 1)
    return np.where(exact[:, None], total, unlimited)


def _slots(free: IntArray, residents: IntArray, rest: IntArray, target: IntArray) -> IntArray:
    """Return slots after 0, 1, 2 ... departures of the largest rests, `(n, FEW + 2)`."""
    most = np.full((len(free), FEW + 2), 2**40, dtype=np.int64)
    for kind in np.flatnonzero(target).tolist():
        order = np.argsort(-rest[:, kind], kind="stable")
        count = residents[:, order]
        before = np.cumsum(count, axis=1) - count
        for leaving in range(FEW + 2):
            left = leaving if leaving <= FEW else 2**40
            taken = np.clip(left - before, 0, count)
            room = free[:, kind] + taken @ rest[order, kind]
            np.minimum(most[:, leaving], room // target[kind], out=most[:, leaving])
    return np.maximum(most, 0)


def _times(amounts: IntArray, target: IntArray) -> IntArray:
    """Return how often a target goes into amounts, `(classes,)`."""
    least = np.full(len(amounts), 2**40, dtype=np.int64)
    for kind in range(len(RESOURCES)):
        if target[kind]:
            np.minimum(least, amounts[:, kind] // target[kind], out=least)
    return np.where(least == 2**40, 0, least)


def _slopes(gain: IntArray) -> FloatArray:
    """Return the steps of the least concave function above gains, `(n, FEW + 1)`."""
    slope = np.zeros((len(gain), gain.shape[1] - 1))
    here = np.zeros(len(gain), dtype=np.int64)
    height = np.zeros(len(gain))
    rows = np.arange(len(gain))
    for step in range(slope.shape[1]):
        # the steepest way on from where the function stands
        ahead = np.arange(gain.shape[1])[None, :] - here[:, None]
        rise = np.where(ahead > 0, (gain - height[:, None]) / np.maximum(ahead, 1), -1.0)
        best = rise.argmax(axis=1)
        moving = here <= step
        steep = np.maximum(rise[rows, best], 0.0)
        slope[:, step] = np.where(moving, steep, slope[:, step - 1] if step else 0.0)
        height = np.where(moving, gain[rows, best], height)
        here = np.where(moving, best, here)
    return slope
