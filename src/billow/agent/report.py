# SPDX-License-Identifier: Apache-2.0
"""What a beat says besides that the host lives: parts that are sent only when they have changed.

It does no I/O and reads no clock. Each part has a version; a line remembers which it has sent.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import asdict
from typing import Final

from billow.model.ha.evidence import Symptom
from billow.model.ha.wire import MOST_BYTES, packed

MOST_SYMPTOMS: Final = 64
MOST_TEXT: Final = 300
MOST_DEATHS: Final = 32
MOST_DATAGRAM: Final = 100_000
"""So many bytes the prober tells the speaker at once: half of what a socket takes by default."""
REMEMBERED_S: Final = 60.0
"""A guest's death is told for so long, so that a line that was down hears it, too."""


class Report:
    """The parts `symptoms`, `guests`, `died`, `acked`, `progress`."""

    def __init__(self) -> None:
        self._parts: dict[str, object] = {}
        self._versions: dict[str, int] = {}
        self._packed: dict[tuple[str, ...], bytes] = {}
        self._deaths: deque[dict[str, object]] = deque(maxlen=MOST_DEATHS)

    def put(self, name: str, value: object) -> bool:
        """Set a part; True when it is another one than before."""
        if name in self._parts and self._parts[name] == value:
            return False
        self._parts[name] = value
        self._versions[name] = self._versions.get(name, 0) + 1
        self._packed.clear()
        return True

    def symptoms(self, found: Iterable[Symptom]) -> bool:
        """Set the symptoms, the worst first; True when they changed."""
        return self.put("symptoms", documents(found))

    def died(self, instance: str, at: float, text: str) -> None:
        """Note the end of a guest."""
        text = text[:MOST_TEXT]
        self._deaths.append({"instance": instance, "at": round(at, 3), "text": text})
        self.put("died", list(self._deaths))

    def forget(self, wall: float) -> None:
        """Leave out the deaths that everybody must have heard of."""
        if self._deaths and wall - _at(self._deaths[0]) > REMEMBERED_S:
            self._deaths.popleft()
            self.put("died", list(self._deaths))

    def body(self, seen: dict[str, int]) -> bytes:
        """Return what has changed since `seen`, which is brought up to date; empty for nothing.

        What does not fit into one frame goes with the next; of a part that fits into none, a part.
        """
        news = tuple(name for name, version in self._versions.items() if seen.get(name) != version)
        if not news:
            return b""
        body, taken = self._fitting(news)
        seen.update({name: self._versions[name] for name in taken})
        return body

    def _fitting(self, news: tuple[str, ...]) -> tuple[bytes, tuple[str, ...]]:
        while True:
            if news not in self._packed:
                parts = {name: self._parts[name] for name in news}
                self._packed[news] = packed(parts) if len(news) > 1 else fitted(parts, MOST_BYTES)
            if len(self._packed[news]) <= MOST_BYTES:
                return self._packed[news], news
            news = news[:-1]


def documents(found: Iterable[Symptom]) -> list[dict[str, object]]:
    """Return the worst symptoms as JSON documents, the worst first, with bounded texts."""
    ordered = sorted(found, key=lambda each: (-each.grade, each.probe, each.subject))
    return [_document(each) for each in ordered[:MOST_SYMPTOMS]]


def fitted(parts: dict[str, object], most_bytes: int) -> bytes:
    """Return parts packed; the longest is halved, from its end, until all of them fit."""
    while len(data := packed(parts)) > most_bytes:
        longest = max(parts, key=lambda name: len(packed({name: parts[name]})))
        parts = {**parts, longest: _halved(parts[longest])}
    return data


def matrix(ages: Iterable[tuple[str, str, float]]) -> dict[str, dict[str, float]]:
    """Return controller -> network -> seconds since the last acknowledged send; -1 for never."""
    found: dict[str, dict[str, float]] = {}
    for controller, network, age_s in ages:
        found.setdefault(controller, {})[network] = round(age_s, 2)
    return found


def _document(symptom: Symptom) -> dict[str, object]:
    bounded = {name: getattr(symptom, name)[:MOST_TEXT] for name in ("subject", "text")}
    return asdict(symptom) | {"grade": int(symptom.grade), **bounded}


def _halved(value: object) -> object:
    """Return the first half of a list or of a mapping; nothing of what has no halves."""
    if isinstance(value, list):
        return value[: len(value) // 2]
    if isinstance(value, dict):
        return dict(list(value.items())[: len(value) // 2])
    return None


def _at(death: dict[str, object]) -> float:
    at = death["at"]
    return at if isinstance(at, float) else 0.0
