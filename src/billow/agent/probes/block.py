# SPDX-License-Identifier: Apache-2.0
"""Block devices: requests that do not come back, multipaths that have lost a leg."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from billow.agent.probes.probe import Probe
from billow.agent.probes.program import found, output
from billow.model.ha.evidence import Hardware, Symptom

BLOCK: Final = Path("/sys/block")
STALLED_S: Final = 3.0
_WAITING: Final = 8
"""Where in a `stat` file stands how many requests are under way."""
_GIVEN_UP: Final = frozenset({"faulty", "i/o timeout"})
"""What multipathd's own check says of a path that does not work."""
_LEFT_OUT: Final = ("loop", "ram", "zram", "fd", "sr")


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a device has done and is doing.

    Attributes:
        done: Requests that came back, ever.
        waiting: Requests under way.
    """

    done: int
    waiting: int


class Stall(Probe):
    """Devices with requests under way of which none comes back."""

    name = "drive-stall"
    period_s = 0.5

    def __init__(self, folder: Path = BLOCK) -> None:
        self._folder = folder
        self._since: dict[str, tuple[float, int]] = {}

    def missing(self) -> str:
        """Return what the host lacks for it."""
        return "" if read_traffic(self._folder) else "no block devices"

    def look(self, wall: float) -> Iterable[Symptom]:
        """Return each device of which nothing has come back for a while."""
        traffic = read_traffic(self._folder)
        self._since = stalled_since(self._since, traffic, wall)
        for device, (since, _) in self._since.items():
            if wall - since >= STALLED_S:
                text = "requests are under way and none comes back"
                yield Symptom("drive", device, Hardware.HURTING, text, round(since, 3))


class Multipath(Probe):
    """Paths to storage that multipathd has given up."""

    name = "drive-multipath"
    period_s = 5.0

    def missing(self) -> str:
        """Return what the host lacks for it."""
        if not found("multipathd"):
            return "no multipathd"
        return "" if Path("/run/multipathd.pid").exists() else "multipathd does not run"

    def look(self, wall: float) -> Iterable[Symptom]:
        """Return each map that has lost paths."""
        text = output(found("multipathd"), "show", "paths", "raw", "format", "%d %m %t %T")
        return list(judge_multipath(text, wall))


def read_traffic(folder: Path) -> dict[str, Traffic]:
    """Return the traffic of every device below a folder like `/sys/block`."""
    found_now = {}
    for device in sorted(each.name for each in os.scandir(folder)) if folder.exists() else ():
        if device.startswith(_LEFT_OUT):
            continue
        try:
            stat = _read(f"{folder}/{device}/stat").split()
        except OSError:  # it has just gone
            continue
        found_now[device] = Traffic(done_of(stat), int(stat[_WAITING]))
    return found_now


def _read(file: str) -> bytes:
    """Return a small file by as few calls as can be: it is read twice a second."""
    opened = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(opened, 4096)
    finally:
        os.close(opened)


def done_of(stat: list[bytes]) -> int:
    """Return how many requests came back: reads, writes, discards and flushes of a `stat` file."""
    return sum(int(stat[position]) for position in (0, 4, 11, 15) if position < len(stat))


def stalled_since(
    before: dict[str, tuple[float, int]], traffic: dict[str, Traffic], wall: float
) -> dict[str, tuple[float, int]]:
    """Return since when each device has brought back none of its requests, and its count."""
    stalled = {}
    for device, now in traffic.items():
        if now.waiting:
            since, done = before.get(device, (wall, now.done))
            stalled[device] = (since, done) if done == now.done else (wall, now.done)
    return stalled


def judge_multipath(text: str, wall: float) -> Iterator[Symptom]:
    """Yield the maps that lost paths: lines of device, map, state in the kernel and as checked.

    The last may be two words. One whose check is under way (`i/o pending`) works meanwhile.
    """
    paths: dict[str, list[bool]] = {}
    for words in (line.split(maxsplit=3) for line in text.splitlines()):
        if len(words) == 4 and words[1] not in {"[orphan]", "##"}:
            works = words[2] == "active" and words[3].strip() not in _GIVEN_UP
            paths.setdefault(words[1], []).append(works)
    for name, works_of in sorted(paths.items()):
        if not any(works_of):
            yield Symptom("drive", name, Hardware.HURTING, "no path to it is left", wall)
        elif not all(works_of):
            missing = f"{sum(works_of)} of {len(works_of)} paths are left"
            yield Symptom("drive", name, Hardware.PREDICTED, missing, wall)
