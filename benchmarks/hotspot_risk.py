# SPDX-License-Identifier: Apache-2.0
"""Risk: what hotspot says of hosts to be short of CPU, and how often they then were.

Nothing moves. Every so many samples each host's chance over the horizon is noted, as hotspot sees
it by default, and the share of that horizon in which more was wanted than the host has. A host that
is short shows less than what is wanted of it, so that what is said of hot hosts is too low.
"""

import argparse
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.figure import Figure, Peer
from benchmarks.hotspot_replay import hosts_for, sensed, start
from benchmarks.hotspot_traces import DATA, Trace, traces
from billow.capabilities.hotspot import HotspotPolicy
from billow.capabilities.hotspot.demand import demands
from billow.model.resources import FloatArray
from billow.plan.forecast import tail

Pairs = FloatArray
"""What was said and what came, `(2, times)`."""
PLANETLAB_CPUS = 5.32
BITBRAINS_CPUS = 32.0
EDGES = (0.0, 0.001, 0.005, 0.05, 1.01)
"""Chances are told apart at the policy's thresholds: cool, between, something moves, hot."""
FIRST = 36
EVERY = 12


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add where the traces are and how often hosts are sold."""
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the traces")
    parser.add_argument("--only", default="", help="traces whose name holds this")
    parser.add_argument("--planetlab-sold", type=float, default=4.5, help="CPUs sold per CPU")
    parser.add_argument("--bitbrains-sold", type=float, default=2.0, help="CPUs sold per CPU")


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Compare what was said with what came, by what was said, chosen and held-out traces apart."""
    found: dict[str, list[Pairs]] = {}
    for trace in traces(arguments.data):
        if arguments.only not in trace.name or trace.name == "bitbrains":  # its halves are there
            continue
        kind = trace.name.split()[0]
        large = kind == "bitbrains"
        times = arguments.bitbrains_sold if large else arguments.planetlab_sold
        cpus = BITBRAINS_CPUS if large else PLANETLAB_CPUS
        pairs = _compared(trace, cpus, hosts_for(trace, cpus, times))
        found.setdefault(f"{kind}{', held out' if trace.held_out else ''}", []).append(pairs)
    for name, parts in sorted(found.items()):
        yield from _by_chance(name, np.concatenate(parts, axis=1))


def _by_chance(name: str, pairs: Pairs) -> Iterator[Figure]:
    said, came = pairs
    for low, high in pairwise(EDGES):
        rows = (said >= low) & (said < high)
        title = f"{name}: overload where a chance of {low:.1%} to {min(high, 1.0):.1%} was seen"
        if rows.any():
            print(f"  {title}: {int(rows.sum())} times", file=sys.stderr, flush=True)
            peer = Peer("the chance that was seen", 100 * float(said[rows].mean()))
            yield Figure(title, 100 * float(came[rows].mean()), "%", peer=peer)


def _compared(trace: Trace, cpus: float, count: int) -> Pairs:
    """Return what was said of each host each time, and what share of the horizon it then was."""
    pool, policy, capacity = start(trace, cpus, count), HotspotPolicy(), 1000 * cpus
    host, wanted = pool.instances.host, np.nan_to_num(trace.wanted)
    totals = np.array([np.bincount(host, column, count) for column in wanted.T])
    given = np.minimum(1.0, capacity / np.maximum(totals, 1e-9))
    seen = np.where(np.isnan(trace.wanted), np.nan, wanted * given.T[host]).astype(np.float32)
    said, came = [], []
    for at in range(FIRST, wanted.shape[1] - policy.horizon_samples, EVERY):
        settled = np.zeros(len(host))
        now = sensed(pool, host, settled, seen[:, : at + 1], 1.0 - given[at][host], moved=0)
        soon, _ = demands(now, policy)[0].depths_of(np.arange(count))
        said.append(tail(soon))
        came.append((totals[at + 1 : at + 1 + policy.horizon_samples] > capacity).mean(axis=0))
    return np.array([np.concatenate(said), np.concatenate(came)])
