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
STEPS = (2.5, 3.0, 3.5, 4.0, 4.5, 5.0)
"""How often each CPU is sold, one after the other, until overload or moves are too many."""
TUNED = 0.1
"""A second threshold for the peer: by default (0.2) it seldom moves anything on small hosts."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add where the traces are and how large a host is."""
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the traces")
    parser.add_argument("--only", default="", help="traces whose name holds this")
    parser.add_argument("--planetlab-cpus", type=float, default=5.32, help="CPUs of a host")
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
    """Compare all controllers at twice the capacity, then how far each can go."""
    at_two = {name: _run(trace, cpus, SOLD, name) for name in CONTROLLERS}
    ours, name = at_two["billow"], trace.name
    goal = Better.HIGHER
    yield Figure(f"{name}: CPUs sold per physical one", ours.sold, "", goal=SOLD, better=goal)
    for peer in PEERS:
        theirs = at_two[peer]
        yield Figure(
            f"{name}: overload time beside {peer}",
            100 * ours.over,
            "%",
            100 * MOST_OVER,
            peer=Peer(peer, 100 * theirs.over),
        )
        yield Figure(
            f"{name}: moves per host and day beside {peer}",
            ours.moves,
            "",
            MOST_MOVES,
            peer=Peer(peer, theirs.moves),
        )
    furthest = {who: _furthest(trace, cpus, who, at_two[who]) for who in CONTROLLERS}
    for peer in PEERS:
        yield Figure(
            f"{name}: most sold at <= {MOST_OVER:.1%} overload and {MOST_MOVES:g} moves, "
            f"beside {peer}",
            furthest["billow"].sold,
            "",
            better=Better.HIGHER,
            peer=Peer(peer, furthest[peer].sold),
        )


def _furthest(trace: Trace, cpus: float, name: str, first: Outcome) -> Outcome:
    """Return the last run in which overload and moves were few enough."""
    last = _run(trace, cpus, 1.0, name) if _too_much(first) else first
    for times in () if _too_much(first) else STEPS:
        found = _run(trace, cpus, times, name)
        if _too_much(found):
            break
        last = found
    return last


def _too_much(found: Outcome) -> bool:
    return found.over > MOST_OVER or found.moves > MOST_MOVES


def _run(trace: Trace, cpus: float, times: float, name: str) -> Outcome:
    found = replayed(trace, cpus, times, CONTROLLERS[name]())
    print(
        f"  {trace.name}, {name}: sold {found.sold:.2f} on {found.hosts} hosts, overload "
        f"{found.over:.3%}, over 90 % {found.near:.3%}, moves {found.moves:.2f} per host and day, "
        f"{found.seconds:.1f} s of planning",
        file=sys.stderr,
        flush=True,
    )
    return found


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


CONTROLLERS: dict[str, Callable[[], Controller]] = {
    "billow": _billow,
    "Watcher's rule": Watcher,
    f"Watcher's rule at {TUNED}": lambda: Watcher(TUNED),
    "no moves": lambda: _still,
}
PEERS = tuple(name for name in CONTROLLERS if name != "billow")
