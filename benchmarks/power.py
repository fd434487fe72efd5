# SPDX-License-Identifier: Apache-2.0
"""Power: days of 1,000 virtual machines on 800 hosts, energy against overload and moves.

Every figure is a whole day, replayed around the capability itself (`Power().propose` at each of its
288 samples); nothing here decides where an instance goes, but for the first placement, which knows
the instances' types and their first sample.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figure import Figure, Peer
from benchmarks.machine import ROOT
from benchmarks.power_control import billow_day, first_placement
from benchmarks.power_peer import peer_day
from benchmarks.power_replay import Day, read

DATA = ROOT.parent / "shared" / "data" / "planetlab"
GOAL_DAY = "20110303"
GOALS = {"kwh": 155.0, "moves": 2000.0, "slatah": 0.015}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take one trace, or the folder of traces."""
    parser.add_argument(
        "--trace", type=Path, help="one day: prints one object (kwh, floor_kwh, moves, slatah)"
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of planetlab_*.csv.gz")


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Yield the figures of every day in the folder; of one trace only its object."""
    if arguments.trace is not None:
        print(json.dumps(answer(read(arguments.trace))), flush=True)
        return
    paths = sorted(arguments.data.glob("planetlab_*.csv*"))
    if not paths:
        raise SystemExit(f"no planetlab_*.csv.gz in {arguments.data}; name their folder by --data")
    for path in paths:
        yield from _of_day(read(path))


def answer(day: Day) -> dict[str, float]:
    """Return what the capability makes of a day."""
    outcome = billow_day(day)
    return {
        "kwh": round(outcome.kwh, 3),
        "floor_kwh": round(day.floor_kwh, 3),
        "moves": outcome.moves,
        "slatah": round(outcome.slatah, 6),
    }


def _of_day(day: Day) -> Iterator[Figure]:
    name = day.name.removeprefix("planetlab_").partition(".")[0]
    goals = GOALS if name == GOAL_DAY else {}
    outcome, peer = billow_day(day), peer_day(day, first_placement(day))
    floor = Peer("every MIPS on full hosts, nothing idle", day.floor_kwh)
    yield Figure(f"{name}: energy", outcome.kwh, "kWh", goals.get("kwh"), peer=floor)
    rule = "LR-MMT, rebuilt from its rules"
    yield Figure(
        f"{name}: energy, beside a published controller",
        outcome.kwh,
        "kWh",
        peer=Peer(rule, peer.kwh),
    )
    yield Figure(
        f"{name}: moves", outcome.moves, "moves", goals.get("moves"), peer=Peer(rule, peer.moves)
    )
    yield Figure(
        f"{name}: overloaded host time",
        outcome.slatah,
        "share",
        goals.get("slatah"),
        peer=Peer(rule, peer.slatah),
    )
