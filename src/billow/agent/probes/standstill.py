# SPDX-License-Identifier: Apache-2.0
"""Guests whose process stands still: it is stopped, or waits for I/O that does not come."""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from billow.agent.guests import command_of, instance_of, namespace, processes, running
from billow.agent.probes.probe import Probe
from billow.model.ha.evidence import Hardware, Symptom

WAITS_S: Final = 3.0
SEARCHED_EVERY: Final = 3
"""Once in so many looks new guests are searched for: a young one has not stood still for long."""
FORGET_AFTER: Final = 15
"""Once in so many looks the search is among all processes: one becomes a guest after it began."""
_TEXTS: Final = {
    "T": "its process is stopped",
    "t": "its process is held by a debugger",
    "D": "its process waits for I/O that does not come",
}


@dataclass(slots=True)
class _Watched:
    """A guest's process; `stat` is its open file in /proc, which is of no other process ever."""

    instance: str
    stat: int
    state: str = ""
    since: float = 0.0

    def look(self, wall: float) -> bool:
        """See how it stands; return whether it is still there."""
        if (state := _state(self.stat)) != self.state:
            self.state, self.since = state, wall
        return state not in {"", "Z", "X"}


class Standstill(Probe):
    """Looks at the state of each guest's process."""

    name = "guest-process"
    period_s = 1.0

    def __init__(self, net: int | None = None) -> None:
        self._net = namespace() if net is None else net
        self._guests: dict[int, _Watched] = {}
        self._seen: frozenset[int] = frozenset()
        self._looks = 0

    def look(self, wall: float) -> Iterable[Symptom]:
        """Return each guest that has stood still for a while."""
        if self._looks % SEARCHED_EVERY == 0:
            self._search()
        self._looks += 1
        for pid, guest in list(self._guests.items()):
            if not guest.look(wall):
                os.close(self._guests.pop(pid).stat)
            elif guest.instance and guest.state in _TEXTS and wall - guest.since >= WAITS_S:
                what, text = f"process {pid}", _TEXTS[guest.state]
                yield Symptom(
                    "guest", what, Hardware.HURTING, text, guest.since, instance=guest.instance
                )

    def _search(self) -> None:
        """Look for guests among the processes that are new, and among all of them at times."""
        living = processes()
        before = self._seen if self._looks % FORGET_AFTER else frozenset[int]()
        for pid in running(self._net, living - before - self._guests.keys()):
            with suppress(OSError):
                stat = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
                self._guests[pid] = _Watched(instance_of(command_of(pid)), stat)
        self._seen = living


def _state(stat: int) -> str:
    """Return the letter of a process's state: R, S, D, T, ...; empty when it is gone."""
    with suppress(OSError):
        return os.pread(stat, 512, 0).rpartition(b")")[2].split()[0].decode()
    return ""
