# SPDX-License-Identifier: Apache-2.0
"""Arrivals: host-hours of a trace of arrivals, placed so that hosts empty together.

Hosts are alike and never run out; nothing is rejected. An instance lives for the middle of its bin,
a censored one for ever; host-hours are hosts with anything on them, from the first to the last
arrival. The learner and the scores are the placement capability's own. `host_hours` is placement
alone, which moves nothing; placement with a budget of live migrations is told apart, always with
the number of its moves. A trace is CSV (gzip or plain) with arrival_s, batch, cores, mem_gb,
dur_lo_s, dur_hi_s, censored.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.arrivals_moves import Moving
from benchmarks.arrivals_replay import BestFit, Chooser, FirstFit, Result, Together, replay
from benchmarks.arrivals_trace import Trace, read
from benchmarks.figure import Figure, Peer

TRACE = Path(__file__).resolve().parents[2] / "shared/data/azure_v1/azure_v1_dev.csv.gz"
GOAL_HOST_HOURS = 34_000
MOVES_A_DAY = 300
CURVE = (50, 100, 200, 300, 400)
"""Budgets of moves a day."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add which trace is replayed."""
    parser.add_argument("--trace", type=Path, help="a trace; --json then prints one object")
    parser.add_argument(
        "--moves-a-day", type=int, default=MOVES_A_DAY, help="budget of the variant that moves"
    )
    parser.add_argument("--curve", action="store_true", help=f"replay with {CURVE} moves a day")


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Replay a trace three ways and with moves, beside the least that any way needs."""
    trace = read(arguments.trace or TRACE)
    if arguments.trace and arguments.json:
        print(json.dumps(_single(trace, arguments.moves_a_day)))
        return
    yield from _compared(trace, goal=None if arguments.trace else GOAL_HOST_HOURS)
    for budget in CURVE if arguments.curve else (arguments.moves_a_day,):
        moved = _told(trace, f"{budget} moves a day", Moving(trace, budget))
        yield Figure(f"host-hours, with {budget} moves a day", moved.host_hours, "h")
        yield Figure(f"moves in all, of {budget} a day", moved.moves, "moves")


def _single(trace: Trace, moves_a_day: int) -> dict[str, float]:
    """Return placement alone, first fit, and placement with moves, each under its own name."""
    moved = replay(trace, Moving(trace, moves_a_day))
    return {
        "host_hours": round(replay(trace, Together(trace)).host_hours, 1),
        "first_fit_host_hours": round(replay(trace, FirstFit()).host_hours, 1),
        "host_hours_with_moves": round(moved.host_hours, 1),
        "moves": moved.moves,
        "moves_a_day": moves_a_day,
    }


def _compared(trace: Trace, goal: float | None) -> Iterator[Figure]:
    first = _told(trace, "first fit", FirstFit())
    best = _told(trace, "best fit", BestFit())
    ours = _told(trace, "together", Together(trace))
    name = "host-hours, hosts that empty together"
    yield Figure(name, ours.host_hours, "h", goal=goal, peer=Peer("first fit", first.host_hours))
    yield Figure("host-hours, first fit", first.host_hours, "h")
    yield Figure("host-hours, best fit", best.host_hours, "h")
    yield Figure("host-hours, least possible", ours.floor_host_hours, "h")
    yield Figure(
        "hosts at the peak", ours.peak_hosts, "hosts", peer=Peer("first fit", first.peak_hosts)
    )
    yield Figure("one arrival, mean, CPU", ours.cpu_s / len(trace) * 1e6, "us")


def _told(trace: Trace, name: str, chooser: Chooser) -> Result:
    result = replay(trace, chooser)
    print(f"  {name}: {result.cpu_s:.1f} s of CPU", file=sys.stderr)
    return result
