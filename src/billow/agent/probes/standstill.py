# SPDX-License-Identifier: Apache-2.0
"""Guests whose process stands still: it is stopped, or waits for I/O that does not come."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from billow.agent.guests import command_of, instance_of, namespace, running
from billow.agent.probes.probe import Probe
from billow.model.ha.evidence import Hardware, Symptom

WAITS_S: Final = 3.0
_TEXTS: Final = {
    "T": "its process is stopped",
    "t": "its process is held by a debugger",
    "D": "its process waits for I/O that does not come",
}


class Standstill(Probe):
    """Looks at the state of each guest's process."""

    name = "guest-process"
    period_s = 1.0

    def __init__(self, net: int | None = None) -> None:
        self._net = namespace() if net is None else net
        self._names: dict[int, str] = {}
        self._since: dict[int, tuple[str, float]] = {}

    def look(self, wall: float) -> Iterable[Symptom]:
        """Return each guest that has stood still for a while."""
        pids = frozenset(running(self._net))
        self._names = {pid: self._names.get(pid) or _name(pid) for pid in pids}
        self._since = {pid: self._begun(pid, state_of(pid), wall) for pid in pids}
        for pid, (state, since) in self._since.items():
            instance = self._names[pid]
            if instance and state in _TEXTS and wall - since >= WAITS_S:
                text = _TEXTS[state]
                yield Symptom(
                    "guest", f"process {pid}", Hardware.HURTING, text, since, instance=instance
                )

    def _begun(self, pid: int, state: str, wall: float) -> tuple[str, float]:
        known = self._since.get(pid)
        return known if known and known[0] == state else (state, wall)


def state_of(pid: int) -> str:
    """Return the letter of a process's state: R, S, D, T, ...; empty when it is gone."""
    with suppress(OSError):
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        return text.rpartition(")")[2].split()[0]
    return ""


def _name(pid: int) -> str:
    return instance_of(command_of(pid))
