# SPDX-License-Identifier: Apache-2.0
"""What capabilities want (`Proposal`) and what will be done (`Plan`): immutable values.

A plan leaves no choice to whoever carries it out, can be carried out once, and answers five
questions: what changes, why, what it costs, what could not be done and why, and how to undo it.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from billow.model.action import Action
from billow.model.pool import Pool


@dataclass(frozen=True, slots=True)
class Cost:
    """What a step or a plan costs.

    Attributes:
        copied_mib: Memory and disk sent over the network, MiB.
        seconds: Expected time; for a plan, along its waves.
        downtime_s: The longest time that any one instance stands still.
    """

    copied_mib: float = 0.0
    seconds: float = 0.0
    downtime_s: float = 0.0


class Severity(StrEnum):
    """How much a finding matters."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something seen that a person should know, whether or not a step follows from it."""

    subject: str
    severity: Severity
    text: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """Something wanted that could not be planned.

    Attributes:
        subject: What it was wanted for: `instance/NAME` or `host/NAME`.
        reason: What stood in the way, in one sentence.
        causes: What ruled out how many hosts (`"312 hosts: too little free CPU"`), most first.
        fix: What would make it possible; empty when nothing is known.
    """

    subject: str
    reason: str
    causes: tuple[str, ...] = ()
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one capability wants of a pool.

    Attributes:
        capability: Who proposes.
        actions: In an order that makes sense to the capability; `order` decides the real one.
        gain: What it is good for, as `name -> value`, with the unit in the name.
    """

    capability: str
    actions: tuple[Action, ...] = ()
    findings: tuple[Finding, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    gain: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """One action at its place in a plan.

    Attributes:
        wave: From 0; the steps of one wave run side by side, when the wave before has ended.
        after: Ids of the actions that must have succeeded first.
    """

    action: Action
    wave: int
    after: tuple[str, ...] = ()
    cost: Cost = Cost()


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A change to a pool that can be read before it is made.

    Attributes:
        id: Unique for ever.
        based_on: Digest of the pool that it was made for.
        generation: The store's count of pool changes seen when it was made.
        parent: The plan that this one follows or undoes; empty for none.
        capabilities: Who asked for its steps.
        created_at: Seconds since the epoch.
        predicted: The pool when all steps have succeeded.
        title: What it is for, in a few words.
    """

    id: str
    based_on: str
    steps: tuple[Step, ...]
    predicted: Pool
    cost: Cost = Cost()
    capabilities: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    gain: dict[str, float] = field(default_factory=dict)
    generation: int = 0
    parent: str = ""
    created_at: float = 0.0
    title: str = ""

    @property
    def waves(self) -> tuple[tuple[Step, ...], ...]:
        """The steps by wave."""
        count = 1 + max((step.wave for step in self.steps), default=-1)
        groups: list[list[Step]] = [[] for _ in range(count)]
        for step in self.steps:
            groups[step.wave].append(step)
        return tuple(map(tuple, groups))
