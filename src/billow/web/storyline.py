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
from billow.model.pool import Pool
from billow.plan.ha.facts import Facts
from billow.plan.ha.protocol import EARLY
from billow.plan.ha.record import facts_from_document
from billow.plan.ha.summary import advice_of, affected, deciding, decisive_row, diagnosis_of
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
GATES = {
    "at_once": "hosts at once",
    "canary": "first after a storm",
    "dark": "hosts without power",
    "even": "controllers in step",
    "window": "hosts in a while",
}
"""Gates whose names are no words; the others are called as they are."""


@dataclass(frozen=True, slots=True)
class Row:
    """An incident in the list.

    Attributes:
        number: The row of the decision table that it is about.
        affected: How many instances it is about; None when nobody can say.
    """

    incident: Incident
    number: int
    diagnosis: str
    state: str
    started: int
    affected: int | None

    @property
    def total(self) -> int:
        """How many instances are to be started elsewhere; 0 until proof is sought."""
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
        shut: The gate that held it; empty once proof is sought, as that itself shuts gates.
    """

    after_s: float
    lost: tuple[float | None, ...]
    power: str
    hardware: str
    shut: str
    row: int


@dataclass(frozen=True, slots=True)
class Story:
    """An incident with all that a page shows of it.

    Attributes:
        proof_after_s: From its beginning to the proof; None while there is none.
        run_after_s: From its beginning to the last instance that runs elsewhere; None before.
    """

    row: Row
    advice: str
    moments: tuple[Moment, ...]
    seen: tuple[Seen, ...]
    explanation: Explanation | None
    proof_after_s: float | None
    run_after_s: float | None
    waits_for_word: bool
    networks: tuple[str, ...] = tuple(NETWORKS)


def row(incident: Incident, pool: Pool) -> Row:
    """Return an incident as the list has it; the pool is as it was last seen."""
    started = sum(1 for each in incident.victims if each.fate is Fate.STARTED)
    return Row(
        incident,
        decisive_row(incident).row,
        diagnosis_of(incident),
        STATES[incident.phase],
        started,
        affected(incident, pool),
    )


def story(incident: Incident, pool: Pool, steps: Sequence[IncidentStep]) -> Story:
    """Return all that a page shows of an incident. Linear in its steps."""
    decided = deciding(steps)
    return Story(
        row=row(incident, pool),
        advice=advice_of(incident),
        moments=tuple(_moments(steps)),
        seen=tuple(_seen(steps)),
        explanation=None if decided is None else decided.explanation,
        proof_after_s=None if incident.proof is None else incident.proof.at - incident.opened_at,
        run_after_s=_run_after_s(incident, steps),
        waits_for_word=waits(incident),
    )


def _run_after_s(incident: Incident, steps: Sequence[IncidentStep]) -> float | None:
    """Return after how long the last instance ran elsewhere."""
    if not any(each.fate is Fate.STARTED for each in incident.victims):
        return None
    ended = (each.at for each in steps if each.incident.phase is Phase.QUARANTINE)
    at = next(ended, None)
    return None if at is None else at - incident.opened_at


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
        seen = _of(facts, step.at - steps[0].at, step.incident)
        if last is None or _essence(seen) != _essence(last):
            last = seen
            yield seen


def _of(facts: Facts, after_s: float, incident: Incident) -> Seen:
    sight = facts.sight
    lost = tuple(facts.now - sight.lost[each] if each in sight.lost else None for each in NETWORKS)
    hardware = sight.hardware.name.lower()
    holds = incident.phase in EARLY or incident.held == facts.shut
    shut = facts.shut if holds else ""
    return Seen(after_s, lost, sight.power.value, hardware, shut, facts.response.row)


def _essence(seen: Seen) -> tuple[object, ...]:
    lost = tuple(each is None for each in seen.lost)
    return lost, seen.power, seen.hardware, seen.shut, seen.row
