# SPDX-License-Identifier: Apache-2.0
"""What the API answers about failures of hosts: schemas, and the documents made for them."""

from collections.abc import Sequence

from pydantic import Field

from billow.api.answers import Answer, Paged, Seconds
from billow.model.document import Document, written
from billow.model.ha.alarm import Alarm
from billow.model.ha.care import Drill, Maintenance, Reach
from billow.model.ha.document import incident_document, step_document
from billow.model.ha.evidence import Network
from billow.model.ha.incident import Fate, Incident, Method, Phase, Recovery
from billow.model.ha.response import Severity
from billow.model.ha.status import Readiness, Status
from billow.model.ha.step import IncidentStep
from billow.model.pool import Pool
from billow.plan.ha.summary import advice_of, affected, deciding, decisive_row, diagnosis_of
from billow.plan.ha.word import waits


class ProofDocument(Answer):
    """That nothing of a host runs any more, and how that is known."""

    method: Method
    at: Seconds
    text: str


class VictimDocument(Answer):
    """An instance that ran on a failed host."""

    instance: str
    band: int = Field(description="Lower bands start first.")
    fate: Fate
    target: str
    epoch: int = Field(description="Rises with each try to start it.")
    began_at: Seconds
    why: str


class AttemptDocument(Answer):
    """One try to get a proof."""

    method: Method
    began_at: Seconds
    over: Network | None = Field(description="On which network its agent was asked.")
    failed: str = Field(description="Why it gave no proof; empty while it is under way.")


class IncidentRow(Answer):
    """A failure of a host in the list."""

    id: str
    host: str
    phase: Phase
    row: int = Field(description="The row of the decision table that it stands under.")
    decisive_row: int = Field(
        description="The row that it is about: `row`, or the worst once its host is well again."
    )
    diagnosis: str
    recovery: Recovery
    held: str = Field(description="Why it does not go on by itself; empty when it does.")
    waits_for_word: bool = Field(description="Whether a person's word would make it go on.")
    opened_at: Seconds
    closed_at: Seconds
    proof: ProofDocument | None
    instances: int = Field(description="Instances to be started elsewhere, once proof is sought.")
    affected: int | None = Field(
        description="Instances that it is about: until proof is sought, those that the pool has on "
        "its host; null while the pool cannot be seen."
    )
    started: int = Field(description="Instances that run elsewhere by now.")
    left: int = Field(description="Instances that cannot be started elsewhere.")
    outcome: str


class GateDocument(Answer):
    """One thing that must be so before anything is ended."""

    name: str
    open: bool
    text: str


class ExplanationDocument(Answer):
    """Why something was decided."""

    row: int
    diagnosis: str
    evidence: list[str]
    gates: list[GateDocument]
    otherwise: list[str] = Field(description="What would have changed the decision.")


class IncidentStepDocument(Answer):
    """One step of an incident, with all that it was decided by."""

    at: Seconds
    actor: str
    fence: int = Field(description="The controller's; 0 for a person's word.")
    why: str
    incident: dict[str, object] = Field(description="The record after the step.")
    deeds: list[dict[str, object]] = Field(description="What was then done; `do` says which.")
    facts: dict[str, object] = Field(description="What was known; `incident replay` reads it.")
    explanation: ExplanationDocument | None


class AlarmDocument(Answer):
    """One thing that people were told."""

    key: str
    severity: Severity
    text: str
    at: Seconds
    epoch: int


class IncidentDocument(IncidentRow):
    """A failure of a host with everything that was done for it."""

    version: int
    since: Seconds = Field(description="Since when its row holds.")
    advice: str = Field(description="What is done now, and what a person should do.")
    released: str = Field(description="Whose word lets it go on; empty for nobody's.")
    vouched: str = Field(description="Whose word it is that the host is dead.")
    explanation: ExplanationDocument | None = Field(
        description="Why that was begun which was, or why it is held."
    )
    attempts: list[AttemptDocument]
    victims: list[VictimDocument]
    steps: list[IncidentStepDocument]
    alarms: list[AlarmDocument]


class IncidentPage(Paged):
    """Incidents, newest first."""

    items: list[IncidentRow]


class MaintenanceDocument(Answer):
    """Hosts for which failures are noted, and nothing is ended or started."""

    id: str
    reach: Reach
    name: str
    owner: str
    why: str
    since: Seconds
    until: Seconds
    ended_at: Seconds
    ended_by: str


class Maintenances(Answer):
    """Maintenance in force."""

    items: list[MaintenanceDocument]


class DrillDocument(Answer):
    """One rehearsal of a way to prove that a host is dead."""

    host: str
    method: Method
    ok: bool = Field(description="Whether it would have given a proof.")
    at: Seconds
    took_s: float = Field(description="Until the host read on again.")
    text: str


class ObserverDocument(Answer):
    """One source of evidence, as it told last."""

    name: str
    age_s: float = Field(description="How long ago it told.")
    fresh: bool = Field(description="Whether it still counts.")
    hosts: int = Field(description="How many it listens for.")
    missed: dict[Network, int] = Field(description="How many of them it misses.")
    sound: list[Network] = Field(description="Networks on which it reaches its witnesses.")


class HaStatus(Answer):
    """How high availability is."""

    armed: bool
    watching: bool = Field(description="Whether anybody listens to hosts.")
    observers: list[ObserverDocument]
    maintenances: list[MaintenanceDocument]
    hosts: int = Field(description="How many are watched.")
    ready: int = Field(description="Hosts whose death two ways could prove now.")
    ready_share: float
    incidents: int = Field(description="How many are open.")
    held: int = Field(description="How many of them do not go on by themselves.")
    failing: str = Field(
        description="Why this controller cannot decide anything now; empty while it can."
    )


class ReadinessRow(Answer):
    """Whether the death of one host could be proved now."""

    host: str
    ready: bool
    heard: list[Network]
    proofs: list[Method]
    lacking: list[str] = Field(description="What keeps the other ways from working.")


class ReadinessPage(Answer):
    """Hosts, those first whose death could be proved least."""

    items: list[ReadinessRow]
    hosts: int = Field(description="How many are watched in all.")


def incident_row(incident: Incident, pool: Pool | None) -> Document:
    """Return an incident as the list has it.

    Args:
        incident: As it is now.
        pool: As last seen; None when nobody has.
    """
    names = ("id", "host", "phase", "row", "recovery", "held", "opened_at", "closed_at", "outcome")
    fates = [each.fate for each in incident.victims]
    return {
        **{name: written(getattr(incident, name)) for name in names},
        "decisive_row": decisive_row(incident).row,
        "diagnosis": diagnosis_of(incident),
        "waits_for_word": waits(incident),
        "proof": None if incident.proof is None else written(incident.proof),
        "instances": len(fates),
        "affected": affected(incident, pool),
        "started": fates.count(Fate.STARTED),
        "left": fates.count(Fate.LEFT),
    }


def incident_answer(
    incident: Incident,
    pool: Pool | None,
    steps: Sequence[IncidentStep],
    alarms: Sequence[Alarm],
) -> Document:
    """Return an incident with everything that was done for it."""
    whole, decided = incident_document(incident), deciding(steps)
    names = ("version", "since", "released", "vouched", "attempts", "victims")
    return {
        **incident_row(incident, pool),
        **{name: whole[name] for name in names},
        "advice": advice_of(incident),
        "explanation": None if decided is None else written(decided.explanation),
        "steps": [step_document(each) for each in steps],
        "alarms": [written(each) for each in alarms],
    }


def maintenance_answer(maintenance: Maintenance) -> Document:
    """Return a maintenance."""
    return {name: written(getattr(maintenance, name)) for name in MaintenanceDocument.model_fields}


def drill_answer(drill: Drill) -> Document:
    """Return how a rehearsal went."""
    return {name: written(getattr(drill, name)) for name in DrillDocument.model_fields}


def status_answer(status: Status) -> Document:
    """Return how high availability is."""
    return {
        "armed": status.armed,
        "watching": status.watching,
        "observers": written(status.observers),
        "maintenances": [maintenance_answer(each) for each in status.maintenances],
        "hosts": len(status.hosts),
        "ready": sum(1 for each in status.hosts if each.ready),
        "ready_share": status.ready_share,
        "incidents": status.incidents,
        "held": status.held,
        "failing": status.failing,
    }


def readiness_row(readiness: Readiness) -> Document:
    """Return whether the death of a host could be proved."""
    names = ("host", "ready", "heard", "proofs", "lacking")
    return {name: written(getattr(readiness, name)) for name in names}
