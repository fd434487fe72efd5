# SPDX-License-Identifier: Apache-2.0
"""Real CPU use of real instances, five minutes a sample: PlanetLab days and Bitbrains weeks.

Formats and attributions: `README-defrag.md` beside the data. Beloglazov and Buyya (2012) for
PlanetLab; Shen, van Beek and Iosup (CCGrid 2015) for Bitbrains (GWA-T-12).
"""

import csv
import gzip
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.machine import ROOT
from billow.model.resources import FloatArray, IntArray

DATA = ROOT.parent / "shared" / "data"
STEP_S = 300
PLANETLAB_CPUS = (2.5, 2.0, 1.0, 0.5)
"""CloudSim's four types, by the quarter of the name-sorted file."""
CHOSEN_ON = ("20110306", "20110322")
"""PlanetLab days, and the first half of Bitbrains, by which the policy's defaults were chosen."""
DAYS_APART = 5
"""Bitbrains: instances are replayed once for each stretch of so many days, side by side."""


@dataclass(frozen=True, eq=False)
class Trace:
    """What instances wanted.

    Attributes:
        held_out: Whether it was left aside when the defaults of the policy were chosen.
        bought: Thousandths of a CPU, `(instances,) int64`.
        wanted: Likewise, NaN where nothing is known, `(instances, samples)`.
        memory_mib: What each holds, `(instances,) int64`.
    """

    name: str
    bought: IntArray
    wanted: FloatArray
    memory_mib: IntArray
    held_out: bool = False


def traces(folder: Path) -> list[Trace]:
    """Return all that is there. Raises FileNotFoundError that says what is missing."""
    days = sorted((folder / "planetlab").glob("planetlab_*.csv.gz"))
    weeks = sorted((folder / "bitbrains_small").glob("*.csv.gz"))
    if not days or not weeks:
        raise FileNotFoundError(
            f"no planetlab/planetlab_*.csv.gz and bitbrains_small/*.csv.gz in {folder}; "
            "give the folder that holds them with --data"
        )
    whole = [bitbrains(week) for week in weeks]
    return [*map(planetlab, days), *whole, *(half for trace in whole for half in halves(trace))]


def halves(trace: Trace) -> list[Trace]:
    """Cut a trace in the middle of its time: the second half is held out."""
    middle = trace.wanted.shape[1] // 2
    parts = (trace.wanted[:, :middle], trace.wanted[:, middle:])
    return [
        replace(trace, name=f"{trace.name} half {number}", wanted=part, held_out=number > 1)
        for number, part in enumerate(parts, start=1)
    ]


def planetlab(path: Path) -> Trace:
    """Read a day: one line an instance, its name and 288 percentages of what it bought."""
    with gzip.open(path, "rt") as lines:
        percent = np.array([[float(word) for word in line.split(",")[1:]] for line in lines])
    count = len(percent)
    cpus = np.array(PLANETLAB_CPUS)[np.arange(count) * len(PLANETLAB_CPUS) // count]
    bought = (1000 * cpus).astype(np.int64)
    name = path.name.partition(".")[0].replace("_", " ")
    held_out = not any(day in name for day in CHOSEN_ON)
    return Trace(name, bought, percent / 100 * bought[:, None], bought, held_out)


def bitbrains(path: Path) -> Trace:
    """Read rows of `id,t_s,dur_s,cpu_count,cap_mhz,cpu_mhz`.

    A sample is the average of the `dur_s` before `t_s`: so read, the rows of an instance join
    without gaps or overlaps.
    """
    with gzip.open(path, "rt") as lines:
        rows = [row for row in csv.DictReader(lines) if int(row["cpu_count"]) > 0]
    place = {name: number for number, name in enumerate(sorted({row["id"] for row in rows}))}
    length = max(int(row["t_s"]) for row in rows) // STEP_S + 1
    wanted, bought = np.full((len(place), length), np.nan), np.zeros(len(place))
    for row in rows:
        which, at = place[row["id"]], int(row["t_s"]) // STEP_S
        cpus = int(row["cpu_count"])
        held = max(1, int(row["dur_s"]) // STEP_S)
        since = max(0, at - held + 1)
        wanted[which, since : at + 1] = 1000 * cpus * float(row["cpu_mhz"]) / float(row["cap_mhz"])
        bought[which] = 1000 * cpus
    stretch = DAYS_APART * 86_400 // STEP_S
    parts = [wanted[:, at : at + stretch] for at in range(0, length - stretch + 1, stretch)]
    sizes = np.tile(bought, len(parts)).astype(np.int64)
    wanted = np.minimum(np.concatenate(parts), sizes[:, None])
    return Trace("bitbrains", sizes, wanted, sizes)
