# SPDX-License-Identifier: Apache-2.0
"""Gray failures: healthy hosts that are ended wrongly, and true deaths that are missed.

Seeded scenarios of a fleet of 16 hosts and three controllers: lost packets, frozen agents, held-up
machines and controllers, deaf and torn observers, restarted switches, wrong clocks, management
controllers of other hosts. In each gray one every host is in truth fine; in each deadly one, one
host dies. `agree`, `sight_of` and `decide` are the product's own; only the environment is a model.

Bounds of "fine": one of three controllers is held up or cut off by nothing; a host's storage path
is lost for less than its grace; an agent is frozen for 8 s at most while its kernel answers; and a
whole machine with its kernel stands still for 0.9 s at most, as nothing tells it from a dead one.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from os import cpu_count
from statistics import median
from time import perf_counter

from benchmarks.figure import Better, Figure
from benchmarks.ha_gray_faults import deadly, gray
from benchmarks.ha_gray_run import Outcome, Trial
from benchmarks.ha_gray_world import World
from billow.model.ha.policy import HaPolicy

_BATCH = 50
_KINDS: dict[str, Callable[[int], World]] = {"gray": gray, "deadly": deadly}


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one seed."""

    seed: int
    outcome: Outcome


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take how many scenarios, and from which seed on."""
    parser.add_argument("--gray", type=int, default=10_000, help="scenarios without a death")
    parser.add_argument("--deaths", type=int, default=1_000, help="scenarios with one")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--workers", type=int, default=cpu_count() or 1)


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Run both kinds and count."""
    began = perf_counter()
    fine = ran("gray", arguments.gray, arguments)
    took_s = perf_counter() - began
    shown("ended wrongly", [each.seed for each in fine if each.outcome.wrong])
    yield Figure(
        f"hosts ended wrongly in {len(fine)} gray scenarios",
        sum(len(each.outcome.wrong) for each in fine),
        "hosts",
        goal=0,
    )
    moved = sum(len(each.outcome.moved) for each in fine)
    yield Figure("hosts emptied live meanwhile (tenant path, flapping)", moved, "hosts")
    asked = sum(each.outcome.asked for each in fine)
    yield Figure("decisions asked for in them", asked, "decisions")
    yield Figure("gray scenarios a second", len(fine) / took_s, "1/s", better=Better.HIGHER)
    yield from deaths(ran("deadly", arguments.deaths, arguments))


def deaths(results: list[Result]) -> Iterator[Figure]:
    """Count the deaths that were missed, and how long the others took."""
    shown("missed", [each.seed for each in results if each.outcome.back_s == float("inf")])
    shown("others ended wrongly", [each.seed for each in results if each.outcome.wrong])
    back = sorted(each.outcome.back_s for each in results)
    missed = back.count(float("inf"))
    yield Figure(f"true deaths missed of {len(results)}", missed, "hosts", goal=0)
    wrong = sum(len(each.outcome.wrong) for each in results)
    yield Figure("other hosts ended wrongly beside a death", wrong, "hosts", goal=0)
    if back:
        yield Figure("death to start elsewhere, median (BMC 1.2-6 s, or none)", median(back), "s")
        yield Figure("death to start elsewhere, p99", back[int(len(back) * 0.99)], "s")


def ran(kind: str, count: int, arguments: argparse.Namespace) -> list[Result]:
    """Return what became of so many seeds, in their order."""
    first = arguments.seed
    starts = range(first, first + count, _BATCH)
    batches = [range(start, min(start + _BATCH, first + count)) for start in starts]
    if arguments.workers == 1:
        return [result for batch in batches for result in batch_of(kind, batch)]
    with ProcessPoolExecutor(arguments.workers) as pool:
        found = pool.map(partial(batch_of, kind), batches)
        return [result for each in found for result in each]


def batch_of(kind: str, seeds: range) -> list[Result]:
    """Run some scenarios in one process."""
    policy = HaPolicy()
    return [Result(seed, Trial(_KINDS[kind](seed), policy).run()) for seed in seeds]


def shown(what: str, seeds: list[int]) -> None:
    """Name the seeds to look at."""
    if seeds:
        print(f"  {what}: seeds {seeds[:20]}", file=sys.stderr)
