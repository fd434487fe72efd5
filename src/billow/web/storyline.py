# SPDX-License-Identifier: Apache-2.0
"""An incident as a page tells it: what was seen over time, each step, and why it was decided so.

Values in, values out; this module must not ask anybody.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from billow.errors import Invalid
from billow.model.ha.evidence import NETWORKS
from billow.model.ha.explanation import Explanation
from billow.model.ha.incident import Fate, Incident, Phase
from billow.model.ha.response import Deed, StartElsewhere, Tell
from billow.model.ha.step import IncidentStep
from billow.plan.ha.facts import Facts
from billow.plan.ha.record import facts_from_document
from billow.plan.ha.retrace import deciding, row_of
from billow.plan.ha.word import waits

MOST_DEEDS = 6
"""Deeds of a step that are written out."""
STATES = {
    Phase.NOTED: "suspect",
    Phase.MOVING: "intended",
    Phase.WAITING: "suspect",
    Phase.FENCING: "intended",
    Phase.RECOVERING: "intended",
    Phase.QUARANTINE: "paused",
    Phase.CLOSED: "done",
}
"""The colour of each phase."""


@dataclass(frozen=True, slots=True)
class Row:
    """An incident in the list."""

    incident: Incident
    diagnosis: str
    state: str
    started: int

    @property
    def total(self) -> int:
        """How many instances ran on its host."""
        return len(self.incident.victims)


@dataclass(frozen=True, slots=True)
class Moment:
    """One step of a story.

    Attributes:
        after_s: How long after the first step.
        deeds: What was then done, in words.
        by_person: Whether it was a person's word.
    """

    step: IncidentStep
    after_s: float
    deeds: tuple[str, ...]
    by_person: bool
    state: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What was known at one step.

    Attributes:
        lost: Per network, for how long it had been lost; None where it was heard.
    """

    after_s: float
    lost: tuple[float | None, ...]
    power: str
    hardware: str
    shut: str
    row: int


@dataclass(frozen=True, slots=True)
class Story:
    """An incident with all that a page shows of it."""

    row: Row
    advice: str
    moments: tuple[Moment, ...]
    seen: tuple[Seen, ...]
    explanation: Explanation | None
    waits_for_word: bool
    networks: tuple[str, ...] = tuple(NETWORKS)


def row(incident: Incident) -> Row:
    """Return an incident as the list has it."""
    started = sum(1 for each in incident.victims if each.fate is Fate.STARTED)
    return Row(incident, row_of(incident.row).diagnosis, STATES[incident.phase], started)


def story(incident: Incident, steps: Sequence[IncidentStep]) -> Story:
    """Return all that a page shows of an incident. Linear in its steps."""
    decided = deciding(steps)
    return Story(
        row=row(incident),
        advice=row_of(incident.row).advice,
        moments=tuple(_moments(steps)),
        seen=tuple(_seen(steps)),
        explanation=None if decided is None else decided.explanation,
        waits_for_word=waits(incident),
    )


def _moments(steps: Sequence[IncidentStep]) -> Iterator[Moment]:
    for step in steps:
        deeds = tuple(_words(each) for each in step.deeds if not isinstance(each, Tell))
        state = STATES[step.incident.phase]
        yield Moment(step, step.at - steps[0].at, _few(deeds), step.fence == 0, state)


def _few(deeds: tuple[str, ...]) -> tuple[str, ...]:
    """Return deeds as a table has room for them; the instances below have all."""
    return deeds if len(deeds) <= MOST_DEEDS else (*deeds[:2], f"{len(deeds) - 2} more")


def _words(deed: Deed) -> str:
    name = type(deed).__name__
    verb = "".join(f" {each.lower()}" if each.isupper() else each for each in name).strip()
    if isinstance(deed, StartElsewhere):
        return f"{verb}: {deed.instance} on {deed.target}, try {deed.epoch}"
    return verb


def _seen(steps: Sequence[IncidentStep]) -> Iterator[Seen]:
    """Yield what was known at each step, where it was another than at the one before."""
    last: Seen | None = None
    for step in steps:
        try:
            facts, _ = facts_from_document(step.facts)
        except Invalid:
            continue  # a person's word, or a record of another version
        seen = _of(facts, step.at - steps[0].at)
        if last is None or _essence(seen) != _essence(last):
            last = seen
            yield seen


def _of(facts: Facts, after_s: float) -> Seen:
    sight = facts.sight
    lost = tuple(facts.now - sight.lost[each] if each in sight.lost else None for each in NETWORKS)
    hardware = sight.hardware.name.lower()
    return Seen(after_s, lost, sight.power.value, hardware, facts.shut, facts.response.row)


def _essence(seen: Seen) -> tuple[object, ...]:
    lost = tuple(each is None for each in seen.lost)
    return lost, seen.power, seen.hardware, seen.shut, seen.row
