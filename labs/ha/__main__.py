# SPDX-License-Identifier: Apache-2.0
"""The lab on the command line: `python -m labs.ha up 6`; README.md beside this says more."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from labs.ha import space
from labs.ha.faults import FAULTS, Reach
from labs.ha.lab import Lab
from labs.ha.space import LabError

ROOT = Path(tempfile.gettempdir()) / "billow-ha-lab"


def main() -> int:
    """Do what the command line says; return the exit code."""
    given = _parser().parse_args()
    try:
        code: int = given.do(given)
    except LabError as error:
        print(f"labs.ha: {error}", file=sys.stderr)
        return 1
    return code


def _up(given: argparse.Namespace) -> int:
    adopted = [tuple(each.split("=", 1)) for each in given.adopt]
    lab = Lab.planned(
        given.root, given.hosts, controllers=given.controllers, racks=given.racks, adopted=adopted
    )
    lab.up()
    return _check(given)


def _down(given: argparse.Namespace) -> int:
    if (given.root / "lab.json").exists():
        Lab.found(given.root).down()
    return 0


def _check(given: argparse.Namespace) -> int:
    lab = Lab.found(given.root)
    wrong = lab.check()
    for node in lab.layout.nodes:
        power = "" if lab.powered(node) else "no power; "
        said = wrong.get(node.name, "reaches every network")
        running = " ".join(sorted(lab.started(node)))
        print(f"{node.name}\track {node.rack}\t{node.netns}\t{power}{said}\t{running}")
    return 1 if wrong else 0


def _fault(given: argparse.Namespace) -> int:
    if given.fault is None:
        for name, fault in FAULTS.items():
            print(f"{name}\t{fault.about}")
        return 0
    lab = Lab.found(given.root)
    reach = Reach(
        lab=lab,
        node=lab.node(given.node),
        networks=tuple(given.network),
        amount=given.amount,
        what=given.what,
        peer=lab.node(given.peer) if given.peer else None,
    )
    (FAULTS[given.fault].mend if given.mend else FAULTS[given.fault].begin)(reach)
    return 0


def _exec(given: argparse.Namespace) -> int:
    node = Lab.found(given.root).node(given.node)
    return subprocess.call([*space.within(node.netns), *given.command])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="labs.ha", description="hosts as namespaces")
    parser.add_argument("--root", type=Path, default=ROOT, help=f"the lab's folder ({ROOT})")
    verbs = parser.add_subparsers(required=True)
    up = verbs.add_parser("up", help="make what is missing")
    up.add_argument("hosts", type=int, nargs="?", default=3)
    up.add_argument("--controllers", type=int, default=3)
    up.add_argument("--racks", type=int, default=1)
    up.add_argument("--adopt", nargs="*", default=[], metavar="NAME=NETNS")
    up.set_defaults(do=_up)
    verbs.add_parser("down", help="end and remove all of it").set_defaults(do=_down)
    verbs.add_parser("check", help="say what reaches what").set_defaults(do=_check)
    fault = verbs.add_parser("fault", help="begin or mend a fault; without a name, list them")
    fault.add_argument("fault", nargs="?", choices=FAULTS)
    fault.add_argument("node", nargs="?", default="h1")
    fault.add_argument("--mend", action="store_true")
    fault.add_argument("--network", nargs="*", default=[], choices=[*map(str, Reach.every)])
    fault.add_argument("--amount", type=float, default=None)
    fault.add_argument("--what", default="", help="a process that the lab started; all without")
    fault.add_argument("--peer", default="")
    fault.set_defaults(do=_fault)
    within = verbs.add_parser("exec", help="run a command in a node")
    within.add_argument("node")
    within.add_argument("command", nargs=argparse.REMAINDER)
    within.set_defaults(do=_exec)
    return parser


if __name__ == "__main__":
    sys.exit(main())
