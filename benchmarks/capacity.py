# SPDX-License-Identifier: Apache-2.0
"""Capacity: the whole report and N+k on a large mixed pool, slots against counting one by one."""

import argparse
from collections.abc import Iterator
from time import perf_counter

from benchmarks.figure import Better, Figure, Peer
from benchmarks.mixed_pool import filled
from billow.capabilities.capacity import Capacity, CapacityPolicy
from billow.model.instance import Instance
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.plan.draft import Draft
from billow.plan.slots import Room
from billow.plan.suit import node_mask

_SHAPE = Shape("one-node", 8000, 32_768, numa_nodes=1)
_COUNTED_HOSTS = 200
"""Hosts on which a draft counts one by one; more would only take longer."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the size of the pool."""
    parser.add_argument("--hosts", type=int, default=10_000)
    parser.add_argument("--instances", type=int, default=100_000)


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Yield the times, one run each."""
    pool = filled(arguments.hosts, arguments.instances)
    size = f"{arguments.hosts:,} hosts, {arguments.instances:,} instances"
    for failures in (1, 4):
        started = perf_counter()
        Capacity().report(pool, CapacityPolicy(failures=failures))
        seconds = perf_counter() - started
        yield Figure(f"capacity report, N+{failures}, {size}", seconds, "s", goal=2)
    yield _slots(pool)


def _slots(pool: Pool) -> Figure:
    """Return how quickly slots are counted, beside a draft that lets them in one by one."""
    room = Room.of(pool)
    started = perf_counter()
    counts = room.per_host(_SHAPE)
    rate = int(counts.sum()) / (perf_counter() - started)
    hosts = min(_COUNTED_HOSTS, len(pool.hosts))
    total = int(counts[:hosts].sum())
    grown = pool.with_requests([Instance(f"more{n:06}", _SHAPE) for n in range(total + 1)])
    draft = Draft(grown)
    rows = [grown.instance_row(f"more{n:06}") for n in range(total + 1)]
    started = perf_counter()
    placed = _let_in(draft, rows, [host for host in range(hosts) if room.open[host]])
    seconds = perf_counter() - started
    if placed != total:
        raise AssertionError(f"a draft let {placed} in where {total} were counted")
    peer = Peer(f"a draft, one by one, on {hosts} hosts", placed / seconds)
    return Figure("slots of one shape counted", rate, "1/s", better=Better.HIGHER, peer=peer)


def _let_in(draft: Draft, rows: list[int], hosts: list[int]) -> int:
    """Return how many a draft lets in on some hosts (rows)."""
    placed = 0
    for host in hosts:
        while True:
            mask = node_mask(draft, rows[placed], host)
            if mask is None or not draft.assign(rows[placed], host, mask):
                break
            placed += 1
    return placed
