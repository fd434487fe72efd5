# SPDX-License-Identifier: Apache-2.0
"""Software RAIDs: how many members they lack, and how many each level can do without."""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from billow.agent.probes.probe import Probe
from billow.model.ha.evidence import Hardware, Symptom

MDSTAT: Final = Path("/proc/mdstat")
SPARED: Final = {"raid4": 1, "raid5": 1, "raid6": 2}
"""So many members these levels can do without; of `raid10` it depends which, else all but one."""
BARE: Final = frozenset({"raid0", "linear"})
"""They can do without none."""
_ARRAY: Final = re.compile(r"^(md\S*) : (\S+) (.*)\n((?:[ \t]+\S.*\n?)*)", re.MULTILINE)
_COUNTS: Final = re.compile(r"\[(\d+)/(\d+)\]")
_CONTAINER: Final = re.compile(r"super external:[^/]")


@dataclass(frozen=True, slots=True)
class Array:
    """A RAID as /proc/mdstat shows it.

    Attributes:
        wanted, there: Members; both 0 for a level without redundancy, which counts none.
        map: One letter for each member, `U` for there and `_` for not; empty where not shown.
        copies: Of each block, for `raid10`.
        near: Whether neighbours hold the copies.
        faulty: Whether a member is marked as failed.
    """

    name: str
    active: bool
    level: str
    wanted: int = 0
    there: int = 0
    map: str = ""
    copies: int = 2
    near: bool = True
    faulty: bool = False


class Raid(Probe):
    """Software RAIDs with a member missing."""

    name = "drive-raid"
    period_s = 5.0

    def __init__(self, file: Path = MDSTAT) -> None:
        self._file = file

    def missing(self) -> str:
        """Return what the host lacks for it."""
        return "" if self._file.exists() else "no software RAID"

    def look(self, wall: float) -> Iterable[Symptom]:
        """Return each RAID that is not whole."""
        return list(judge_mdstat(self._file.read_text(encoding="utf-8"), wall))


def judge_mdstat(text: str, wall: float) -> Iterator[Symptom]:
    """Yield the RAIDs in /proc/mdstat that are not whole."""
    for array in read_mdstat(text):
        missing = f"{array.there} of {array.wanted} members are there"
        if not array.active:
            yield Symptom("drive", array.name, Hardware.HURTING, "the RAID does not work", wall)
        elif dead(array):
            why = f"the RAID has lost data: {missing}" if array.wanted else "a member has failed"
            yield Symptom("drive", array.name, Hardware.HURTING, why, wall)
        elif array.there < array.wanted:
            why = f"the RAID is not whole: {missing}"
            yield Symptom("drive", array.name, Hardware.PREDICTED, why, wall)


def read_mdstat(text: str) -> Iterator[Array]:
    """Yield the RAIDs in /proc/mdstat, without containers: these are never active themselves."""
    for name, state, rest, below in _ARRAY.findall(text):
        if state != "active" and _CONTAINER.search(below):
            continue
        words = (word for word in rest.split() if not word.startswith("("))
        counts = _COUNTS.search(below)
        letters = re.search(r"\[([U_]+)\]", below)
        copies = re.findall(r"(\d+) (near|far|offset)-copies", below)
        yield Array(
            name,
            active=state == "active",
            level=next(words, ""),
            wanted=int(counts[1]) if counts else 0,
            there=int(counts[2]) if counts else 0,
            map=letters[1] if letters else "",
            copies=math.prod(int(count) for count, _ in copies) if copies else 2,
            near=all(where == "near" for _, where in copies),
            faulty="(F)" in rest,
        )


def dead(array: Array) -> bool:
    """Return whether a RAID lacks more members than its level can do without."""
    missing = array.wanted - array.there
    if array.level in BARE:
        return missing > 0 or array.faulty
    if array.level == "raid10":
        return _dead_raid10(array)
    return missing > SPARED.get(array.level, max(0, array.wanted - 1))


def _dead_raid10(array: Array) -> bool:
    """Return whether all copies of a block are gone, as far as the letters tell it.

    Where neighbours hold the copies and these divide the members, each so many neighbours hold
    the same. In any other layout only the number tells: one copy of all needs `wanted / copies`.
    """
    if array.near and array.map and len(array.map) % array.copies == 0:
        starts = range(0, len(array.map), array.copies)
        return any("U" not in array.map[each : each + array.copies] for each in starts)
    return array.there * array.copies < array.wanted
