# SPDX-License-Identifier: Apache-2.0
"""Emptying a host: the scheduler of moves beside fixed numbers of moves at once.

First in the simulator (virtual time, seconds on any machine), then with `--guests` real guests of
this machine over shaped links, every other one writing. All rules carry out the same plan with the
same executor, the longest moves first; only who decides when a move goes differs.
"""

import argparse
import asyncio
from collections.abc import Iterator

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


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Yield the times of the scheduler; the goal of each is the best fixed number's."""
    for case in cases(arguments.seed):
        ours, foretold = evacuated_s(case, Traffic)
        others = {most: evacuated_s(case, _fixed(most))[0] for most in FIXED}
        yield from _compared(f"simulated, {case.name}", ours, others)
        yield Figure(f"simulated, {case.name}: foretold over taken", foretold / ours, "x")
    if arguments.guests:
        yield from _real(arguments.guests, arguments.mbit)


def _fixed(most: int) -> type[Traffic]:
    class Fixed(Traffic):
        """So many at once."""

        def __init__(self) -> None:
            super().__init__(fixed(most), measures=False)

    return Fixed


def _real(guests: int, mbit: float) -> Iterator[Figure]:
    found = asyncio.run(_emptied(guests, mbit))
    name = f"{guests} real guests, half of them writing, {mbit:g} Mbit/s"
    for most, each in found.items():
        what = f"{most} at once" if most else "scheduler"
        goal = None if most else 0.0
        yield Figure(f"{name}: moves that failed, {what}", each.failed, "moves", goal=goal)
    emptied = {most: each.seconds for most, each in found.items() if most and not each.failed}
    yield from _compared(name, found[0].seconds, emptied)
    yield Figure(f"{name}: moves at once, at most", found[0].most_at_once, "moves")


async def _emptied(guests: int, mbit: float) -> dict[int, Emptied]:
    """Return what each fixed number came to; the scheduler is number 0."""
    async with open_lab(mbit) as lab:
        found = {0: await lab.emptied(mbit, guests, Traffic())}
        for most in FIXED:
            found[most] = await lab.emptied(mbit, guests, _fixed(most)())
    return found


def _compared(name: str, ours: float, others: dict[int, float]) -> Iterator[Figure]:
    best = min(others, key=lambda most: others[most])
    yield Figure(name, ours, "s", goal=others[best], peer=Peer(f"{best} at once", others[best]))
    for most, seconds in others.items():
        yield Figure(f"{name}: {most} at once", seconds, "s")
