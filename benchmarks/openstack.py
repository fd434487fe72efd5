# SPDX-License-Identifier: Apache-2.0
"""OpenStack on a real one (labs/openstack): looks, evacuation, Watcher beside it, first report."""

import argparse
from collections.abc import Iterator
from importlib import import_module
from typing import Final

from benchmarks.figure import Figure

PARTS: Final = ("sense", "evacuation", "watcher", "report")
"""Each is a benchmark of its own, `openstack_PART`, with arguments of its own; O2, O4, O6, O7."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take which parts; each runs with its defaults."""
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS), metavar="PART")


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Yield what each part came to."""
    for part in arguments.only:
        module = import_module(f"benchmarks.openstack_{part}")
        parser = argparse.ArgumentParser()
        module.arguments(parser)
        yield from module.figures(parser.parse_args([]))
