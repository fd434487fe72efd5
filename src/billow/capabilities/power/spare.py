# SPDX-License-Identifier: Apache-2.0
"""Whether the largest hosts may die now, and all that is on them finds room on the others."""

import numpy as np

from billow.capabilities.power.ground import Ground
from billow.model.resources import CPU, MEMORY, FloatArray, IntArray


def survives(ground: Ground, deaths: int) -> bool:
    """Return whether the so many largest hosts in use may die together. Changes nothing.

    Largest by the CPU and memory that are reserved on them. What died needs its reservation on a
    host that is open, by every rule; what it uses must fit on average, overload being accepted
    until dead hosts are replaced.
    """
    if not deaths:
        return True
    board = ground.board
    free = ground.draft.free_hosts
    size = np.where(board.count > 0, ground.sold - free[:, CPU] - free[:, MEMORY], -1)
    dead = _largest(size, deaths)
    mark, was_open = ground.mark(), ground.open[dead].copy()
    ground.open[dead] = False
    found = all(_rescued(ground, host) for host in dead)
    ground.open[dead] = was_open
    ground.back(mark)
    return found


def _largest(size: IntArray, count: int) -> list[int]:
    """Return the rows of the so many largest; what is below zero is not there."""
    found: list[int] = []
    while len(found) < count and size[row := int(np.argmax(size))] >= 0:
        found.append(row)
        size[row] = -1
    return found


def _rescued(ground: Ground, host: int) -> bool:
    board = ground.board
    there = board.on(host)
    for instance in there[np.argsort(-board.forecast.mean[there], kind="stable")].tolist():
        good = ground.targets(instance)
        good &= board.mean + board.forecast.mean[instance] <= board.limit
        free = np.where(good, board.limit - board.mean, -np.inf)
        if not _taken(ground, instance, free):
            return False
    return True


def _taken(ground: Ground, instance: int, free: FloatArray) -> bool:
    """Put an instance where most is free; rows of minus infinity are no place for it."""
    while free[host := int(np.argmax(free))] > -np.inf:
        if ground.take(instance, host):
            return True
        free[host] = -np.inf
    return False
