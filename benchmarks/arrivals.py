# SPDX-License-Identifier: Apache-2.0
"""Arrivals: host-hours of a trace of arrivals, placed so that hosts empty together.

Hosts are alike and never run out; nothing is rejected or moved. An instance lives for the middle
of its bin, a censored one for ever; host-hours are hosts with anything on them, from the first to
the last arrival. The learner and the scores are the placement capability's own. A trace is CSV
(gzip or plain) with arrival_s, batch, cores, mem_gb, dur_lo_s, dur_hi_s, censored.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.arrivals_replay import BestFit, Chooser, FirstFit, Result, Together, replay
from benchmarks.arrivals_trace import Trace, read
from benchmarks.figure import Figure, Peer

TRACE = Path(__file__).resolve().parents[2] / "shared/data/azure_v1/azure_v1_dev.csv.gz"
GOAL_HOST_HOURS = 34_000


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add which trace is replayed."""
    parser.add_argument("--trace", type=Path, help="a trace; --json then prints one object")


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Replay a trace three ways, beside the least that any way needs."""
    trace = read(arguments.trace or TRACE)
    if arguments.trace and arguments.json:
        found, first = (replay(trace, each).host_hours for each in (Together(trace), FirstFit()))
        print(json.dumps({"host_hours": round(found, 1), "first_fit_host_hours": round(first, 1)}))
        return
    yield from _compared(trace, goal=None if arguments.trace else GOAL_HOST_HOURS)


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
