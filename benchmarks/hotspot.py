# SPDX-License-Identifier: Apache-2.0
"""Hot spots: real days replayed with overcommit, beside OpenStack Watcher's rule and no moves.

Every run starts from the same placement, which knows only what instances bought. The hosts are as
few as sell each CPU the wanted number of times; overload is the share of host time in which more
CPU was wanted than the host has.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.figure import Better, Figure, Peer
from benchmarks.hotspot_replay import Controller, Moves, Outcome, replayed
from benchmarks.hotspot_traces import DATA, Trace, traces
from benchmarks.watcher_rule import Watcher
from billow.capabilities.hotspot import Hotspot, HotspotPolicy
from billow.model.action import Migrate
from billow.model.pool import Pool

SOLD = 2.0
MOST_OVER = 0.005
MOST_MOVES = 5.0
STEPS = (2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0)
"""How often each CPU is sold, one after the other, until overload or moves are too many."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add where the traces are and how large a host is."""
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the traces")
    parser.add_argument("--only", default="", help="traces whose name holds this")
    parser.add_argument("--planetlab-cpus", type=float, default=8.0, help="CPUs of a host")
    parser.add_argument("--bitbrains-cpus", type=float, default=32.0, help="CPUs of a host")


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Measure each trace at twice the capacity, and how far it can go."""
    chosen = [trace for trace in traces(arguments.data) if arguments.only in trace.name]
    if not chosen:
        raise SystemExit(f"no trace is called {arguments.only!a}")
    for trace in chosen:
        large = trace.name.startswith("bitbrains")
        cpus = arguments.bitbrains_cpus if large else arguments.planetlab_cpus
        yield from _of_trace(trace, cpus)


def _of_trace(trace: Trace, cpus: float) -> Iterator[Figure]:
    none = _run(trace, cpus, SOLD, "none", lambda: _still)
    ours = _run(trace, cpus, SOLD, "billow", _billow)
    peer = _run(trace, cpus, SOLD, "watcher", Watcher)
    name = trace.name
    yield Figure(
        f"{name}: CPUs sold per physical one", ours.sold, "", goal=SOLD, better=Better.HIGHER
    )
    rule = "Watcher's rule"
    yield Figure(
        f"{name}: overload time", 100 * ours.over, "%", 100 * MOST_OVER, peer=_of(rule, peer.over)
    )
    yield Figure(f"{name}: time over 90 %", 100 * ours.near, "%", peer=_of(rule, peer.near))
    yield Figure(f"{name}: overload time, no moves", 100 * none.over, "%")
    moves = Peer(rule, peer.moves)
    yield Figure(f"{name}: moves per host and day", ours.moves, "", MOST_MOVES, peer=moves)
    yield from _furthest(trace, cpus)


def _furthest(trace: Trace, cpus: float) -> Iterator[Figure]:
    """Measure how often each CPU can be sold before overload or moves are too many."""
    best = {
        name: _limit(trace, cpus, name, made)
        for name, made in (("billow", _billow), ("watcher", Watcher), ("none", lambda: _still))
    }
    for name in ("watcher", "none"):
        yield Figure(
            f"{trace.name}: most CPUs sold at <= {MOST_OVER:.1%} overload, beside {name}",
            best["billow"].sold,
            "",
            better=Better.HIGHER,
            peer=Peer(name, best[name].sold),
        )


def _limit(trace: Trace, cpus: float, name: str, made: Callable[[], Controller]) -> Outcome:
    """Return the last run in which overload and moves were few enough."""
    last = _run(trace, cpus, 1.0, name, made)
    for times in STEPS:
        found = _run(trace, cpus, times, name, made)
        if found.over > MOST_OVER or found.moves > MOST_MOVES:
            break
        last = found
    return last


def _run(
    trace: Trace, cpus: float, times: float, name: str, made: Callable[[], Controller]
) -> Outcome:
    found = replayed(trace, cpus, times, made())
    print(
        f"  {trace.name}, {name}: sold {found.sold:.2f} on {found.hosts} hosts, overload "
        f"{found.over:.3%}, over 90 % {found.near:.3%}, moves {found.moves:.2f} per host and day, "
        f"{found.seconds:.1f} s of planning",
        file=sys.stderr,
    )
    return found


def _of(name: str, share: float) -> Peer:
    return Peer(name, 100 * share)


def _still(_: Pool) -> Moves:
    return ()


def _billow() -> Controller:
    """Return Billow's hotspot with the defaults of its policy."""
    capability, policy = Hotspot(), HotspotPolicy()

    def controller(pool: Pool) -> Moves:
        wanted = capability.propose(pool, policy).actions
        rows, hosts = pool.instances.row, pool.hosts.row
        return [(rows[a.instance], hosts[a.target]) for a in wanted if isinstance(a, Migrate)]

    return controller
