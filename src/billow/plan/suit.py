# SPDX-License-Identifier: Apache-2.0
"""Which hosts could ever take an instance: what it needs and may, whatever is free now."""

import numpy as np

from billow.model.kinds import code_of
from billow.model.pool import Pool
from billow.model.resources import RESOURCES, BoolArray
from billow.plan.draft import Draft
from billow.plan.reach import reach_of


def suits(pool: Pool, instance: int) -> BoolArray:
    """Return which hosts a row may be on by state, arch, CPU, traits and zone: `(hosts,) bool`."""
    hosts, shape = pool.hosts, pool.shapes[pool.instances.shape[instance]]
    good: BoolArray = hosts.schedulable.copy()
    if shape.arch is not None:
        good &= hosts.arch == code_of(shape.arch)
    reach = reach_of(pool)
    reach.narrow(good, reach.code(instance))
    if shape.traits:
        able = [shape.traits <= traits for traits in hosts.traits.categories]
        good &= np.array(able, dtype=np.bool_)[hosts.traits.codes]
    zone = pool.instances.zone[instance]
    if zone:
        good &= hosts.zone.where(zone)
    return good


def roomy(draft: Draft, instance: int) -> BoolArray:
    """Return which hosts have room for an instance (row) in total right now: `(hosts,) bool`."""
    demand = draft.pool.demand[draft.shape[instance]]
    room: BoolArray = np.ones(len(draft.free_hosts), dtype=np.bool_)
    for resource, amount in enumerate(demand.tolist()):  # by column: quicker than along rows
        room &= draft.free_hosts[:, resource] >= amount
    return room


def node_mask(draft: Draft, instance: int, host: int) -> int | None:
    """Return a mask of the first NUMA nodes with room; 0 when it floats, None without room."""
    code = int(draft.shape[instance])
    width = draft.pool.shapes[code].numa_nodes
    if not width:
        return 0
    share = draft.pool.share[code][: len(RESOURCES)]
    fitting = np.flatnonzero((draft.free_nodes[host] >= share).all(axis=1))
    fitting = fitting[fitting < draft.pool.hosts.node_count[host]]
    if len(fitting) < width:
        return None
    return sum(1 << int(node) for node in fitting[:width])
