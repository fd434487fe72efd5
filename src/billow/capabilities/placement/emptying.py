# SPDX-License-Identifier: Apache-2.0
"""When hosts are expected to be empty, and which of them is worth emptying by moves.

A host that is emptied gives back what is idle on it for as long as it would have stayed in use, and
costs a move for each instance on it.
"""

import numpy as np

from billow.capabilities.placement.lifetimes import AHEAD, expected_s
from billow.capabilities.placement.past import Past
from billow.model.instances import NOWHERE
from billow.model.pool import Pool
from billow.model.resources import FloatArray, IntArray


def expected_emptying(pool: Pool, past: Past) -> FloatArray:
    """Return the chance that each host of a pool is empty at each time ahead: `(hosts, ahead)`.

    A host with an instance of unknown age is taken to stay; rows of hosts without instances are
    NaN. Linear in instances.
    """
    host = pool.instances.host[past.rows].astype(np.int64)
    here = host != NOWHERE
    age = np.maximum(past.now - past.born[here], 0.0)
    survival = past.lifetimes.survival(past.groups[here], age)
    empty = emptying(host[here], past.batch[here], survival, len(pool.hosts))
    there = pool.instances.host[pool.instances.host != NOWHERE]
    count = np.bincount(there, minlength=len(pool.hosts))
    known = np.bincount(host[here], minlength=len(pool.hosts))
    empty[known < count] = 0.0
    empty[count == 0] = np.nan
    return empty


def emptying(host: IntArray, batch: IntArray, survival: FloatArray, hosts: int) -> FloatArray:
    """Return the chance that each host is empty at each time ahead: `(hosts, ahead)`.

    Instances of one batch on one host count as one life: they mostly end together.

    Args:
        host: Of each instance (row), `(instances,) int64`.
        batch: Of each instance, `(instances,) int64`.
        survival: Of each instance at its age, `(instances, ahead) float64`.
        hosts: How many hosts there are; one without instances is empty.
    """
    empty = np.ones((hosts, len(AHEAD)))
    if not len(host):
        return empty
    order = np.lexsort((batch, host))
    host, batch = host[order], batch[order]
    new = np.concatenate([[True], (host[1:] != host[:-1]) | (batch[1:] != batch[:-1])])
    lives = np.flatnonzero(new)
    stays = 1.0 - np.maximum.reduceat(survival[order], lives, axis=0)
    there = np.flatnonzero(np.diff(host[lives], prepend=-1))
    empty[host[lives][there]] = np.multiply.reduceat(stays, there, axis=0)
    return empty


def price(count: IntArray, idle: FloatArray, empty: FloatArray) -> FloatArray:
    """Return moves per idle hour that emptying each host gives back, lower is better, `(hosts,)`.

    Infinite for hosts that have nothing on them or nothing idle.

    Args:
        count: Instances on each host, `(hosts,) int64`.
        idle: Share of each host that is idle, `(hosts,) float64`.
        empty: Chance that it is empty at each time ahead, `(hosts, ahead) float64`.
    """
    given = np.maximum(idle, 0.0) * expected_s(1.0 - empty) / 3600.0
    cost = np.full(len(count), np.inf)
    np.divide(count, given, out=cost, where=(count > 0) & (given > 0))
    return cost
