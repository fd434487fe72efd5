# SPDX-License-Identifier: Apache-2.0
"""Emptying a host: the scheduler of moves beside fixed numbers of moves at once.

First in the simulator (virtual time, seconds on any machine), then with `--guests` real guests of
this machine over shaped links, every other one writing. All rules carry out the same plan with the
same executor, the longest moves first; only who decides when a move goes differs.
"""

import argparse
import asyncio
import math
from collections.abc import Iterator
from statistics import median

from benchmarks.evacuation_qemu import Emptied, open_lab
from benchmarks.evacuation_sim import cases, evacuated_s, fixed
from benchmarks.figure import Figure, Peer
from billow.act.traffic import Traffic

FIXED = (1, 2, 4, 8)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the dice of the simulated pools, and how many real guests over which link."""
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--guests", type=int, default=12, help="0 leaves real guests out")
    parser.add_argument("--mbit", type=float, default=300.0)
    parser.add_argument("--runs", type=int, default=1, help="of real guests; medians of all")


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Yield the times of the scheduler; the goal of each is the best fixed number's."""
    for case in cases(arguments.seed):
        ours, foretold = evacuated_s(case, Traffic)
        others = {most: evacuated_s(case, _fixed(most))[0] for most in FIXED}
        yield from _compared(f"simulated, {case.name}", ours, others)
        yield Figure(f"simulated, {case.name}: foretold over taken", foretold / ours, "x")
    if arguments.guests:
        for whole in (False, True):
            found = asyncio.run(_emptied(arguments, whole=whole))
            yield from _real(arguments, "whole pages" if whole else "a word per page", found)


def _fixed(most: int) -> type[Traffic]:
    class Fixed(Traffic):
        """So many at once."""

        def __init__(self) -> None:
            super().__init__(fixed(most), measures=False)

    return Fixed


def _real(
    arguments: argparse.Namespace, writing: str, found: dict[int, list[Emptied]]
) -> Iterator[Figure]:
    name = f"{arguments.guests} real guests, half of them writing {writing}"
    name += f", {arguments.mbit:g} Mbit/s"
    for most, each in found.items():
        what = f"{most} at once" if most else "scheduler"
        goal = None if most else 0.0
        failed = sum(run.failed for run in each)
        yield Figure(f"{name}: moves that failed, {what}", failed, "moves", goal=goal)
    emptied = {
        most: median(run.seconds for run in each)
        for most, each in found.items()
        if not any(run.failed for run in each)
    }
    yield from _compared(name, emptied.pop(0, math.nan), emptied)
    most_at_once = max(run.most_at_once for run in found[0])
    yield Figure(f"{name}: moves at once, at most", most_at_once, "moves")


async def _emptied(arguments: argparse.Namespace, *, whole: bool) -> dict[int, list[Emptied]]:
    """Return what each fixed number came to, in turn; the scheduler is number 0."""
    found: dict[int, list[Emptied]] = {most: [] for most in (0, *FIXED)}
    mbit, guests = arguments.mbit, arguments.guests
    async with open_lab(mbit) as lab:
        for _ in range(arguments.runs):
            for most, each in found.items():
                traffic = _fixed(most)() if most else Traffic()
                each.append(await lab.emptied(mbit, guests, traffic, whole=whole))
    return found


def _compared(name: str, ours: float, others: dict[int, float]) -> Iterator[Figure]:
    best = min(others, key=lambda most: others[most])
    yield Figure(name, ours, "s", goal=others[best], peer=Peer(f"{best} at once", others[best]))
    for most, seconds in others.items():
        yield Figure(f"{name}: {most} at once", seconds, "s")
