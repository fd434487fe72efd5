# SPDX-License-Identifier: Apache-2.0
"""One step of an incident as it was recorded: kept for ever, and enough to take it again."""

from dataclasses import dataclass, field

from billow.model.document import Document
from billow.model.ha.explanation import Explanation
from billow.model.ha.incident import Incident
from billow.model.ha.response import Deed


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentStep:
    """What one compare-and-set changed.

    Attributes:
        at: Seconds since the epoch.
        actor: The controller that took it, or the person.
        fence: The controller's; the store refuses any but the lease's.
        why: What made it right, one sentence.
        incident: The record as it is after the step.
        deeds: What was then done.
        facts: What the controller knew, as a document (see `billow.plan.ha.record`).
    """

    at: float
    actor: str
    fence: int
    why: str
    incident: Incident
    deeds: tuple[Deed, ...] = ()
    facts: Document = field(default_factory=dict)
    explanation: Explanation | None = None

    @property
    def number(self) -> int:
        """Which step it is: the version of the record that it made."""
        return self.incident.version
