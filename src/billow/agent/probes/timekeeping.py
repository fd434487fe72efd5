# SPDX-License-Identifier: Apache-2.0
"""The host's clock: whether it jumped, whether it is disciplined, how far it is off."""

import ctypes
import time
from collections.abc import Iterable, Iterator
from typing import Final

from billow.agent.probes.probe import Probe
from billow.agent.probes.program import found, output
from billow.model.ha.evidence import Hardware, Symptom

JUMP_S: Final = 0.5
JUMP_TOLD_S: Final = 60.0
OFF_S: Final = 0.1
_UNSYNCHRONISED: Final = 5  # TIME_ERROR of adjtimex(2)


class Jumps(Probe):
    """Compares the wall clock with one that nobody sets."""

    name = "clock"
    period_s = 0.5

    def __init__(self) -> None:
        self._offset_s = _offset_s()
        self._jumped: tuple[float, float] | None = None

    def look(self, wall: float) -> Iterable[Symptom]:
        """Return the last jump for a while."""
        offset_s = _offset_s()
        jump_s, self._offset_s = offset_s - self._offset_s, offset_s
        steady = time.monotonic()
        if abs(jump_s) > JUMP_S:
            self._jumped = (steady, jump_s)
        if self._jumped is None or steady - self._jumped[0] > JUMP_TOLD_S:
            return []
        text = f"the clock jumped by {self._jumped[1]:+.1f} s"
        return [Symptom("clock", "jump", Hardware.PREDICTED, text, wall)]


class Discipline(Probe):
    """Asks the kernel, and chrony where it runs."""

    name = "clock-sync"
    period_s = 10.0

    def missing(self) -> str:
        """Return what the host lacks for it: what nobody disciplines cannot be lost."""
        return "" if synchronised() else "nobody disciplines the clock"

    def look(self, wall: float) -> Iterable[Symptom]:
        """Return when the clock is no longer disciplined, or off."""
        if not synchronised():
            text = "the clock is no longer disciplined"
            yield Symptom("clock", "sync", Hardware.PREDICTED, text, wall)
        if chronyc := found("chronyc"):
            yield from judge_chrony(output(chronyc, "-c", "tracking", timeout_s=5), wall)


def judge_chrony(text: str, wall: float) -> Iterator[Symptom]:
    """Yield what `chronyc -c tracking` says; its fifth field is the offset of the clock."""
    words = text.strip().split(",")
    if len(words) < 14:
        return
    if abs(float(words[4])) > OFF_S:
        text = f"the clock is off by more than {OFF_S * 1000:g} ms"
        yield Symptom("clock", "offset", Hardware.PREDICTED, text, wall)
    if words[13] == "Not synchronised":
        text = "chrony has lost its sources"
        yield Symptom("clock", "sources", Hardware.PREDICTED, text, wall)


def synchronised() -> bool:
    """Return whether the kernel holds its clock for disciplined: adjtimex(2), asking only."""
    room = ctypes.create_string_buffer(512)
    state: int = ctypes.CDLL(None).adjtimex(room)
    return state != _UNSYNCHRONISED


def _offset_s() -> float:
    """Return the wall clock less one that nobody sets, seconds."""
    return time.clock_gettime(time.CLOCK_REALTIME) - time.clock_gettime(time.CLOCK_BOOTTIME)
