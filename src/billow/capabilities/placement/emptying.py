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
    rows = np.fromiter(past.guests, np.int64, len(past.guests))
    host = pool.instances.host[rows].astype(np.int64)
    here = host != NOWHERE
    guests = list(past.guests.values())
    age = np.array([past.now - guest.born_h * 3600.0 for guest in guests])[here]
    survival = past.lifetimes.survival(past.groups[here], np.maximum(age, 0.0))
    batch = np.array([guest.batch for guest in guests], dtype=np.int64)[here]
    empty = emptying(host[here], batch, survival, len(pool.hosts))
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
    lives, which = np.unique(np.stack([host, batch]), axis=1, return_inverse=True)
    longest = np.zeros((lives.shape[1], len(AHEAD)))
    np.maximum.at(longest, which.ravel(), survival)
    empty = np.ones((hosts, len(AHEAD)))
    np.multiply.at(empty, lives[0], 1.0 - longest)
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
