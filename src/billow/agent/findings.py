# SPDX-License-Identifier: Apache-2.0
"""What the speaker knows of its host: what the prober found, and what it sees of itself.

The prober says when something last went well, and the speaker takes the age: so a prober that hangs
with its storage is a finding, too. No I/O and no clock here.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from billow.agent.options import Options
from billow.model.ha.evidence import Hardware, Network, Symptom

PROGRESS_EVERY_S: Final = 10.0
LATE_S: Final = 0.5
"""A beat that comes so much too late is a symptom by itself."""
LATE_WINDOW_S: Final = 10.0
LATE_OFTEN: Final = 3
"""So many of them in the window hurt."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Something that must go well again and again.

    Attributes:
        probe: `storage`, `guest`, ... as in a symptom.
        at: When it last went well, by `clock.now`.
        limit_s: When that is longer ago, it is a symptom.
        grade: Of that symptom; SOUND for what never went well yet, as far as the prober knows.
    """

    probe: str
    subject: str
    at: float
    limit_s: float
    grade: Hardware
    text: str
    network: Network | None = None

    @property
    def what(self) -> str:
        """Its name in a beat."""
        return f"{self.probe}/{self.subject}" if self.subject else self.probe


class Findings:
    """All of it."""

    def __init__(self, options: Options) -> None:
        self._window_s = options.window_s
        self._found: tuple[Symptom, ...] = ()
        self._progress: dict[str, Progress] = {}
        self._stale_since: dict[str, float] = {}
        self._late: deque[float] = deque()
        self._late_since = 0.0
        self._served: list[bool] = []
        self._said: tuple[float, frozenset[tuple[str, bool]], dict[str, float]] = (
            0.0,
            frozenset(),
            {},
        )
        self._moment = 0.0

    def take(self, found: dict[str, Any], now: float) -> str:
        """Take what the prober says; return a last gasp's text, empty for none."""
        if "symptoms" in found:
            self._found = tuple(map(symptom_of, found["symptoms"]))
        for entry in found.get("progress", ()):
            self._note(progress_of(entry))
        prober = Progress(
            "agent", "prober", now, self._window_s * 2, Hardware.PREDICTED, "the prober is silent"
        )
        self._progress[prober.what] = prober
        return str(found.get("gasp", ""))

    def _note(self, progress: Progress) -> None:
        """Keep a progress; a prober that was begun anew has not seen yet what went well before."""
        known = self._progress.get(progress.what)
        if known is not None and known.grade > progress.grade is Hardware.SOUND:
            progress = replace(known, at=max(known.at, progress.at))
        self._progress[progress.what] = progress

    def late(self, late_s: float) -> None:
        """Note how much too late a beat came."""
        if late_s > LATE_S:
            self._late.append(self._moment + late_s)

    def served(self, served: list[bool]) -> bool:
        """Note which lines are served; True when that has changed."""
        changed, self._served = served != self._served, served
        return changed

    def progress(self, now: float) -> dict[str, float]:
        """Return the ages to be sent: new ones when one has gone stale or fresh, or at times."""
        state = frozenset(
            (what, now - each.at > each.limit_s) for what, each in self._progress.items()
        )
        said_at, said_state, said = self._said
        if state == said_state and now - said_at < PROGRESS_EVERY_S:
            return said
        ages = {name: round(now - each.at, 1) for name, each in sorted(self._progress.items())}
        self._said = (now, state, ages)
        return ages

    def symptoms(self, now: float, wall: float) -> tuple[Symptom, ...]:
        """Return every symptom there is now."""
        self._moment = now
        return (*self._found, *self._standing(now, wall), *self._own(now, wall))

    def _stale(self, now: float) -> list[Progress]:
        return [each for each in self._progress.values() if now - each.at > each.limit_s]

    def _standing(self, now: float, wall: float) -> Iterator[Symptom]:
        stale = self._stale(now)
        for gone in self._stale_since.keys() - {each.what for each in stale}:
            del self._stale_since[gone]
        for each in stale:
            since = self._stale_since.setdefault(each.what, round(wall - (now - each.at), 3))
            yield Symptom(
                each.probe, each.subject, each.grade, each.text, since, network=each.network
            )

    def _own(self, now: float, wall: float) -> Iterator[Symptom]:
        """Yield what the speaker sees of itself: that it does not get the CPU in time."""
        while self._late and now - self._late[0] > LATE_WINDOW_S:
            self._late.popleft()
        if not self._late:
            self._late_since = 0.0
            return
        self._late_since = self._late_since or round(wall, 3)
        often = len(self._late) >= LATE_OFTEN
        grade = Hardware.HURTING if often else Hardware.PREDICTED
        text = f"beats come more than {LATE_S:g} s late: the agent does not get the CPU"
        yield Symptom("cpu", "agent", grade, text, self._late_since)


def symptom_of(document: dict[str, Any]) -> Symptom:
    """Return the symptom in a JSON document."""
    network = document.get("network")
    return Symptom(
        probe=document["probe"],
        subject=document["subject"],
        grade=Hardware(document["grade"]),
        text=document["text"],
        since=document["since"],
        network=Network(network) if network else None,
        instance=document.get("instance", ""),
    )


def progress_of(document: dict[str, Any]) -> Progress:
    """Return the progress in a JSON document."""
    network = document.get("network")
    progress = Progress(**document)
    return replace(
        progress,
        grade=Hardware(document["grade"]),
        network=Network(network) if network else None,
    )
