# SPDX-License-Identifier: Apache-2.0
"""How far a run is: what is done, what is under way, and how long the rest may take."""

import math
from collections import Counter
from dataclasses import dataclass

from billow.model.plan import Plan, Step
from billow.model.run import Entry, Phase, Run

LETTERS = {
    Phase.PENDING: "p",
    Phase.INTENDED: "i",
    Phase.DONE: "d",
    Phase.FAILED: "f",
    Phase.SKIPPED: "s",
}


@dataclass(frozen=True, slots=True)
class Advance:
    """A run in figures.

    Attributes:
        waves: Per wave, a letter per step: pending, intended, done, failed, skipped.
        fraction: 0 to 1, steps under way counted as far as they are.
        left_s: Expected seconds left; NaN when nothing is known, 0 when it has ended.
        elapsed_s: Seconds since it began, or that it took.
        copied_mib: Sent so far, MiB.
    """

    waves: tuple[str, ...]
    counts: dict[str, int]
    total: int
    fraction: float
    left_s: float
    elapsed_s: float
    copied_mib: float

    @property
    def ended(self) -> int:
        """How many steps are over, one way or another."""
        return sum(self.counts.get(phase, 0) for phase in ("done", "failed", "skipped"))


def advance_of(run: Run, plan: Plan, now: float) -> Advance:
    """Return how far a run is. Linear in steps."""
    entries = run.entries
    counts = Counter(entry.phase.value for entry in entries.values())
    done = sum(_fraction(entry) for entry in entries.values())
    return Advance(
        waves=tuple("".join(_letter(entries, step) for step in wave) for wave in plan.waves),
        counts=dict(counts),
        total=len(entries),
        fraction=done / len(entries) if entries else 1.0,
        left_s=0.0 if run.state.final else _left(entries, plan, now),
        elapsed_s=max((run.ended_at if run.state.final else now) - run.started_at, 0.0),
        copied_mib=sum(entry.progress.copied_mib for entry in entries.values() if entry.progress),
    )


def _letter(entries: dict[str, Entry], step: Step) -> str:
    entry = entries.get(step.action.id)
    return LETTERS[entry.phase] if entry else "p"


def _fraction(entry: Entry) -> float:
    if entry.phase.final:
        return 1.0
    if entry.progress is None or math.isnan(entry.progress.fraction):
        return 0.0
    return min(max(entry.progress.fraction, 0.0), 1.0)


def _left(entries: dict[str, Entry], plan: Plan, now: float) -> float:
    """Add up, wave by wave, the longest that any of its unfinished steps may still take."""
    return sum(
        max((_step_left(entries.get(step.action.id), step, now) for step in wave), default=0.0)
        for wave in plan.waves
    )


def _step_left(entry: Entry | None, step: Step, now: float) -> float:
    if entry is None or entry.phase is Phase.PENDING:
        return step.cost.seconds
    if entry.phase.final:
        return 0.0
    if entry.progress and not math.isnan(entry.progress.left_s):
        return max(entry.progress.left_s, 0.0)
    return max(step.cost.seconds - (now - entry.started_at), 0.0)
