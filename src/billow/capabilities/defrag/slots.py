# SPDX-License-Identifier: Apache-2.0
"""How many more instances of a shape fit, and how much of what is free nobody can buy.

Exact and independent of the solver: whole instances into what hosts and their NUMA nodes have left.
"""

from dataclasses import dataclass

import numpy as np

from billow.model.kinds import code_of
from billow.model.pool import Pool
from billow.model.resources import CPU, BoolArray, IntArray
from billow.model.shape import Shape

PLENTY = np.int64(2**40)


@dataclass(frozen=True, slots=True)
class Left:
    """What a pool has left.

    Attributes:
        hosts: `(hosts, RESOURCES)`.
        nodes: `(hosts, nodes, RESOURCES)`.
    """

    hosts: IntArray
    nodes: IntArray


def left_in(pool: Pool) -> Left:
    """Return what a pool has left now."""
    return Left(pool.free, pool.free_nodes)


def slots_by_host(pool: Pool, left: Left, shape: Shape, *, count_memory: bool = True) -> IntArray:
    """Return how many more instances of a shape fit on each host, `(hosts,) int64`.

    A host's nodes and its total are counted apart, and the smaller number holds.
    """
    good = pool.hosts.schedulable & hosts_for(pool, shape)
    total = _times(left.hosts, shape.demand, count_memory=count_memory)
    if shape.numa_nodes:
        by_node = _times(left.nodes, shape.share, count_memory=count_memory)
        by_node = np.where(pool.hosts.present, by_node, 0)
        total = np.minimum(total, _on_nodes(by_node, shape.numa_nodes))
    counted: IntArray = np.where(good, total, 0)
    return counted


def slots(pool: Pool, left: Left, shape: Shape, *, count_memory: bool = True) -> int:
    """Return how many more instances of a shape fit into a pool."""
    return int(slots_by_host(pool, left, shape, count_memory=count_memory).sum())


def fragmentation(pool: Pool, left: Left, shape: Shape, count: int) -> float:
    """Return the share of free CPU that a number of slots leaves over; 0 where nothing is free."""
    free = int(np.maximum(left.hosts[pool.hosts.schedulable, CPU], 0).sum())
    return (free - count * shape.cpu_milli) / free if free else 0.0


def hosts_for(pool: Pool, shape: Shape) -> BoolArray:
    """Return which hosts could ever take a shape, whatever is free, `(hosts,) bool`."""
    hosts = pool.hosts
    good: BoolArray = np.ones(len(hosts), dtype=np.bool_)
    if shape.arch is not None:
        good &= hosts.arch == code_of(shape.arch)
    if shape.traits:
        able = [shape.traits <= traits for traits in hosts.traits.categories]
        good &= np.array(able, dtype=np.bool_)[hosts.traits.codes]
    if shape.dedicated:
        good &= hosts.cpu_ratio <= 1.0
    return good


def _times(free: IntArray, amounts: tuple[int, int, int, int], *, count_memory: bool) -> IntArray:
    times = np.full(free.shape[:-1], PLENTY)
    for resource, amount in enumerate(amounts):
        if amount and (count_memory or resource == CPU):
            times = np.minimum(times, free[..., resource] // amount)
    least: IntArray = np.maximum(times, 0)
    return least


def _on_nodes(by_node: IntArray, width: int) -> IntArray:
    """Return how many instances of `width` nodes each fit, when each node takes so many.

    The most `t` with `sum(min(takes, t)) >= width * t`.
    """
    count = by_node.shape[1]
    if width > count:
        return np.zeros(len(by_node), dtype=np.int64)
    if width == 1:
        summed: IntArray = by_node.sum(axis=1)
        return summed
    ranked = np.sort(by_node, axis=1)[:, ::-1]
    best = np.full(len(by_node), PLENTY)
    for largest in range(width):
        rest = ranked[:, largest:].sum(axis=1) // (width - largest)
        best = np.minimum(best, rest)
    return best
