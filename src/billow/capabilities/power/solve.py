# SPDX-License-Identifier: Apache-2.0
"""Which instances move so that fewer hosts run and none is asked for more than it has.

Two steps that take turns. *Relieve* moves single instances from the hosts that are most at risk to
where they add least. *Empty* frees a whole host where the hosts that stay on can carry its
instances within the risk that is allowed on average. Greedy, deterministic, no clock, no dice; the
sum of risks is what both look at, so neither undoes what the other did.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from billow.capabilities.power.board import Rows
from billow.capabilities.power.ground import Ground
from billow.model.resources import FloatArray

_AT_ONCE = 64
"""Instances whose moves are compared at once."""


@dataclass(frozen=True, slots=True)
class Aims:
    """What is allowed.

    Attributes:
        risk: Share of time that a host may be over its limit, on average over the hosts in use.
        least_gain: What a single move must take off the sum of risks.
        slack: Share of the risk that is left unused when a host is emptied, so that it is not
            needed again at once.
    """

    risk: float = 0.01
    least_gain: float = 0.004
    slack: float = 0.1


class Relief:
    """Single moves off the hosts most at risk; what leaving takes off is kept up to date."""

    def __init__(self, ground: Ground, aims: Aims) -> None:
        self._ground = ground
        self._aims = aims
        self._drop: FloatArray | None = None

    def relieve(self, most: int) -> int:
        """Make the move that takes most risk off, while there is one worth it; return how many."""
        done = 0
        while done < most:
            hopeful, drop = self._hopeful()
            if not _best_of(self._ground, hopeful, drop, self._aims.least_gain):
                break
            done += 1
        return done

    def _hopeful(self) -> tuple[Rows, FloatArray]:
        """Return who takes enough risk off by leaving, most first, and how much."""
        drop = self._fresh()
        rows = np.flatnonzero(drop > self._aims.least_gain)
        rows = rows[np.argsort(-drop[rows], kind="stable")]
        return rows, drop[rows]

    def _fresh(self) -> FloatArray:
        """Return what each instance takes off; only hosts that changed are counted anew."""
        board, changed = self._ground.board, self._ground.board.changed()
        if self._drop is None:
            self._drop = np.full(len(board.host), -np.inf)
            rows = np.flatnonzero(self._ground.movable)
        elif changed:
            rows = np.concatenate([self._ground.movable_on(host) for host in changed])
        else:
            return self._drop
        self._drop[rows] = board.drop(rows)
        return self._drop


def _best_of(ground: Ground, instances: Rows, drop: FloatArray, least: float) -> bool:
    """Make the best move of instances, those with the largest drop first; False without one."""
    for first in range(0, len(instances), _AT_ONCE):
        some, theirs = instances[first : first + _AT_ONCE], drop[first : first + _AT_ONCE]
        if _best_move(ground, some, theirs, least):
            return True
    return False


def _best_move(ground: Ground, instances: Rows, drop: FloatArray, least: float) -> bool:
    board, hosts = ground.board, np.flatnonzero(ground.open)
    gain = drop[:, None] - (board.risk_with(instances, hosts) - board.risk()[hosts])
    gain[board.host[instances][:, None] == hosts] = 0.0
    rows, columns = np.nonzero(gain >= least)
    for place in np.argsort(-gain[rows, columns], kind="stable").tolist():
        instance, target = int(instances[rows[place]]), int(hosts[columns[place]])
        if ground.targets(instance)[target] and ground.take(instance, target):
            return True
    return False


def empty(ground: Ground, host: int, allowed: float) -> bool:
    """Move everything off a host; False, with nothing changed, where that is not possible.

    Args:
        ground: Where it is tried.
        host: Its row; closed when it is empty.
        allowed: What the sum of all hosts' risks may be afterwards.
    """
    instances = ground.board.on(host)
    if not ground.movable[instances].all():
        return False
    mark, was_open = ground.mark(), bool(ground.open[host])
    ground.open[host] = False
    order = instances[np.argsort(-ground.board.forecast.mean[instances], kind="stable")]
    risk = ground.board.risk()
    left = allowed - float(risk.sum()) + float(risk[host])
    for instance in order.tolist():
        rise = _settle(ground, instance, left)
        if rise is None:
            ground.back(mark)
            ground.open[host] = was_open
            return False
        left -= rise
    return True


def _settle(ground: Ground, instance: int, left: float) -> float | None:
    """Put an instance where it adds least risk; return how much, None where it cannot go."""
    hosts = np.flatnonzero(ground.targets(instance))
    if not len(hosts):
        return None
    here = ground.board.risk()[hosts]
    rise = ground.board.risk_with(np.array([instance]), hosts)[0] - here
    while rise[place := int(np.argmin(rise))] <= left:
        if ground.take(instance, int(hosts[place])):
            return float(rise[place])
        rise[place] = np.inf  # the next best; mostly the first one does
    return None


def vacate(ground: Ground, aims: Aims, host: int, agrees: Callable[[], bool], most: int) -> bool:
    """Empty a host, if the rest can carry it within what is allowed; return whether it is empty.

    Args:
        ground: Where it is tried; unchanged when the answer is no.
        aims: What is allowed.
        host: Its row.
        agrees: Whether the host may go, asked when it is empty.
        most: How many instances may move.
    """
    count = int(ground.board.count[host])
    if count > most:
        return False
    mark, was_open = ground.mark(), bool(ground.open[host])
    used = int(np.count_nonzero(ground.board.count)) - (count > 0)
    if not empty(ground, host, aims.risk * (1 - aims.slack) * used):
        return False
    if agrees():
        return True
    ground.back(mark)
    ground.open[host] = was_open
    return False


def short_of(ground: Ground, aims: Aims) -> bool:
    """Return whether the hosts that are on carry more risk than is allowed."""
    risk = ground.board.risk()
    return float(risk.sum()) > aims.risk * (1 + aims.slack) * max(
        int(np.count_nonzero(risk > 0)), 1
    )
