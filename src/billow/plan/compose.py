# SPDX-License-Identifier: Apache-2.0
"""Many proposals into one plan: precedence is written down, and a conflict is a rejection."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from billow.errors import Bug
from billow.model.action import Action, Place
from billow.model.plan import Plan, Proposal, Rejection
from billow.model.policy import Limits
from billow.model.pool import Pool
from billow.plan.check import violations
from billow.plan.cost import total
from billow.plan.order import order
from billow.plan.replay import prepared, replay

PRECEDENCE = (
    "request",
    "ha",
    "evacuate",
    "cve",
    "upgrade",
    "mixed",
    "hotspot",
    "gpu",
    "placement",
    "overcommit",
    "defrag",
    "power",
)
"""Who goes first when two proposals want one subject. A person's own request goes before all."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a plan needs from outside, since planning has no clock and no dice.

    Attributes:
        plan_id: Unique for ever.
        created_at: Seconds since the epoch.
    """

    plan_id: str
    created_at: float = 0.0
    generation: int = 0
    parent: str = ""
    title: str = ""


def compose(
    pool: Pool,
    proposals: Sequence[Proposal],
    limits: Limits,
    stamp: Stamp,
    grown: Pool | None = None,
) -> Plan:
    """Return one plan that holds what all proposals want, as far as it can be had together.

    `grown` is the pool with the requests that were proposed for, where the caller has it already.

    Raises:
        Bug: the plan would break a law of plans.
    """
    ranked = sorted(proposals, key=_rank)
    actions, conflicts = _merge(ranked, limits)
    grown = prepared(grown or pool, actions)  # once, for all who replay the actions
    ordered = order(grown, actions, stamp.plan_id)
    done = [step.action for step in ordered.steps]
    start = grown if _all_placed(pool, grown, done) else pool
    plan = Plan(
        id=stamp.plan_id,
        based_on=pool.digest,
        steps=ordered.steps,
        predicted=replay(start, done),
        cost=total(grown, ordered.steps, limits),
        capabilities=tuple(proposal.capability for proposal in ranked),
        findings=tuple(each for proposal in ranked for each in proposal.findings),
        rejections=(
            *(each for proposal in ranked for each in proposal.rejections),
            *conflicts,
            *ordered.rejections,
        ),
        gain={name: value for proposal in ranked for name, value in proposal.gain.items()},
        generation=stamp.generation,
        parent=stamp.parent,
        created_at=stamp.created_at,
        title=stamp.title,
    )
    broken = violations(pool, plan)
    if broken:
        raise Bug("a plan was made that breaks a law of plans", broken, "please report this plan")
    return plan


def without(proposals: Sequence[Proposal], refused: Mapping[str, Rejection]) -> list[Proposal]:
    """Return the proposals without the actions on some subjects, which are rejections instead."""
    left: list[Proposal] = []
    for proposal in proposals:
        actions = tuple(each for each in proposal.actions if each.subject not in refused)
        subjects = dict.fromkeys(each.subject for each in proposal.actions)
        noes = tuple(refused[subject] for subject in subjects if subject in refused)
        rejections = (*proposal.rejections, *noes)
        left.append(replace(proposal, actions=actions, rejections=rejections))
    return left


def _all_placed(pool: Pool, grown: Pool, done: Iterable[Action]) -> bool:
    """Return whether every row that the pool has grown by is placed by these actions."""
    placed = {action.instance.id for action in done if isinstance(action, Place)}
    new = sum(name not in pool.instances.row for name in placed)
    return len(grown.instances) - len(pool.instances) == new


def _rank(proposal: Proposal) -> int:
    name = proposal.capability
    return PRECEDENCE.index(name) if name in PRECEDENCE else len(PRECEDENCE)


def _merge(proposals: Iterable[Proposal], limits: Limits) -> tuple[list[Action], list[Rejection]]:
    actions: list[Action] = []
    rejections: list[Rejection] = []
    owner: dict[str, str] = {}
    for proposal in proposals:
        for action in proposal.actions:
            refusal = _refusal(action, proposal.capability, owner, limits, len(actions))
            if refusal:
                rejections.append(Rejection(action.subject, f"{action.name}: {refusal}"))
            else:
                owner[action.subject] = proposal.capability
                actions.append(action)
    return actions, rejections


def _refusal(
    action: Action, capability: str, owner: dict[str, str], limits: Limits, planned: int
) -> str:
    first = owner.get(action.subject, capability)
    if first != capability:
        return f"{first} wants the same subject and goes before {capability}"
    named = {action.subject.split("/", 1)[1], *action.hosts}
    touched = sorted(named & limits.protected)
    if touched:
        return f"{touched[0]} is protected"
    if planned >= limits.steps_per_plan:
        return f"the plan already has {limits.steps_per_plan} steps, the most allowed"
    return ""
