# SPDX-License-Identifier: Apache-2.0
"""Faults in the middle of moves: what is lost, doubled or left, as the guests themselves tell."""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from benchmarks.fault_drill import Drill, Result, run
from benchmarks.fault_kinds import Fault, faults
from benchmarks.fault_pool import GUESTS, FaultPool, fault_pool
from benchmarks.figure import Better, Figure
from benchmarks.migration_lab import use_qemu

LATER_S: Final = 0.5
"""A fault strikes at a random fraction of the move, and up to so long after that."""
FETCHING_S: Final = 0.8
"""Post-copy fetches for about so long: what strikes it then begins to count when it does."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take how many moves, by what dice, and which kinds of faults."""
    parser.add_argument("--moves", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--qemu", type=Path, help="folder with another QEMU (labs/qemu)")
    parser.add_argument("--only", default="", help="kinds of faults whose name has this in it")


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Yield what became of the guests."""
    use_qemu(arguments.qemu)
    chosen = [fault for fault in faults() if arguments.only in fault.name]
    results = asyncio.run(_all(chosen, arguments.moves, arguments.seed))
    higher = Better.HIGHER
    yield Figure("moves with a fault", len(results), "moves", arguments.moves, higher)
    for name in ("lost", "doubled", "limits", "left", "memory"):
        hurt = sum(bool(getattr(result.damage, name)) for result in results)
        yield Figure(_TITLES[name], hurt, "moves", goal=0.0)
    limited = sum(result.limited for result in results)
    yield Figure("moves whose vCPUs were limited when the fault struck", limited, "moves")
    ended = sum(result.ended for result in results)
    yield Figure("guests that ended with their host, as told, and started again", ended, "moves")
    for kind in dict.fromkeys(result.drill.fault.name for result in results):
        mine = [result for result in results if result.drill.fault.name == kind]
        hurt = sum(bool(str(result.damage)) for result in mine)
        yield Figure(f"{kind}: moves", len(mine), "moves")
        yield Figure(f"{kind}: of them arrived", sum(each.moved for each in mine), "moves")
        yield Figure(f"{kind}: of them with any damage", hurt, "moves", goal=0.0)


_TITLES: Final = {
    "lost": "guests lost",
    "doubled": "guests doubled",
    "limits": "guests with a limit left behind",
    "left": "moves with something else left behind",
    "memory": "guests with wrong memory",
}


async def _all(chosen: list[Fault], moves: int, seed: int) -> list[Result]:
    async with fault_pool() as pool:
        for guest in GUESTS:
            await pool.boot(guest)
        return [result async for result in drills(pool, chosen, moves, random.Random(seed))]


async def drills(
    pool: FaultPool, chosen: list[Fault], moves: int, dice: random.Random
) -> AsyncIterator[Result]:
    """Strike so many moves, all kinds and all guests in turn; yield what came of each."""
    for number in range(moves):
        fault = chosen[number % len(chosen)]
        guest = fault.guests[number // len(chosen) % len(fault.guests)]
        drill = Drill(
            number=number,
            fault=fault,
            guest=guest,
            fraction=dice.random(),
            after_s=dice.uniform(0.0, FETCHING_S if fault.later else LATER_S),
            chance=dice.random(),
        )
        yield _told(await run(pool, drill, dice))


def _told(result: Result) -> Result:
    print(f"{time.strftime('%H:%M:%S')} {result}", file=sys.stderr, flush=True)
    return result
