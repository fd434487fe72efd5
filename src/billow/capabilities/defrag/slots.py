# SPDX-License-Identifier: Apache-2.0
"""What defragmentation counts: slots as `plan.slots` counts them, memory left out where asked."""

from dataclasses import replace

import numpy as np

from billow.model.pool import Pool
from billow.model.resources import CPU, IntArray
from billow.model.shape import Shape
from billow.plan.slots import Room


def slots_by_host(pool: Pool, shape: Shape, *, count_memory: bool = True) -> IntArray:
    """Return how many more instances of a shape fit on each host, `(hosts,) int64`."""
    counted = shape if count_memory else replace(shape, memory_mib=0)
    return Room.of(pool).per_host(counted)


def slots(pool: Pool, shape: Shape, *, count_memory: bool = True) -> int:
    """Return how many more instances of a shape fit into a pool."""
    return int(slots_by_host(pool, shape, count_memory=count_memory).sum())


def fragmentation(pool: Pool, shape: Shape, count: int) -> float:
    """Return the share of free CPU that a number of slots leaves over; 0 where nothing is free."""
    free = int(np.maximum(pool.free[pool.hosts.schedulable, CPU], 0).sum())
    return (free - count * shape.cpu_milli) / free if free else 0.0
