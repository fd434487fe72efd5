# SPDX-License-Identifier: Apache-2.0
"""What happened: the one stream that the timeline, the audit trail and the live views read."""

from dataclasses import dataclass, field
from enum import StrEnum

from billow.model.run import Flow


class EventKind(StrEnum):
    """The closed set of things that can happen."""

    POOL_SENSED = "pool.sensed"
    PLAN_MADE = "plan.made"
    PLAN_REJECTED = "plan.rejected"
    RUN_STARTED = "run.started"
    RUN_RECOVERED = "run.recovered"
    RUN_ENDED = "run.ended"
    STEP_STARTED = "step.started"
    STEP_PROGRESS = "step.progress"
    STEP_ENDED = "step.ended"
    INCIDENT_STEP = "incident.step"
    CONTROLLER = "controller"
    AUDIT = "audit"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        id: Rising number given by the store; 0 before that.
        at: Seconds since the epoch.
        subjects: What it concerns: `host/h1`, `instance/a`, `plan/p`, `run/r`.
        actor: Who caused it: a person's name, or `billow`.
        text: One sentence for a person.
        data: Numbers and words for a program.
        flow: With the progress of a live migration, how it goes.
    """

    kind: EventKind
    at: float
    text: str
    subjects: tuple[str, ...] = ()
    actor: str = "billow"
    data: dict[str, str | int | float | bool | None] = field(default_factory=dict)
    id: int = 0
    flow: Flow | None = None
