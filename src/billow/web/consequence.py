# SPDX-License-Identifier: Apache-2.0
"""What approving a plan means, in the sentences that stand beside the button."""

from collections import Counter

from billow.model.action import (
    Allot,
    Delete,
    Evacuate,
    Fence,
    Migrate,
    Place,
    PowerOff,
    PowerOn,
    Resume,
    Stop,
    Suspend,
    Throttle,
)
from billow.model.counting import counted
from billow.model.plan import Plan
from billow.plan.explain import duration_text, size_text
from billow.plan.inverse import inverse

_VERBS = (
    (Place, "is created and started", "are created and started"),
    (Migrate, "moves while it runs", "move while they run"),
    (Evacuate, "is started on another host", "are started on other hosts"),
    (Throttle, "gets another CPU limit", "get another CPU limit"),
    (Suspend, "stands still until it is resumed", "stand still until they are resumed"),
    (Resume, "goes on", "go on"),
    (Stop, "is stopped", "are stopped"),
    (Delete, "is destroyed with its disk", "are destroyed with their disks"),
)
_OF_HOSTS = (
    (PowerOn, "is given power", "are given power"),
    (Allot, "sells another share of what it has", "sell another share of what they have"),
)


def consequences(plan: Plan) -> list[str]:
    """Return what happens when a plan is approved, the gravest last."""
    if not plan.steps:
        return []
    kinds = Counter(type(step.action) for step in plan.steps)
    told = [
        f"{counted(kinds[kind], 'instance')} {one if kinds[kind] == 1 else many}"
        for kind, one, many in _VERBS
        if kinds[kind]
    ]
    for kind, one, many in _OF_HOSTS:
        if kinds[kind]:
            told.append(f"{counted(kinds[kind], 'host')} {one if kinds[kind] == 1 else many}")
    dark = kinds[PowerOff] + kinds[Fence]
    told += [f"{counted(dark, 'host')} {'loses' if dark == 1 else 'lose'} power"] * bool(dark)
    told += _cost(plan)
    final = sum(inverse(step.action) is None for step in plan.steps)
    told.append(
        f"{counted(final, 'step')} cannot be undone" if final else "every step can be undone"
    )
    return told


def _cost(plan: Plan) -> list[str]:
    waves = max(step.wave for step in plan.steps) + 1
    steps = f"{counted(len(plan.steps), 'step')} in {counted(waves, 'wave')}"
    told = [f"{steps}, ~{duration_text(plan.cost.seconds)}"]
    if plan.cost.copied_mib:
        told.append(f"{size_text(plan.cost.copied_mib)} cross the network")
    if plan.cost.downtime_s:
        told.append(f"no instance stands still longer than {plan.cost.downtime_s * 1000:.0f} ms")
    return told


def is_grave(plan: Plan) -> bool:
    """Return whether a plan holds a step without a way back."""
    return any(inverse(step.action) is None for step in plan.steps)
