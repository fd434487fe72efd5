# SPDX-License-Identifier: Apache-2.0
"""How long tasks of this host wait for CPU, memory and I/O, by the kernel's own count (PSI)."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from billow.agent.probes.probe import Probe
from billow.model.ha.evidence import Hardware, Symptom

FOLDER: Final = Path("/proc/pressure")
LIMITS: Final = {
    "memory": (20.0, Hardware.HURTING, "every task waits for memory: the host thrashes"),
    "io": (90.0, Hardware.PREDICTED, "every task waits for I/O nearly all the time"),
}
"""Share of the last ten seconds in which all tasks waited, percent. Of the CPU a starved agent says
more: its beats come late."""


class Pressure(Probe):
    """What the kernel counts."""

    name = "pressure"
    period_s = 2.0

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder

    def missing(self) -> str:
        """Return what the host lacks for it."""
        return "" if (self._folder / "memory").exists() else "the kernel counts no pressure (psi=1)"

    def look(self, wall: float) -> Iterable[Symptom]:
        """Return what waits too long."""
        for name, (limit, grade, text) in LIMITS.items():
            if full_percent((self._folder / name).read_text(encoding="ascii")) > limit:
                yield Symptom("pressure", name, grade, text, wall)


def full_percent(text: str) -> float:
    """Return the share of the last 10 s in which all tasks waited, percent: the line `full`."""
    return next(_full(text), 0.0)


def _full(text: str) -> Iterator[float]:
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["full"]:
            yield float(words[1].removeprefix("avg10="))
