# SPDX-License-Identifier: Apache-2.0
"""High availability end to end: hosts die, paths are lost, controllers fail, storms blow."""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from benchmarks import ha_cases, ha_drills, ha_peer
from benchmarks.figure import Better, Figure, Peer

CACHE: Final = Path(__file__).parents[1] / ".cache"
LEASE_S: Final = 10.0
AFTER_S: Final = (1.0, 2.5)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take which parts, and how large."""
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--instances", type=int, default=40, help="on the host that dies")
    parser.add_argument("--case", nargs="*", default=[], help="of the gray cases; all without")


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Yield what each part came to."""
    for name in arguments.only:
        yield from PARTS[name](arguments)


def _death(arguments: argparse.Namespace) -> Iterator[Figure]:
    count: int = arguments.instances
    came = ha_drills.host_death(count, (1.0, 5.0))
    what = f"host death to {count} instances elsewhere, BMC answers in 1-5 s"
    yield Figure(f"{what}, p50", came.median_s, "s", goal=5.0)
    yield Figure(f"{what}, last", came.last_s, "s", goal=10.0)
    yield _doubles("host death", came.doubles)


def _dead_bmc(arguments: argparse.Namespace) -> Iterator[Figure]:
    count: int = arguments.instances
    came = ha_drills.host_and_bmc_death(count, LEASE_S)
    what = f"host and BMC death to {count} instances elsewhere, lease {LEASE_S:g} s, last"
    yield Figure(what, came.last_s, "s", goal=LEASE_S + 5.0)
    yield _doubles("host and BMC death", came.doubles)


def _paths(_: argparse.Namespace) -> Iterator[Figure]:
    came = ha_drills.paths(4)
    what = "storage path lost to instances elsewhere, 10 s grace within"
    yield Figure(what, came.storage.last_s, "s", goal=15.0)
    yield Figure("power orders meanwhile", came.power_orders, "orders", goal=0.0)
    yield Figure("tenant path lost to the first live move", came.move_begins_s, "s", goal=3.0)
    yield Figure("restarts for it", came.restarts, "guests", goal=0.0)
    yield _doubles("lost paths", came.doubles)


def _controllers(_: argparse.Namespace) -> Iterator[Figure]:
    usual_s, doubles = 0.0, []
    for case, came in ha_drills.controller_failures(4, AFTER_S):
        doubles += came.doubles
        if not usual_s:
            usual_s = came.last_s
            yield Figure("host death to 4 instances elsewhere, three controllers", usual_s, "s")
            continue
        added_s = max(0.0, came.last_s - usual_s)
        yield Figure(f"added by the writing controller {case}", added_s, "s", goal=5.0)
    yield _doubles("failing controllers", doubles)


def _storms(_: argparse.Namespace) -> Iterator[Figure]:
    came = ha_drills.storms(hosts=10, beside=2, quiet_s=20.0)
    for storm, struck in came.fenced.items():
        yield Figure(f"instances ended by a storm: {storm}", struck, "instances", goal=0.0)
    yield Figure(f"{came.dead} of 10 hosts dead to all instances elsewhere", came.recovered_s, "s")
    yield _doubles("storms", came.doubles)


def _gray(arguments: argparse.Namespace) -> Iterator[Figure]:
    seen = 0
    cases = ha_cases.run(tuple(arguments.case))
    for case in cases:
        seen += case.seconds <= ha_cases.LIMIT_S
        yield Figure(f"gray: {case.name}", case.seconds, "s", goal=ha_cases.LIMIT_S)
    yield Figure("gray cases in time", seen, "cases", goal=len(cases), better=Better.HIGHER)


def _peer(_: argparse.Namespace) -> Iterator[Figure]:
    came = ha_peer.compared(CACHE)
    peer = Peer("masakari-monitors 22 + Consul, as shipped, to its notification", came.shipped_s)
    yield Figure("host death to the incident", came.ours_s, "s", peer=peer)
    quick = Peer("masakari-monitors 22 asking every second + quick Consul", came.quick_s)
    yield Figure("host death to the incident, once more", came.ours_s, "s", peer=quick)
    what = "healthy hosts given up when one observer loses its storage cable"
    peer = Peer("masakari-monitors 22", came.wrong)
    yield Figure(what, came.ours_wrong, "hosts", goal=0.0, peer=peer)
    peer = Peer("masakari-monitors 22", came.right)
    what, goal, higher = "of six known cases, right", 6.0, Better.HIGHER
    yield Figure(what, came.ours_right, "cases", goal=goal, better=higher, peer=peer)


def _doubles(what: str, found: list[str]) -> Figure:
    return Figure(f"double runs by the auditors: {what}", len(found), "runs", goal=0.0)


PARTS: Final[dict[str, Callable[[argparse.Namespace], Iterator[Figure]]]] = {
    "death": _death,
    "dead-bmc": _dead_bmc,
    "paths": _paths,
    "controllers": _controllers,
    "storms": _storms,
    "gray": _gray,
    "peer": _peer,
}
"""By name, as `--only` takes them."""
