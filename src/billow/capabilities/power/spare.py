# SPDX-License-Identifier: Apache-2.0
"""Whether the largest hosts may die now, and all that is on them finds room on the others."""

import numpy as np

from billow.capabilities.power.ground import Ground


def survives(ground: Ground, deaths: int) -> bool:
    """Return whether the so many largest hosts in use may die together. Changes nothing.

    Largest by the CPU and memory that are reserved on them. What died needs its reservation on a
    host that is open, by every rule; what it uses must fit on average, overload being accepted
    until dead hosts are replaced.
    """
    if not deaths:
        return True
    board, pool = ground.board, ground.pool
    taken = pool.hosts.sellable.sum(axis=1) - ground.draft.free_hosts
    size = np.where(board.count > 0, taken[:, :2].sum(axis=1), -1)
    dead = [row for row in np.argsort(-size, kind="stable")[:deaths].tolist() if size[row] >= 0]
    mark, was_open = ground.mark(), ground.open[dead].copy()
    ground.open[dead] = False
    found = all(_rescued(ground, host) for host in dead)
    ground.open[dead] = was_open
    ground.back(mark)
    return found


def _rescued(ground: Ground, host: int) -> bool:
    board = ground.board
    there = board.on(host)
    for instance in there[np.argsort(-board.forecast.mean[there], kind="stable")].tolist():
        good = ground.targets(instance)
        good &= board.mean + board.forecast.mean[instance] <= board.limit
        free = board.limit - board.mean
        hosts = np.flatnonzero(good)
        order = hosts[np.argsort(-free[hosts], kind="stable")]
        if not any(ground.take(instance, int(target)) for target in order.tolist()):
            return False
    return True
