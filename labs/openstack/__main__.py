# SPDX-License-Identifier: Apache-2.0
"""The lab on the command line: `python -m labs.openstack up`; README.md beside this says more."""

import argparse
import os
import sys
from pathlib import Path

from labs.openstack.lab import Lab
from labs.openstack.places import METRICS, VOLUMES, LabError, default_root, laid_out


def main() -> int:
    """Do what the command line says; return the exit code."""
    given = _parser().parse_args()
    try:
        code: int = given.do(given)
    except LabError as error:
        print(f"labs.openstack: {error}", file=sys.stderr)
        return 1
    return code


def _up(given: argparse.Namespace) -> int:
    parts = [part for part in (METRICS, VOLUMES) if getattr(given, part)]
    lab = Lab(laid_out(given.root, given.venv, parts=parts, metal=given.metal))
    lab.up(given.computes, may_install=not given.no_install)
    for step, took_s in lab.took_s.items():
        print(f"{step:20} {took_s:6.1f} s", file=sys.stderr)
    for name, value in lab.environment.items():
        print(f"export {name}={value}")
    return 0


def _down(given: argparse.Namespace) -> int:
    if (given.root / "lab.json").exists():
        Lab.found(given.root).down(wipe=given.wipe)
    return 0


def _check(given: argparse.Namespace) -> int:
    lab = Lab.found(given.root)
    wrong = lab.check()
    for name, why in wrong.items():
        print(f"{name}\t{why}")
    memory = lab.memory_mib()
    if given.memory:
        for name, each_mib in memory.items():
            print(f"{name}\t{each_mib:.0f} MiB")
    alive = lab.computes.alive()
    machines = f", {len(lab.machines.names)} machines of Ironic's" if lab.machines.names else ""
    all_mib = sum(memory.values())
    print(f"{len(alive)} of {len(lab.hosts)} computes{machines}, {all_mib:.0f} MiB in all")
    return 1 if wrong else 0


def _computes(given: argparse.Namespace) -> int:
    lab = Lab.found(given.root)
    if given.verb is None:
        alive, states = lab.computes.alive(), lab.states()
        for host in lab.hosts:
            number = alive.get(host, "-")
            print("\t".join((host, str(number), *states.get(host, ("unknown", "unknown")))))
        for name, (power, state) in lab.machines.states().items():
            print("\t".join((name, "-", power or "unknown", state)))
        return 0
    verbs = {"start": lab.start, "kill": lab.kill, "power-cut": lab.power_cut}
    for host in given.hosts:
        verbs[given.verb](host)
    return 0


def _token(given: argparse.Namespace) -> int:
    print(Lab.found(given.root).client.log_in())
    return 0


def _clouds(given: argparse.Namespace) -> int:
    for name, value in Lab.found(given.root).environment.items():
        print(f"export {name}={value}")
    return 0


def _seed(given: argparse.Namespace) -> int:
    made = Lab.found(given.root).seeding.spread(given.prefix, given.count, given.flavors)
    print(f"{len(made)} servers")
    return 0


def _wipe(given: argparse.Namespace) -> int:
    lab = Lab.found(given.root)
    lab.seeding.wipe()
    lab.machines.restore()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m labs.openstack", description=__doc__)
    told = os.environ.get("BILLOW_OPENSTACK_LAB")
    root = Path(told) if told else default_root()
    parser.add_argument("--root", type=Path, default=root, help="its folder (%(default)s)")
    verbs = parser.add_subparsers(dest="what", required=True)
    up = verbs.add_parser("up", help="bring it up, and say how it is reached")
    up.add_argument("computes", type=int, nargs="?", default=4, help="how many (4)")
    up.add_argument("--venv", type=Path, help="where OpenStack is installed; labs may share it")
    up.add_argument("--volumes", action="store_true", help="with a real Cinder, for good")
    up.add_argument("--metrics", action="store_true", help="with a real Gnocchi, for good")
    up.add_argument("--metal", type=int, default=0, help="machines of a real Ironic, for good (0)")
    up.add_argument("--no-install", action="store_true", help="install no Debian packages")
    down = verbs.add_parser("down", help="end all that it started")
    down.add_argument("--wipe", action="store_true", help="remove its databases and settings, too")
    check = verbs.add_parser("check", help="say what is wrong; 0 when all is well")
    check.add_argument("--memory", action="store_true", help="how much each part takes")
    computes = verbs.add_parser("computes", help="list, start, kill, power-cut hosts")
    computes.add_argument("verb", nargs="?", choices=("start", "kill", "power-cut"))
    computes.add_argument("hosts", nargs="*")
    verbs.add_parser("token", help="print a new token of the administrator")
    verbs.add_parser("clouds", help="print what to set for openstacksdk and Billow")
    seed = verbs.add_parser("seed", help="many servers at once, spread over all hosts")
    seed.add_argument("count", type=int)
    seed.add_argument("--prefix", default="seed-")
    seed.add_argument("--flavors", nargs="+", default=["1c1g"])
    verbs.add_parser("wipe", help="remove every server at once, reset hosts and machines")
    for name, do in (
        *(("up", _up), ("down", _down), ("check", _check), ("computes", _computes)),
        *(("token", _token), ("clouds", _clouds), ("seed", _seed), ("wipe", _wipe)),
    ):
        verbs.choices[name].set_defaults(do=do)
    return parser


if __name__ == "__main__":
    sys.exit(main())
