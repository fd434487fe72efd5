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
from billow.model.resources import BoolArray, FloatArray

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


def relieve(ground: Ground, aims: Aims, most: int) -> int:
    """Make the move that takes most risk off, while there is one worth it; return how many."""
    movable = np.flatnonzero(ground.movable)
    done, drop = 0, ground.board.drop(movable)
    while done < most:
        order = np.argsort(-drop, kind="stable")
        hopeful = order[: int((drop > aims.least_gain).sum())]
        hosts = _best_of(ground, movable[hopeful], drop[hopeful], aims.least_gain)
        if hosts is None:
            break
        touched = np.isin(ground.board.host[movable], hosts)
        drop[touched] = ground.board.drop(movable[touched])
        done += 1
    return done


def _best_of(
    ground: Ground, instances: Rows, drop: FloatArray, least: float
) -> tuple[int, int] | None:
    """Make the best move of instances, those with the largest drop first; return its two hosts."""
    for first in range(0, len(instances), _AT_ONCE):
        some, theirs = instances[first : first + _AT_ONCE], drop[first : first + _AT_ONCE]
        moved = _best_move(ground, some, theirs, least)
        if moved is not None:
            return moved
    return None


def _best_move(
    ground: Ground, instances: Rows, drop: FloatArray, least: float
) -> tuple[int, int] | None:
    board, hosts = ground.board, np.flatnonzero(ground.open)
    gain = drop[:, None] - (board.risk_with(instances, hosts) - board.risk()[hosts])
    gain[board.host[instances][:, None] == hosts] = 0.0
    rows, columns = np.nonzero(gain >= least)
    for place in np.argsort(-gain[rows, columns], kind="stable").tolist():
        instance, target = int(instances[rows[place]]), int(hosts[columns[place]])
        source = int(board.host[instance])
        if ground.targets(instance)[target] and ground.take(instance, target):
            return source, target
    return None


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
    left = allowed - float(ground.board.risk().sum())
    left += float(ground.board.risk()[host])
    for instance in order.tolist():
        rise = _settle(ground, instance, _in_reach(ground, host), left)
        if rise is None:
            ground.back(mark)
            ground.open[host] = was_open
            return False
        left -= rise
    return True


def _settle(ground: Ground, instance: int, hosts: Rows, left: float) -> float | None:
    """Put an instance where it adds least risk; return how much, None where it cannot go."""
    hosts = hosts[ground.targets(instance)[hosts]]
    if not len(hosts):
        return None
    here = ground.board.risk()[hosts]
    rise = ground.board.risk_with(np.array([instance]), hosts)[0] - here
    for place in np.argsort(rise, kind="stable").tolist():
        if rise[place] > left:
            return None
        if ground.take(instance, int(hosts[place])):
            return float(rise[place])
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
    used = int((ground.board.count > 0).sum()) - (count > 0)
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
    return float(risk.sum()) > aims.risk * (1 + aims.slack) * max(int((risk > 0).sum()), 1)


def _in_reach(ground: Ground, host: int) -> Rows:
    reach: BoolArray = ground.open.copy()
    reach[host] = False
    return np.flatnonzero(reach)
