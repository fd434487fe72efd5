# SPDX-License-Identifier: Apache-2.0
"""What this controller heard of every host on every network, and whom it misses.

Written by the receiver's thread alone; `view` and `reports` may be asked by any thread. A
controller that was held up itself doubts itself first: what it could not hear in that time counts
against nobody. This module must not do I/O.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from threading import Lock
from typing import Final

import numpy as np

from billow.ha.event import Event, Kind
from billow.ha.snapshot import Snapshot
from billow.model.ha.evidence import NETWORKS, AgentReport, Hardware, Symptom
from billow.model.ha.view import MOST_CLEAN
from billow.ports import Clock

FIRST_S: Final = 10.0
"""A host that was never heard is missed only so long after it was expected."""
AGENT: Final = "agent"
"""The probe of what is said of an agent itself."""
AWAY_S: Final = 30.0
"""An agent that is restarted is back sooner; who is away for longer wants somebody."""
_COUNT: Final = len(NETWORKS)


class Matrix:
    """Rows are hosts; a cell of the flat arrays is `row * 3 + network`.

    Attributes:
        heard: Per cell, when a beat was heard last, seconds of the monotonic clock.
        beats: Per cell, how many beats were heard.
    """

    def __init__(
        self,
        clock: Clock,
        limit_s: float = 1.0,
        *,
        first_s: float = FIRST_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with nobody.

        Args:
            clock: For people: when things happened.
            limit_s: Who is not heard for so long is missed.
            first_s: The same for who was never heard.
            monotonic: For ages.
        """
        self._clock = clock
        self._limit_s, self._first_s, self._monotonic = limit_s, first_s, monotonic
        self._lock = Lock()
        self._looked, self._woke = monotonic(), -np.inf
        self._rows: dict[str, int] = {}
        self._names: list[str] = []
        self._watched: tuple[str, ...] = ()
        self._watched_rows = np.zeros(0, np.intp)
        self._reports: dict[int, AgentReport] = {}
        self._unclean: set[int] = set()
        self._answered: set[int] = set()
        self.heard, self._since = np.full(0, -np.inf), np.full(0, np.inf)
        self.beats, self._base = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._missed = np.zeros(0, bool)
        self._grow(64)

    def _grow(self, hosts: int) -> None:
        """Make room; cells of hosts that are not there yet are never missed."""
        room = (0, hosts * _COUNT - len(self.heard))
        self.heard = np.pad(self.heard, room, constant_values=-np.inf)
        self._since = np.pad(self._since, room, constant_values=np.inf)
        self.beats, self._base = np.pad(self.beats, room), np.pad(self._base, room)
        self._missed = np.pad(self._missed, room)

    def row(self, host: str) -> int:
        """Return a host's row; a new one is watched from now on, but not yet expected."""
        if (row := self._rows.get(host)) is not None:
            return row
        with self._lock:
            row = len(self._rows)
            if (row + 1) * _COUNT > len(self.heard):
                self._grow(2 * (row + 1))
            self._rows[host] = row
            self._names.append(host)
            cells = slice(row * _COUNT, row * _COUNT + _COUNT)
            self._since[cells] = self._monotonic() + self._first_s - self._limit_s
        return row

    def name(self, row: int) -> str:
        """Return the host of a row."""
        return self._names[row]

    def now(self) -> float:
        """Return seconds since the epoch."""
        return self._clock.now()

    def expect(self, hosts: Iterable[str]) -> None:
        """Watch these hosts, and no others, from now on; in the receiver's thread."""
        watched = tuple(dict.fromkeys(hosts))
        rows = np.array([self.row(host) for host in watched], np.intp)
        with self._lock:
            fresh = set(watched) - set(self._watched)
            for host in fresh:
                cells = slice(self._rows[host] * _COUNT, self._rows[host] * _COUNT + _COUNT)
                floor = self._monotonic() + self._first_s - self._limit_s
                never = np.isneginf(self.heard[cells])
                self._since[cells] = np.where(never, floor, self._since[cells])
            self._watched, self._watched_rows = watched, rows

    def came(self, cell: int, now: float) -> None:
        """Count a host's network as heard, and its silence from now on."""
        self.heard[cell] = self._since[cell] = now

    def answers(self, cell: int, counts: bool) -> None:  # noqa: FBT001 - a value, no switch
        """Know that a host's kernel answered in its agent's place; it may count as if heard."""
        self._answered.add(cell // _COUNT)
        if counts:
            self._since[cell] = max(self._since[cell], self._monotonic())

    def unclean(self, row: int) -> None:
        """Begin to count a host's clean beats anew."""
        cells = slice(row * _COUNT, row * _COUNT + _COUNT)
        self._base[cells] = self.beats[cells]

    def tell(self, row: int, report: AgentReport) -> None:
        """Keep what an agent said last."""
        if report.symptoms or report.gasped:
            self._unclean.add(row)
        else:
            self._unclean.discard(row)
        self._reports[row] = report

    def told(self, row: int) -> AgentReport | None:
        """Return what an agent said last; None when it never said anything."""
        return self._reports.get(row)

    def stalled(self, late_s: float) -> None:
        """Take it on itself that nothing could be heard for a while: it counts against nobody."""
        with self._lock:
            self._since = np.maximum(self._since, self.heard) + late_s
            self._woke = self._monotonic()

    def look(self, now: float) -> list[Event]:
        """Return who is missed from now on, and who no more.

        Everything that had come before `now` must have been heard.
        """
        self._looked = now
        rows = self._watched_rows
        cells = (rows[:, None] * _COUNT + np.arange(_COUNT)).ravel()
        from_s = np.maximum(self.heard[cells], self._since[cells])
        missed = now - from_s > self._limit_s
        changed = np.flatnonzero(missed != self._missed[cells])
        for row in self._unclean:
            self.unclean(row)
        self._missed[cells] = missed
        return [self._event(int(cells[each]), bool(missed[each])) for each in changed]

    def _event(self, cell: int, missed: bool) -> Event:  # noqa: FBT001 - a value, no switch
        row, place = divmod(cell, _COUNT)
        self.unclean(row)
        kind = Kind.MISSED if missed else Kind.BACK
        return Event(kind, self._names[row], NETWORKS[place], self._clock.now())

    def snapshot(self) -> Snapshot:
        """Return what was heard, as of the last look; the ear may be asked at any time."""
        with self._lock:
            hosts, rows = self._watched, self._watched_rows
            looked, woke = self._looked, self._woke
            heard = np.maximum(self.heard, self._since).reshape(-1, _COUNT)[rows]
        return Snapshot(looked, hosts, heard, self.reports(), woke)

    def reports(self) -> Mapping[str, AgentReport]:
        """Return what agents said last, how long they have been well, and who answers without."""
        clean = (self.beats - self._base).reshape(-1, _COUNT).min(axis=1)
        counts = np.clip(clean, 0, MOST_CLEAN).tolist()
        said: dict[str, AgentReport] = {}
        for host in self._watched:
            row = self._rows[host]
            report = self._reports.get(row)
            if report is None:
                continue
            answers = row in self._answered and self._alive(row)
            report = self._with_agent(row, report)
            if report.clean_beats != counts[row] or report.answers != answers:
                report = replace(report, clean_beats=counts[row], answers=answers)
                self._reports[row] = report
            said[host] = report
        return said

    def _with_agent(self, row: int, report: AgentReport) -> AgentReport:
        """Say in a host's report that its agent stays away while its kernel answers, or is back."""
        cells = slice(row * _COUNT, row * _COUNT + _COUNT)
        away_s = self._looked - float(self.heard[cells].max())
        away = AWAY_S < away_s < np.inf and not self._missed[cells].all()
        known = any(each.probe == AGENT for each in report.symptoms)
        if away == known:
            return report
        others = tuple(each for each in report.symptoms if each.probe != AGENT)
        said = "its agent is away, though its kernel answers: start it, for its host is not watched"
        gone = Symptom(AGENT, "", Hardware.SOUND, said, self._clock.now() - away_s)
        report = replace(report, symptoms=(*others, gone) if away else others)
        self._reports[row] = report
        return report

    def _alive(self, row: int) -> bool:
        """Return whether a kernel answered since its host was missed everywhere."""
        cells = slice(row * _COUNT, row * _COUNT + _COUNT)
        if self._missed[cells].all():
            return True
        self._answered.discard(row)
        return False
