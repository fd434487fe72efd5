# SPDX-License-Identifier: Apache-2.0
"""Plans in words: the same words on the command line, in the API and in the console.

It answers what changes, why, what it costs, what could not be done and why, and how to undo it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import assert_never

from billow.model.action import (
    Action,
    Allot,
    Copy,
    Cordon,
    Cutover,
    Delete,
    Evacuate,
    Fence,
    Migrate,
    Patch,
    Place,
    PowerOff,
    PowerOn,
    Repair,
    Resize,
    Restore,
    Resume,
    Snapshot,
    Start,
    Stop,
    Suspend,
    Throttle,
    Uncordon,
    Upgrade,
)
from billow.model.instance import Instance
from billow.model.plan import Cost, Plan, Rejection
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.model.verb import spelled
from billow.plan.inverse import inverse
from billow.plan.score import fill


@dataclass(frozen=True, slots=True)
class Line:
    """One step as a row of words, ready for a table."""

    wave: int
    id: str
    verb: str
    subject: str
    change: str
    reason: str
    cost: str


def lines(plan: Plan) -> tuple[Line, ...]:
    """Return one row per step, in the plan's order."""
    return tuple(
        Line(
            step.wave,
            step.action.id,
            step.action.name,
            step.action.subject.split("/", 1)[1],
            change(step.action),
            step.action.reason,
            cost_text(step.cost),
        )
        for step in plan.steps
    )


def change(action: Action) -> str:  # noqa: C901, PLR0911, PLR0912 - one arm per verb
    """Return what an action changes, in a few words."""
    match action:
        case Place():
            size = shape_text(action.instance.shape)
            return f"-> {_at(action.host, action.nodes)} ({size})"
        case Migrate():
            source = _at(action.source, action.source_nodes)
            return f"{source} -> {_at(action.target, action.target_nodes)}{_on_the_way(action)}"
        case Evacuate():
            target = _at(action.target, action.target_nodes)
            return f"{action.source}, which is dead -> {target}, with a restart"
        case Resize():
            sizes = f"{shape_text(action.old)} -> {shape_text(action.new)}"
            return f"{sizes} on {action.host}, with a restart"
        case Start() | Stop() | Delete() | Suspend() | Resume():
            return f"on {action.host}"
        case Throttle():
            limit = action.cpu_limit_milli
            return f"at most {limit / 1000:g} CPUs" if limit else "no CPU limit any more"
        case Allot():
            cpu, memory = action.cpu_ratio, action.memory_ratio
            return f"sells {cpu:.2f} x its CPUs, {memory:.2f} x its memory"
        case Cordon():
            return f"takes nothing new: {action.why}"
        case Uncordon():
            return "takes instances again"
        case PowerOn() | PowerOff() | Fence():
            return "power on" if isinstance(action, PowerOn) else "power off"
        case Repair():
            return "its engine's records are put right"
        case Patch():
            return ", ".join(action.packages)
        case Upgrade():
            return f"to {action.release}"
        case Snapshot() | Restore():
            return action.label
        case Copy() | Cutover():
            return f"to {action.destination}"
        case _:
            assert_never(action)


def _on_the_way(move: Migrate) -> str:
    """Return what a move was given beside its hosts: its own policy, its own promise."""
    policy = f", {move.policy}" if move.policy else ""
    return policy + (f", still at most {move.downtime_s * 1000:g} ms" if move.downtime_s else "")


def text(before: Pool, plan: Plan) -> str:
    """Return the whole plan as plain text, for a terminal, a log or a golden file."""
    parts = [f"plan {plan.id}: {plan.title or 'no title'}", f"based on {plan.based_on}"]
    parts += _step_text(lines(plan))
    if plan.findings:
        parts += ["found", *(f"  {f.severity}: {f.subject}: {f.text}" for f in plan.findings)]
    if plan.rejections:
        parts += ["not possible", *(line for r in plan.rejections for line in _rejection_text(r))]
    parts += [undo_text(plan), footer(before, plan)]
    return "\n".join(part for part in parts if part) + "\n"


def footer(before: Pool, plan: Plan) -> str:
    """Return a plan in one line: what it does, what it costs, what it leaves."""
    first, last = fill(before), fill(plan.predicted)
    parts = [counts(plan)]
    if plan.cost.copied_mib:
        parts.append(f"{size_text(plan.cost.copied_mib)} to copy")
    if plan.steps:
        parts.append(f"~{duration_text(plan.cost.seconds)}")
        parts.append(f"worst host {first.worst:.0%} -> {last.worst:.0%}")
    if plan.rejections:
        parts.append(f"{len(plan.rejections)} not possible (billow plan why-not {plan.id})")
    return ", ".join(parts)


def counts(plan: Plan) -> str:
    """Return how many steps of which verb a plan has: `3 place, 1 migrate`."""
    tally = Counter(step.action.name for step in plan.steps)
    return ", ".join(f"{count} {verb}" for verb, count in tally.items()) or "nothing to do"


def undo_text(plan: Plan) -> str:
    """Return how a plan can be undone, naming what cannot."""
    if not plan.steps:
        return ""
    final = [step.action for step in plan.steps if inverse(step.action) is None]
    if not final:
        return "undo: every step has a way back (billow undo RUN)"
    names = ", ".join(f"{action.name} {action.subject.split('/', 1)[1]}" for action in final[:5])
    more = f" and {len(final) - 5} more" if len(final) > 5 else ""
    return f"undo: no way back from {names}{more}"


def diff(before: Pool, after: Pool) -> str:
    """Return what differs between two pools, a line per instance or host; empty when nothing."""
    return "\n".join([*_instance_diff(before, after), *_host_diff(before, after)])


def shape_text(shape: Shape) -> str:
    """Return a shape in words: `4 CPU, 8 GiB`."""
    parts = [f"{shape.cpu_milli / 1000:g} CPU", size_text(shape.memory_mib)]
    if shape.gpus:
        parts.append(f"{shape.gpus} GPU")
    return ", ".join(parts)


def cost_text(cost: Cost) -> str:
    """Return a cost in words; what is nothing is left out."""
    parts = [size_text(cost.copied_mib)] if cost.copied_mib else []
    parts.append(f"~{duration_text(cost.seconds)}")
    if cost.downtime_s:
        parts.append(f"{cost.downtime_s * 1000:.0f} ms down")
    return ", ".join(parts)


def size_text(mib: float) -> str:
    """Return a size with the unit that suits it."""
    for unit, scale in (("TiB", 2**20), ("GiB", 2**10)):
        if mib >= scale:
            return f"{_three_digits(mib / scale)} {unit}"
    return f"{_three_digits(mib)} MiB"


def _three_digits(amount: float) -> str:
    """Return a number with three digits, or all before the point: 1000, not 1e+03."""
    return f"{amount:.0f}" if amount >= 999.5 else f"{amount:.3g}"


def duration_text(seconds: float) -> str:
    """Return a duration with the unit that suits it."""
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    if seconds >= 90:
        return f"{seconds / 60:.0f} min"
    if 0 < seconds < 0.95:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.0f} s"


def _at(host: str, nodes: Sequence[int]) -> str:
    return f"{host}/{spelled(tuple(nodes))}" if nodes else host


def _step_text(rows: Sequence[Line]) -> Iterator[str]:
    width = max((len(f"{row.verb} {row.subject}") for row in rows), default=0)
    wave = -1
    for row in rows:
        if row.wave != wave:
            wave = row.wave
            yield f"wave {wave}"
        why = f"  because {row.reason}" if row.reason else ""
        yield f"  {f'{row.verb} {row.subject}':<{width}}  {row.change}  [{row.cost}]{why}"


def _rejection_text(rejection: Rejection) -> Iterator[str]:
    yield f"  {rejection.subject}: {rejection.reason}"
    yield from (f"    - {cause}" for cause in rejection.causes)
    if rejection.fix:
        yield f"    fix: {rejection.fix}"


def _instance_diff(before: Pool, after: Pool) -> Iterator[str]:
    for name in sorted({*before.instances.id, *after.instances.id}):
        old = before.instance(name) if name in before.instances.row else None
        new = after.instance(name) if name in after.instances.row else None
        if old is None and new is not None:
            yield f"+ instance {name} on {_at(new.host, new.nodes)}"
        elif new is None and old is not None:
            yield f"- instance {name} on {_at(old.host, old.nodes)}"
        elif old is not None and new is not None and _stand(old) != _stand(new):
            yield f"~ instance {name} {_stand(old)} -> {_stand(new)}"


def _stand(instance: Instance) -> str:
    return f"{_at(instance.host, instance.nodes)} {instance.state} {instance.shape.name}"


def _host_diff(before: Pool, after: Pool) -> Iterator[str]:
    for name in before.hosts.id:
        old, new = before.host(name), after.host(name)
        if (old.power, old.cordon) != (new.power, new.cordon):
            was, now = (f"power={h.power} cordon={h.cordon or '-'}" for h in (old, new))
            yield f"~ host {name} {was} -> {now}"
