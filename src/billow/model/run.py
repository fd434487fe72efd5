# SPDX-License-Identifier: Apache-2.0
"""A plan being carried out: what the journal knows of it."""

import math
from dataclasses import dataclass, field
from enum import StrEnum

from billow.model.assessment import Way


class Phase(StrEnum):
    """Where an action stands in the journal."""

    PENDING = "pending"
    INTENDED = "intended"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen to it."""
        return self in (Phase.DONE, Phase.FAILED, Phase.SKIPPED)


class RunState(StrEnum):
    """Where a run stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def final(self) -> bool:
        """Whether the run has ended."""
        return self is not RunState.RUNNING


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """How a live migration goes at one moment.

    Attributes:
        way: How it gets across (`model.assessment.Way`), with the limits that are set now.
        seconds: Since it began.
        left_mib: What is still to be sent.
        rate_mib_s: What flows; NaN while that is not known.
        pages_round: The round of the copy, from 1.
        dirty_mib_s: What each vCPU writes, MiB/s; one for all where they cannot be told apart,
            empty while nothing was measured.
        limits_mib_s: What each vCPU may write; NaN for one that is left alone. As many as vCPUs,
            or empty while nobody is limited.
        throttle: Share of time that is taken from all vCPUs.
        downtime_s: How long the guest stood still; NaN before the end.
        why: Why it is another way than the policy asks for; empty when it is not.
        channel: How wide the channel is and why, in words; empty where nobody chose.
    """

    way: Way
    seconds: float
    left_mib: float
    rate_mib_s: float = math.nan
    pages_round: int = 1
    dirty_mib_s: tuple[float, ...] = ()
    limits_mib_s: tuple[float, ...] = ()
    throttle: float = 0.0
    downtime_s: float = math.nan
    why: str = ""
    channel: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an action has come.

    Attributes:
        fraction: 0 to 1; NaN when only the phase is known.
        phase: What the engine does now, in its own word (`copying`, `switching`).
        left_s: Expected seconds left; NaN when unknown.
        copied_mib, total_mib: Sent so far and in all, MiB; 0 where nothing is copied.
        flow: How a live migration goes; None for all else.
    """

    fraction: float
    phase: str = ""
    left_s: float = float("nan")
    copied_mib: float = 0.0
    total_mib: float = 0.0
    flow: Flow | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What the journal knows of one action.

    Attributes:
        error: `BillowError` as a mapping (`brief`, `details`, `fix`, `code`), or empty.
    """

    action_id: str
    phase: Phase = Phase.PENDING
    started_at: float = 0.0
    ended_at: float = 0.0
    progress: Progress | None = None
    error: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """One carrying-out of one plan. Runs are kept for ever.

    Attributes:
        fence: The lease's number when it began; an engine refuses older ones.
        entries: By action id, in the plan's order.
    """

    id: str
    plan_id: str
    actor: str
    fence: int
    started_at: float
    state: RunState = RunState.RUNNING
    ended_at: float = 0.0
    entries: dict[str, Entry] = field(default_factory=dict)
    text: str = ""
