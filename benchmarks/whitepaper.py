# SPDX-License-Identifier: Apache-2.0
"""The two tables of the carrier's white paper, on its pools rebuilt, with ours beside its "after".

What its words mean, and what had to be assumed, stands in `whitepaper_pools` and `whitepaper_hot`.
The peer of each figure is what the paper reports after its own system had done its work.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

from benchmarks.figure import Better, Figure, Peer
from benchmarks.hotspot_traces import DATA
from benchmarks.whitepaper_hot import RISK, empty_room, sold
from benchmarks.whitepaper_pools import S6_WANTED, pool_s6
from billow.capabilities.defrag import Defrag, DefragPolicy
from billow.model.plan import Finding
from billow.model.policy import Limits
from billow.model.pool import Pool
from billow.model.resources import CPU, MEMORY
from billow.plan.compose import Stamp, compose
from billow.plan.slots import Room, fragmentation

PAPER = {
    "CPU fragmentation": (19.89, 17.08),
    "memory fragmentation": (4.0, 0.393),
    "VMs that fit": (406, 439),
    "VM fragmentation": (8.14, 0.68),
    "CPU allocation at most": (300, float("inf")),
    "memory allocation at most": (100, 150),
    "utilisation": (39.99, 80),
    "allocatable servers": (1476, 2952),
}
"""Before and after, as published; percent but for the counts."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add where the traces are, how many moves may be made and for how long is solved."""
    parser.add_argument("--data", type=Path, default=DATA, help="folder with planetlab/")
    parser.add_argument("--moves", type=int, default=200)
    parser.add_argument("--time-limit", type=float, default=30.0, help="seconds of solving")


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Defragment the one pool, sell the other."""
    yield from _s6(arguments.moves, arguments.time_limit)
    yield from _hot(arguments.data)


def _s6(moves: int, time_limit_s: float) -> Iterator[Figure]:
    before = pool_s6()
    policy = DefragPolicy(shapes={S6_WANTED.name: 1.0}, moves=moves, time_limit_s=time_limit_s)
    proposal = Defrag(monotonic).propose(before, policy)
    plan = compose(before, [proposal], Limits(), Stamp("whitepaper"))
    _say(proposal.findings)
    for name, value in _table(before).items():
        assert abs(value - PAPER[name][0]) < 0.02, f"the pool is not the paper's: {name}"
    for name, value in _table(plan.predicted).items():
        better = Better.HIGHER if name == "VMs that fit" else Better.LOWER
        unit = "VMs" if name == "VMs that fit" else "%"
        yield _row("S6", name, value, unit, better)
    yield Figure("S6: migrations", len(plan.steps), "moves", goal=moves)


def _table(pool: Pool) -> dict[str, float]:
    """Return the rows of the paper's first table for a pool; percent but for the count."""
    room = Room.of(pool)
    fit, most = room.fit(S6_WANTED), room.theoretical(S6_WANTED)
    free, sellable = pool.free.sum(axis=0), pool.hosts.sellable.sum(axis=(0, 1))
    left = [free[CPU] - fit * S6_WANTED.cpu_milli, free[MEMORY] - fit * S6_WANTED.memory_mib]
    return {
        "CPU fragmentation": 100 * float(left[0] / sellable[CPU]),
        "memory fragmentation": 100 * float(left[1] / sellable[MEMORY]),
        "VMs that fit": float(fit),
        "VM fragmentation": 100 * fragmentation(fit, most),
    }


def _hot(folder: Path) -> Iterator[Figure]:
    ours = sold(folder)
    higher = Better.HIGHER
    yield Figure("hot pool: CPU allocation at most, by measured risk", 100 * ours.cpu_ratio, "%")
    yield _row("hot pool", "memory allocation at most", 100 * ours.memory_ratio, "%", higher)
    yield _row("hot pool", "utilisation", 100 * ours.utilisation, "%", higher)
    yield _row("hot pool", "allocatable servers", ours.servers, "servers", higher)
    yield Figure("hot pool: host time short of CPU", 100 * ours.outcome.over, "%", 100 * RISK)
    yield Figure("hot pool: moves per host and day", ours.outcome.moves, "moves")
    yield Figure("hot pool: servers before, by the paper's rule", empty_room(3.0, 1.0), "servers")


def _row(pool: str, name: str, value: float, unit: str, better: Better) -> Figure:
    after = PAPER[name][1]
    return Figure(f"{pool}: {name}", value, unit, after, better, Peer("white paper, after", after))


def _say(findings: tuple[Finding, ...]) -> None:
    for finding in findings:
        print(f"  defrag: {finding.text}", file=sys.stderr)
