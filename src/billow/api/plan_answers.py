# SPDX-License-Identifier: Apache-2.0
"""What the API answers of plans, runs and events, as schemas for OpenAPI. See `answers`."""

from pydantic import Field

from billow.api.answers import Answer, Measure, Paged, Seconds
from billow.model.assessment import Way
from billow.model.plan import Severity
from billow.model.run import Phase, RunState


class CostDocument(Answer):
    """What a step or a plan costs."""

    copied_mib: Measure
    seconds: Measure
    downtime_s: Measure


class ActionDocument(Answer):
    """What is done; each verb has fields of its own."""

    verb: str
    id: str
    reason: str


class StepDocument(Answer):
    """One action at its place in a plan."""

    action: ActionDocument
    subject: str
    change: str = Field(description="What it changes, in words.")
    wave: int
    after: list[str]
    cost: CostDocument


class FindingDocument(Answer):
    """Something seen that a person should know."""

    subject: str
    severity: Severity
    text: str


class RejectionDocument(Answer):
    """Something wanted that could not be planned."""

    subject: str
    reason: str
    causes: list[str]
    fix: str


class PlanDocument(Answer):
    """A change that can be read before it is made."""

    id: str
    title: str
    based_on: str
    generation: int
    parent: str
    created_at: Seconds
    capabilities: list[str]
    steps: list[StepDocument]
    cost: CostDocument
    findings: list[FindingDocument]
    rejections: list[RejectionDocument]
    gain: dict[str, Measure]
    predicted_digest: str
    pool_unchanged: bool = Field(description="Whether the pool is still as the plan knows it.")
    footer: str = Field(description="The plan in one line.")
    undo: str = Field(description="How it can be undone, naming what cannot.")


class PlanRowDocument(Answer):
    """A plan in the list."""

    id: str
    title: str
    created_at: Seconds
    actor: str
    capabilities: list[str]
    steps: int
    rejections: int
    status: str = Field(description="open, used or stale")
    run_id: str


class PlanPage(Paged):
    """Plans, newest first."""

    items: list[PlanRowDocument]


class FlowDocument(Answer):
    """How a live migration goes at one moment."""

    way: Way
    seconds: float = Field(description="Since it began.")
    left_mib: float
    rate_mib_s: Measure
    pages_round: int = Field(description="The round of the copy, from 1.")
    dirty_mib_s: list[Measure] = Field(description="What each vCPU writes; one for all of them.")
    limits_mib_s: list[Measure] = Field(description="What each may write; null for any amount.")
    throttle: float = Field(description="Share of time that is taken from all vCPUs.")
    downtime_s: Measure = Field(description="How long it stood still; null before the end.")
    why: str = Field(description="Why it is another way than its policy asks for.")
    channel: str = Field(description="By what channel it goes, and why.")


class ProgressDocument(Answer):
    """How far an action has come."""

    fraction: Measure
    phase: str
    left_s: Measure
    copied_mib: Measure
    total_mib: Measure
    flow: FlowDocument | None = Field(None, description="With a live migration.")


class EntryDocument(Answer):
    """What the journal knows of one action."""

    action_id: str
    phase: Phase
    started_at: Seconds
    ended_at: Seconds
    progress: ProgressDocument | None
    error: dict[str, str]


class RunRow(Answer):
    """A run in the list."""

    id: str
    plan_id: str
    actor: str
    fence: int
    started_at: Seconds
    state: RunState
    ended_at: Seconds
    text: str
    done: int = Field(description="Actions that are done.")
    failed: int
    total: int


class RunDocument(RunRow):
    """One carrying-out of one plan. It is kept for ever."""

    entries: list[EntryDocument] = Field(description="In the plan's order.")


class RunPage(Paged):
    """Runs, newest first."""

    items: list[RunRow]


class EventDocument(Answer):
    """One thing that happened."""

    id: int
    kind: str
    at: Seconds
    text: str
    subjects: list[str]
    actor: str
    data: dict[str, str | int | float | bool | None]
    flow: FlowDocument | None = Field(None, description="With the progress of a live migration.")


class EventPage(Answer):
    """Events, in the order that was asked for."""

    items: list[EventDocument]
    last: int = Field(description="Send it as `after` for what comes next.")


class Chosen(Answer):
    """Hosts that were chosen for requests; as the knob `chosen` of placement takes them."""

    chosen: dict[str, str] = Field(description="Hosts, by the requests' names.")


class Rejections(Answer):
    """What rules out which hosts, by kind of host; empty when all fit."""

    rejections: list[RejectionDocument]
