# SPDX-License-Identifier: Apache-2.0
"""What the best mix of several targets is worth on hosts as they are: exact, host by host.

Hosts that have the same left and may hold the same are looked at once; those on which one target
suits at most are only counted.
"""

import numpy as np

from billow.capabilities.defrag.compact import compact_of
from billow.capabilities.defrag.dense import Crowd
from billow.capabilities.defrag.highs import SolverFailed
from billow.capabilities.defrag.program import Effort, solved
from billow.capabilities.defrag.slots import slots_by_host
from billow.model.resources import FloatArray, IntArray

MOST_NODES = 10_000
"""Most nodes of a search tree; hosts do not bind each other, so a few are needed."""
AT_ONCE = 16
"""So many hosts are looked at with one program."""


def mixed_worth(crowd: Crowd) -> float:
    """Return what the best mix of targets is worth on the hosts of a crowd. Raises SolverFailed."""
    still = crowd.still()
    by_host = np.stack(
        [slots_by_host(crowd.pool, target.shape)[crowd.hosts] for target in crowd.targets],
        axis=1,
    )
    alone = (by_host > 0).sum(axis=1) <= 1
    total = float((by_host * crowd.worth[crowd.classes :])[alone].sum())
    several = np.flatnonzero(~alone)
    first, count = _alike(still, several)
    for start in range(0, len(first), AT_ONCE):
        chosen = slice(start, start + AT_ONCE)
        total += float(_best(still.only(first[chosen])) @ count[chosen])
    return total


def _alike(crowd: Crowd, positions: IntArray) -> tuple[IntArray, IntArray]:
    """Return one of each kind of equal hosts, and how many there are of it."""
    if not len(positions):
        return positions, positions
    table = np.concatenate(
        [
            crowd.free[positions],
            crowd.free_nodes[positions].reshape(len(positions), -1),
            crowd.suits[positions],
            crowd.pool.hosts.node_count[crowd.hosts[positions], None],
        ],
        axis=1,
    )
    _, first, count = np.unique(table, axis=0, return_index=True, return_counts=True)
    return positions[first], count.astype(np.int64)


def _best(crowd: Crowd) -> FloatArray:
    """Return what the best mix is worth on each host, `(n,)`."""
    compact = compact_of(crowd)
    found = solved(compact.most_slots(0, np.inf), Effort(np.inf, MOST_NODES))
    if found.values is None:
        raise SolverFailed("no best mix was found")
    worth = np.zeros(len(crowd.hosts))
    np.add.at(worth, compact.host, compact.worth * found.values)
    return worth
