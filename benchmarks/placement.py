# SPDX-License-Identifier: Apache-2.0
"""Placement: one request and a batch of mixed ones, on 10,000 hosts with 100,000 instances."""

import argparse
import gc
import time
from collections.abc import Iterator, Sequence
from random import Random

from benchmarks.figure import Better, Figure, Peer
from benchmarks.filter_loop import FilterLoop
from benchmarks.mixed_pool import asked, filled
from billow.capabilities.placement.plan import Placement, why_not
from billow.capabilities.placement.policy import PlacementPolicy, Strategy
from billow.model.instance import Instance
from billow.model.plan import Plan
from billow.model.policy import Limits
from billow.model.pool import Pool
from billow.plan.compose import Stamp, compose

PEER_SAMPLE = 60
"""Requests of the batch that the peer places; it takes tens of milliseconds for each."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add how large the pool is."""
    parser.add_argument("--hosts", type=int, default=10_000)
    parser.add_argument("--instances", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=10_000)
    parser.add_argument("--single", type=int, default=300, help="requests made one by one")


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Measure placements of one request and of a batch."""
    pool, requests = asked(
        filled(arguments.hosts, arguments.instances), arguments.batch, "b", Random(2)
    )
    _ = pool.digest, pool.free, pool.free_nodes  # what a sensed pool already knows of itself
    peer_times = _peer(pool, requests[: min(PEER_SAMPLE, len(requests))])
    gc.collect()
    gc.freeze()  # as `serve` does: what was there before the work is not looked at again
    yield from _single(pool, requests[: arguments.single], peer_times)
    yield from _batches(pool, requests, peer_times)
    yield _refusal(pool, requests[0])


def _single(
    pool: Pool, requests: Sequence[Instance], peer_times: Sequence[float]
) -> Iterator[Figure]:
    times = []
    for request in requests:
        started = time.perf_counter()
        plan = _plan(pool, [request])
        times.append(time.perf_counter() - started)
        assert len(plan.steps) == 1, plan.rejections
    peer = "filter loop over host objects, placement only"
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        yield Figure(
            f"one request to a plan, {name}",
            1000 * _quantile(times, share),
            "ms",
            goal=10 if name == "p99" else None,
            peer=Peer(f"{peer}, {name}", 1000 * _quantile(peer_times, share)),
        )


def _batches(
    pool: Pool, requests: Sequence[Instance], peer_times: Sequence[float]
) -> Iterator[Figure]:
    grown = pool.with_requests(requests)
    peer = Peer("filter loop over host objects", len(peer_times) / sum(peer_times))
    for strategy in Strategy:
        policy = PlacementPolicy(strategy=strategy)
        times = []
        for _ in range(3):
            started = time.perf_counter()
            proposal = Placement().propose(grown, policy)
            times.append(time.perf_counter() - started)
            assert not proposal.rejections, proposal.rejections[0]
        yield Figure(
            f"mixed batch, {strategy}, median of 3",
            len(requests) / _quantile(times, 0.5),
            "placements/s",
            goal=20_000,
            better=Better.HIGHER,
            peer=peer,
        )
    started = time.perf_counter()
    plan = _plan(pool, requests)
    assert len(plan.steps) == len(requests), plan.rejections[0]
    yield Figure(
        "mixed batch to a composed, ordered and checked plan, one run",
        len(requests) / (time.perf_counter() - started),
        "placements/s",
        better=Better.HIGHER,
    )


def _refusal(pool: Pool, request: Instance) -> Figure:
    """Measure how long it takes to say what rules out which hosts."""
    times = []
    for _ in range(9):
        started = time.perf_counter()
        why_not(pool, request, PlacementPolicy())
        times.append(time.perf_counter() - started)
    return Figure("why-not over all hosts, median of 9", 1000 * _quantile(times, 0.5), "ms")


def _plan(pool: Pool, requests: Sequence[Instance]) -> Plan:
    """Go the whole way that a request takes in the planner."""
    grown = pool.with_requests(requests)
    proposal = Placement().propose(grown, PlacementPolicy())
    return compose(pool, [proposal], Limits(), Stamp("p"), grown)


def _peer(pool: Pool, requests: Sequence[Instance]) -> list[float]:
    loop = FilterLoop(pool)
    times = []
    for request in requests:
        started = time.perf_counter()
        assert loop.place(request) is not None
        times.append(time.perf_counter() - started)
    return times


def _quantile(times: Sequence[float], share: float) -> float:
    """Return the value that so much of the measurements do not exceed."""
    ranked = sorted(times)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]
