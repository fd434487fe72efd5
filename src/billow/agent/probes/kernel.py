# SPDX-License-Identifier: Apache-2.0
"""The kernel's log, followed as it is written: lockups, hung tasks, I/O errors, panics, GPU codes.

It waits for the next line by itself, so a line is told within milliseconds.
"""

import os
import select
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from billow.agent.probes.kernel_rules import Meaning, Rule, meaning
from billow.agent.probes.probe import Probe
from billow.model.ha.evidence import Hardware, Symptom

KMSG: Final = Path("/dev/kmsg")
_RECORD: Final = 8192
_WAIT_MS: Final = 1000
_DAY_S: Final = 86_400.0


class KernelLog(Probe):
    """Follows /dev/kmsg from its end on."""

    name = "kernel"
    period_s = 0.0

    def __init__(self, path: Path = KMSG) -> None:
        self._path = path
        self._handle = -1
        self._standing: dict[tuple[str, str, Hardware], tuple[Symptom, float]] = {}
        self._counted: dict[tuple[Rule, str], deque[float]] = {}

    def missing(self) -> str:
        """Return what the host lacks for it."""
        try:
            os.close(os.open(self._path, os.O_RDONLY | os.O_NONBLOCK))
        except OSError as error:
            return f"{self._path} cannot be read: {error.strerror}"
        return ""

    def look(self, wall: float) -> Iterable[Symptom]:
        """Wait up to a second for the next lines, and return what stands."""
        if self._handle < 0:
            self._handle = _opened(self._path)
        waiting = select.poll()
        waiting.register(self._handle, select.POLLIN)
        waiting.poll(_WAIT_MS)
        for record in self._records():
            if found := meaning(text_of(record)):
                self._note(found, wall)
        return self._left(wall)

    def _records(self) -> Iterable[str]:
        while True:
            try:
                data = os.read(self._handle, _RECORD)
            except BlockingIOError:
                return
            except BrokenPipeError:  # some were overwritten before they were read
                continue
            if not data:
                return
            yield data.decode(errors="replace")

    def _often(self, found: Meaning, wall: float) -> bool:
        """Count a line; return whether there were as many within a day as mean something."""
        wanted = found.rule.a_day
        seen = self._counted.setdefault((found.rule, found.subject), deque(maxlen=wanted))
        seen.append(wall)
        return len(seen) == wanted and wall - seen[0] <= _DAY_S

    def _note(self, found: Meaning, wall: float) -> None:
        rule = found.rule
        if rule.a_day > 1 and not self._often(found, wall):
            return
        key = (rule.probe, found.subject, rule.grade)
        known = self._standing.get(key)
        since = known[0].since if known else round(wall, 3)
        text = f"the kernel's log: {found.text}"
        symptom = Symptom(rule.probe, found.subject, rule.grade, text, since)
        self._standing[key] = (symptom, wall + rule.holds_s)

    def _left(self, wall: float) -> list[Symptom]:
        for key, (_, until) in list(self._standing.items()):
            if wall > until:
                del self._standing[key]
        return [symptom for symptom, _ in self._standing.values()]


def text_of(record: str) -> str:
    """Return the kernel's message in a record of /dev/kmsg, `6,1234,56789,-;text` and more lines.

    Empty for what a program wrote into the log: only the kernel speaks for the kernel, and a panic
    that anybody could write would be a proof that anybody could forge. Empty as well for the rest
    of a line into which another CPU broke (`c`; `+` in old kernels): it may begin with a name.
    """
    head, _, rest = record.partition(";")
    words = head.split(",")
    from_kernel = words[0].isdecimal() and int(words[0]) >> 3 == 0
    whole = len(words) < 4 or words[3] not in {"c", "+"}
    return rest.split("\n", 1)[0] if from_kernel and whole else ""


def _opened(path: Path) -> int:
    """Open the log at its end; a pipe in its place, which a lab may use, has none."""
    flags = os.O_NONBLOCK | os.O_CLOEXEC
    if path.is_fifo():
        return os.open(path, flags | os.O_RDWR)
    handle = os.open(path, flags | os.O_RDONLY)
    os.lseek(handle, 0, os.SEEK_END)
    return handle
