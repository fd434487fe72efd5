# SPDX-License-Identifier: Apache-2.0
"""The lab on the command line: `python -m labs.libvirt up 3`; README.md beside this says more."""

import argparse
import subprocess
import sys
from pathlib import Path

from labs.libvirt.lab import PEER_URI, Lab, LabError

ROOT = Path("/tmp/billow-libvirt-lab")


def main() -> int:
    """Do what the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m labs.libvirt", description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help=f"its folder ({ROOT})")
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="bring hosts up, and say how Billow reaches them")
    up.add_argument("hosts", type=int, nargs="?", default=3, help="how many (3)")
    verbs.add_parser("down", help="end all hosts, and remove what the lab made")
    inside = verbs.add_parser("exec", help="run a command inside a host")
    inside.add_argument("host")
    inside.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    try:
        return _do(arguments)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1


def _do(arguments: argparse.Namespace) -> int:
    if arguments.verb == "up":
        lab = Lab(arguments.root, arguments.hosts)
        lab.up()
        print(settings_of(lab))
        return 0
    lab = Lab(arguments.root, 9)
    if arguments.verb == "down":
        lab.down()
        return 0
    named = {host.name: host for host in lab.hosts}
    if arguments.host not in named:
        raise LabError(f"no host {arguments.host}; there are {', '.join(named)}")
    command = named[arguments.host].command(*(arguments.command or ["sh"]))
    return subprocess.call(command)


def settings_of(lab: Lab) -> str:
    """Return what to set so that Billow takes the lab as its pool."""
    uris = ", ".join(f'"{host.uri}"' for host in lab.hosts)
    return f"""\
export BILLOW_ENGINE=libvirt
export BILLOW_LIBVIRT_URIS='[{uris}]'
export BILLOW_LIBVIRT_PEER_URI='{PEER_URI}'"""


if __name__ == "__main__":
    sys.exit(main())
