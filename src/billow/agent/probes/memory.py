# SPDX-License-Identifier: Apache-2.0
"""Memory: what the controllers counted (EDAC), what rasdaemon kept, and pages that are poisoned."""

import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from billow.agent.probes.probe import Probe
from billow.model.ha.evidence import Hardware, Symptom

EDAC: Final = Path("/sys/devices/system/edac/mc")
MEMINFO: Final = Path("/proc/meminfo")
RASDAEMON: Final = Path("/var/lib/rasdaemon/ras-mc_event.db")
CORRECTED_A_DAY: Final = 50
"""As many corrected errors in 24 h take a page out of use in rasdaemon, too."""
_DAY_S: Final = 86_400.0

Counts = dict[str, tuple[int, int]]
"""Controller -> corrected and uncorrected errors."""


class Edac(Probe):
    """The counters of the memory controllers, since the agent began and per day."""

    name = "memory-edac"
    period_s = 5.0

    def __init__(self, folder: Path = EDAC) -> None:
        self._folder = folder
        self._before: tuple[float, Counts] | None = None

    def missing(self) -> str:
        """Return what the host lacks for it."""
        return "" if read_edac(self._folder) else "no memory controller counts errors (EDAC)"

    def look(self, wall: float) -> Iterable[Symptom]:
        """Return what has been counted since a day ago at most."""
        counts = read_edac(self._folder)
        if self._before is None or wall - self._before[0] > _DAY_S:
            self._before = (wall, counts)
        return list(judge_edac(self._before[1], counts, wall))


class Poison(Probe):
    """Pages that the kernel took out of use because their memory is bad."""

    name = "memory-poison"
    period_s = 2.0

    def __init__(self, file: Path = MEMINFO) -> None:
        self._file = file

    def missing(self) -> str:
        """Return what the host lacks for it."""
        text = self._file.read_text(encoding="ascii")
        return "" if poisoned_kib(text) is not None else "the kernel counts no poisoned pages"

    def look(self, wall: float) -> Iterable[Symptom]:
        """Return one symptom while any page is poisoned."""
        kib = poisoned_kib(self._file.read_text(encoding="ascii"))
        if not kib:
            return []
        text = f"{kib} KiB of memory are poisoned (HardwareCorrupted)"
        return [Symptom("memory", "poison", Hardware.PREDICTED, text, wall)]


class Rasdaemon(Probe):
    """What rasdaemon kept of memory errors, for they also count from before the agent began."""

    name = "memory-ras"
    period_s = 30.0

    def __init__(self, file: Path = RASDAEMON) -> None:
        self._file = file

    def missing(self) -> str:
        """Return what the host lacks for it."""
        return "" if self._file.exists() else f"no rasdaemon: there is no {self._file}"

    def look(self, wall: float) -> Iterable[Symptom]:
        """Return what it kept of the last 24 h."""
        return list(judge_ras(read_ras(self._file), wall))


def read_edac(folder: Path) -> Counts:
    """Return the counters below a folder like `/sys/devices/system/edac/mc`."""
    found: Counts = {}
    for controller in sorted(folder.glob("mc[0-9]*")):
        counts = [int((controller / name).read_text()) for name in ("ce_count", "ue_count")]
        found[controller.name] = (counts[0], counts[1])
    return found


def judge_edac(before: Counts, after: Counts, wall: float) -> Iterator[Symptom]:
    """Yield what the difference of two readings means."""
    for controller, (corrected, uncorrected) in after.items():
        old_corrected, old_uncorrected = before.get(controller, (0, 0))
        if uncorrected > old_uncorrected:
            text = "memory errors that could not be corrected"
            yield Symptom("memory", controller, Hardware.HURTING, text, wall)
        elif corrected - old_corrected >= CORRECTED_A_DAY:
            text = f"more than {CORRECTED_A_DAY} corrected memory errors within a day"
            yield Symptom("memory", controller, Hardware.PREDICTED, text, wall)


def poisoned_kib(meminfo: str) -> int | None:
    """Return `HardwareCorrupted` of /proc/meminfo in KiB; None where the kernel has none."""
    match = re.search(r"^HardwareCorrupted:\s+(\d+) kB$", meminfo, re.MULTILINE)
    return int(match.group(1)) if match else None


def read_ras(file: Path) -> list[tuple[str, str, int]]:
    """Return label, type and number of memory errors of the last 24 h in rasdaemon's database.

    Raises OSError when it cannot be read.
    """
    ask = (
        "SELECT label, err_type, SUM(err_count) FROM mc_event"
        " WHERE julianday(substr(timestamp, 1, 19)) > julianday('now', 'localtime', '-1 day')"
        " GROUP BY label, err_type"
    )
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=1)) as database:
            return [
                (str(label), str(kind), int(count)) for label, kind, count in database.execute(ask)
            ]
    except sqlite3.Error as error:
        raise OSError(f"{file}: {error}") from error


def judge_ras(rows: Iterable[tuple[str, str, int]], wall: float) -> Iterator[Symptom]:
    """Yield what rows of label, type and number of errors within a day mean."""
    for label, kind, count in rows:
        subject = f"dimm {label}"
        if kind in {"Uncorrected", "Fatal", "Deferred"}:
            text = "memory errors that could not be corrected within a day"
            yield Symptom("memory", subject, Hardware.HURTING, text, wall)
        elif count >= CORRECTED_A_DAY:
            text = f"more than {CORRECTED_A_DAY} corrected memory errors within a day"
            yield Symptom("memory", subject, Hardware.PREDICTED, text, wall)
