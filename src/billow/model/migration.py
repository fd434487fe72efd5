# SPDX-License-Identifier: Apache-2.0
"""One live migration as the journal knows it: a step of a run, and how it went."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from billow.model.kinds import MigrationPolicy
from billow.model.run import Entry, Flow, Phase

CANCELLED = "cancelled"
"""The code of the error with which a cancelled action ends."""
MOST_POINTS = 200
"""Points of a curve: more of them cannot be told apart on a screen."""


class MigrationState(StrEnum):
    """Where a migration stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen to it."""
        return self not in {MigrationState.WAITING, MigrationState.RUNNING}


_STATES = {
    Phase.PENDING: MigrationState.WAITING,
    Phase.INTENDED: MigrationState.RUNNING,
    Phase.DONE: MigrationState.DONE,
    Phase.FAILED: MigrationState.FAILED,
    Phase.SKIPPED: MigrationState.SKIPPED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """A step of a run that moves an instance.

    Attributes:
        id: The id of its action.
        actor: Who had the run carried out.
        policy: What might be done so that it ends: the step's own, else the instance's.
        promise_s: How long the instance may stand still; NaN for as the pool's settings say.
        entry: What the journal knows of it, its last progress included.
    """

    id: str
    run_id: str
    plan_id: str
    actor: str
    instance: str
    source: str
    target: str
    policy: MigrationPolicy
    promise_s: float
    entry: Entry

    @property
    def state(self) -> MigrationState:
        """Where it stands."""
        found = _STATES[self.entry.phase]
        cancelled = self.entry.error.get("code") == CANCELLED
        return MigrationState.CANCELLED if cancelled else found

    @property
    def flow(self) -> Flow | None:
        """How it went last; None while nothing was told, and for a move that copies nothing."""
        return self.entry.progress.flow if self.entry.progress else None

    @property
    def copied_mib(self) -> float:
        """What was sent."""
        return self.entry.progress.copied_mib if self.entry.progress else 0.0

    def took_s(self, now: float) -> float:
        """Return how long it has been going, or took; 0 before it began."""
        if not self.entry.started_at:
            return 0.0
        return max((self.entry.ended_at or now) - self.entry.started_at, 0.0)


def thinned(flows: Sequence[Flow], most: int = MOST_POINTS) -> tuple[Flow, ...]:
    """Return at most so many points of a curve, evenly; the first and the last are among them."""
    last = len(flows) - 1
    if last < most:
        return tuple(flows)
    return tuple(flows[round(place * last / (most - 1))] for place in range(most))
