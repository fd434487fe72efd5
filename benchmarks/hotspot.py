# SPDX-License-Identifier: Apache-2.0
"""Hot spots: real days replayed with overcommit, beside OpenStack Watcher's rule and no moves.

Every run starts from the same placement, which knows only what instances bought. The hosts are as
few as sell each CPU the wanted number of times; overload is the share of host time in which more
CPU was wanted than the host has. Then each method gets fewer and fewer hosts, by bisection, until
overload or moves are too many. Traces that did not serve to choose a default are "held out".
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.figure import Better, Figure, Peer
from benchmarks.hotspot_replay import Controller, Moves, Outcome, hosts_for, replayed_on
from benchmarks.hotspot_traces import DATA, Trace, traces
from benchmarks.watcher_rule import Choice, Watcher
from billow.capabilities.hotspot import Hotspot, HotspotPolicy
from billow.model.action import Migrate
from billow.model.pool import Pool

SOLD = 2.0
MOST_OVER = 0.005
MOST_MOVES = 5.0
STEP = 0.01
"""The bisection ends when one host more or less, or so much of the pool, is left to find."""
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
        yield from _of_trace(_Runs(trace, cpus))


class _Runs:
    """One trace on hosts of one size; each run is made once."""

    def __init__(self, trace: Trace, cpus: float) -> None:
        self.trace = trace
        self.cpus = cpus
        self.name = f"{trace.name}{', held out' if trace.held_out else ''}"
        self._known: dict[tuple[str, int], Outcome] = {}

    def on(self, count: int, name: str) -> Outcome:
        """Return what comes of a controller on so many hosts."""
        if (name, count) not in self._known:
            self._known[name, count] = self._run(name, count)
        return self._known[name, count]

    def hosts(self, times: float) -> int:
        """Return on how many hosts each CPU is sold so often at least."""
        return hosts_for(self.trace, self.cpus, times)

    def furthest(self, name: str) -> Outcome:
        """Return the run on the fewest hosts where overload and moves are few enough."""
        many = self.hosts(SOLD)
        if self._is_good(many, name):
            few = math.ceil(self._wanted() / (1000 * self.cpus)) - 1
        else:
            few, many = many, self.hosts(1.0)
        while many - few > max(1, int(STEP * many)):
            middle = (few + many) // 2
            if self._is_good(middle, name):
                many = middle
            else:
                few = middle
        return self.on(many, name)

    def _is_good(self, count: int, name: str) -> bool:
        """Return whether overload and moves are few enough; a run that is not ends early."""
        key = name, count
        found = self._known.get(key) or self._run(*key, (MOST_OVER, MOST_MOVES))
        if found.over > MOST_OVER or found.moves > MOST_MOVES:
            return False
        self._known[key] = found
        return True

    def _wanted(self) -> float:
        """Return what all instances want on average: fewer hosts than that cannot do."""
        wanted = self.trace.wanted
        return float(np.nansum(wanted) / wanted.shape[1])

    def _run(
        self, name: str, count: int, give_up: tuple[float, float] = (math.inf, math.inf)
    ) -> Outcome:
        found = replayed_on(self.trace, self.cpus, count, CONTROLLERS[name](), give_up)
        print(
            f"  {self.name}, {name}: sold {found.sold:.2f} on {found.hosts} hosts, overload "
            f"{found.over:.3%}, over 90 % {found.near:.3%}, moves {found.moves:.2f} per host and "
            f"day, {found.seconds:.1f} s of planning",
            file=sys.stderr,
            flush=True,
        )
        return found


def _of_trace(runs: _Runs) -> Iterator[Figure]:
    """Compare all controllers at twice the capacity, how far each gets, and where ours ends."""
    yield from _beside(runs, runs.hosts(SOLD), f"{runs.name}: sold {SOLD:g} times")
    furthest = {who: runs.furthest(who) for who in CONTROLLERS}
    ours = furthest["billow"]
    for peer in PEERS:
        yield Figure(
            f"{runs.name}: most sold at <= {MOST_OVER:.1%} overload and {MOST_MOVES:g} moves, "
            f"beside {peer}",
            ours.sold,
            "",
            SOLD,
            Better.HIGHER,
            Peer(peer, furthest[peer].sold),
        )
    yield from _beside(runs, ours.hosts, f"{runs.name}: at Billow's most")


def _beside(runs: _Runs, count: int, title: str) -> Iterator[Figure]:
    """Yield overload and moves on so many hosts beside each peer's."""
    ours = runs.on(count, "billow")
    for peer in PEERS:
        theirs = runs.on(count, peer)
        tie = ", a tie" if (ours.over, ours.moves) == (theirs.over, theirs.moves) else ""
        over, moves = Peer(peer, 100 * theirs.over), Peer(peer, theirs.moves)
        yield Figure(
            f"{title}, overload time beside {peer}{tie}",
            100 * ours.over,
            "%",
            100 * MOST_OVER,
            peer=over,
        )
        yield Figure(
            f"{title}, moves per host and day beside {peer}{tie}",
            ours.moves,
            "",
            MOST_MOVES,
            peer=moves,
        )


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
    f"Watcher's full search at {TUNED}": lambda: Watcher(TUNED, Choice.FULLSEARCH),
    "no moves": lambda: _still,
}
PEERS = tuple(name for name in CONTROLLERS if name != "billow")
