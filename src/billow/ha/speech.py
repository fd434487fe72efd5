# SPDX-License-Identifier: Apache-2.0
"""What agents say, as changes of the matrix and as events. No I/O; the receiver's thread alone."""

from dataclasses import dataclass, field, replace
from typing import Final

from billow.ha.event import Event, Kind
from billow.ha.matrix import Matrix
from billow.ha.said import Body, ended, greeted, said
from billow.model.ha.evidence import AgentReport, Network

_MOST_DEATHS: Final = 1000


@dataclass(frozen=True, slots=True)
class Speech:
    """What agents say."""

    matrix: Matrix
    deaths: dict[int, frozenset[tuple[str, float]]] = field(default_factory=dict)

    def greeted(self, row: int, network: Network, body: Body) -> tuple[Event, ...]:
        """Take in who has come. Raises Invalid."""
        known = self._known(row)
        fresh = greeted(known, body)
        if fresh.boot != known.boot:
            fresh = replace(fresh, gasped=False, symptoms=(), guests=())
        self.matrix.tell(row, fresh)
        return (self.event(Kind.CAME, row, network),)

    def said(self, row: int, network: Network, body: Body) -> tuple[Event, ...]:
        """Take in a beat's body; a beat without one changes nothing. Raises Invalid."""
        if not body:
            return ()
        known = self._known(row)
        told = said(known, body)
        gone = ", ".join(self._ended(row, body))
        self.matrix.tell(row, told)
        events = [self.event(Kind.ENDED, row, network, gone)] if gone else []
        if told.symptoms != known.symptoms or told.quarantined != known.quarantined:
            events.append(self.event(Kind.TOLD, row, network))
        return tuple(events)

    def _ended(self, row: int, body: Body) -> list[str]:
        """Return the instances of whose end was not told yet. Raises Invalid."""
        gone, known = ended(body), self.deaths.get(row, frozenset())
        if gone:
            self.deaths[row] = gone if len(known) > _MOST_DEATHS else gone | known
        return sorted(instance for instance, _ in gone - known)

    def gasped(self, row: int, network: Network, body: Body) -> tuple[Event, ...]:
        """Take in a last gasp."""
        known = self._known(row)
        self.matrix.tell(row, replace(known, gasped=True))
        text = str(body.get("text", ""))[:1000]
        return () if known.gasped else (self.event(Kind.GASPED, row, network, text),)

    def event(self, kind: Kind, row: int, network: Network, text: str = "") -> Event:
        """Return an event of now."""
        return Event(kind, self.matrix.name(row), network, self.matrix.now(), text)

    def _known(self, row: int) -> AgentReport:
        """Return what was known of a host, as said now."""
        known, at = self.matrix.told(row), self.matrix.now()
        if known is None:
            return AgentReport(host=self.matrix.name(row), at=at)
        return replace(known, at=at)
