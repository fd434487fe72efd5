# SPDX-License-Identifier: Apache-2.0
"""Direct requests become a proposal: checked against the pool, with a reason for each no."""

from collections.abc import Callable, Sequence

from billow.errors import BillowError, Blocked, Invalid
from billow.model.action import (
    Action,
    Allot,
    Cordon,
    Delete,
    Evacuate,
    Fence,
    Migrate,
    PowerOff,
    PowerOn,
    Repair,
    Resize,
    Resume,
    Start,
    Stop,
    Suspend,
    Throttle,
    Uncordon,
)
from billow.model.ask import Ask, AskVerb
from billow.model.instance import MOST_LIMIT, Instance, nodes_of
from billow.model.instances import NOWHERE
from billow.model.kinds import Power, State, Storage
from billow.model.plan import Proposal, Rejection
from billow.model.pool import Pool
from billow.plan.draft import Draft
from billow.plan.reach import FIX, barriers
from billow.plan.replay import replay
from billow.plan.suit import node_mask

LEAST_RATIO, MOST_CPU_RATIO, MOST_MEMORY_RATIO = 0.01, 1000.0, 100.0
"""What a host may sell per physical CPU and MiB, as the model allows it."""

Choose = Callable[[Pool, str], tuple[str, tuple[int, ...]]]
"""Choose a host and nodes for an instance of a pool, elsewhere than where it is; raises Blocked."""


def requested(pool: Pool, asks: Sequence[Ask], choose: Choose) -> Proposal:
    """Return the proposal for direct requests, in their order.

    Raises:
        NotFound: a request on something that is not in the pool.
        Invalid: a request that makes no sense, whatever the pool.
    """
    actions: list[Action] = []
    rejections: list[Rejection] = []
    now, unseen = pool, list[Action]()
    changed: set[tuple[str, str]] = set()
    for ask in asks:
        subject = (ask.verb.noun, ask.subject)
        if subject in changed or (unseen and ask.verb in _ELSEWHERE):
            now, unseen = replay(now, unseen), []
        try:
            action = _ON_HOST[ask.verb](now, ask) if ask.verb in _ON_HOST else _on(now, ask, choose)
        except Blocked as no:
            rejections.append(_rejection("/".join(subject), ask, no))
        else:
            actions.append(action)
            unseen.append(action)
            changed.add(subject)
    return Proposal("request", tuple(actions), rejections=tuple(rejections))


def _rejection(subject: str, ask: Ask, no: BillowError) -> Rejection:
    return Rejection(subject, f"{ask.verb}: {no.brief}", no.details, no.fix)


def _on(pool: Pool, ask: Ask, choose: Choose) -> Action:
    instance = pool.instance(ask.subject)
    if not instance.host:
        raise Blocked(f"{instance.id} is on no host yet", fix="place it first")
    if ask.verb in _ELSEWHERE:
        return _ELSEWHERE[ask.verb](pool, instance, ask, choose)
    return _IN_PLACE[ask.verb](pool, instance, ask)


def _start(_: Pool, instance: Instance, ask: Ask) -> Action:
    if instance.state is State.RUNNING:
        raise Blocked(f"{instance.id} is running already")
    return Start(instance=instance.id, host=instance.host, reason=_why(ask))


def _stop(_: Pool, instance: Instance, ask: Ask) -> Action:
    if instance.state is State.STOPPED:
        raise Blocked(f"{instance.id} is stopped already")
    return Stop(instance=instance.id, host=instance.host, reason=_why(ask))


def _suspend(_: Pool, instance: Instance, ask: Ask) -> Action:
    if instance.state is State.PAUSED:
        raise Blocked(f"{instance.id} is suspended already", fix="resume it when it shall go on")
    if instance.state is not State.RUNNING:
        raise Blocked(f"{instance.id} is {instance.state}, not running")
    return Suspend(instance=instance.id, host=instance.host, reason=_why(ask))


def _resume(_: Pool, instance: Instance, ask: Ask) -> Action:
    if instance.state is State.RUNNING:
        raise Blocked(f"{instance.id} is running already")
    if instance.state is not State.PAUSED:
        raise Blocked(f"{instance.id} is {instance.state}, not suspended", fix="start it")
    return Resume(instance=instance.id, host=instance.host, reason=_why(ask))


def _throttle(_: Pool, instance: Instance, ask: Ask) -> Action:
    if ask.cpus is None:
        raise Invalid("a throttle needs CPUs", fix="say what it may use; 0 lifts the limit")
    if not (ask.cpus == 0 or 0.001 <= ask.cpus <= MOST_LIMIT / 1000):
        raise Invalid(
            f"a limit of {ask.cpus:g} CPUs is out of range",
            fix="give 0.001 or more, or 0 for no limit",
        )
    limit, was = round(ask.cpus * 1000), instance.cpu_limit_milli
    if limit == was:
        now = f"limited to {was / 1000:g} CPUs already" if was else "not limited"
        raise Blocked(f"{instance.id} is {now}")
    return Throttle(
        instance=instance.id,
        host=instance.host,
        cpu_limit_milli=limit,
        was_milli=was,
        reason=_why(ask),
    )


def _delete(_: Pool, instance: Instance, ask: Ask) -> Action:
    return Delete(instance=instance.id, host=instance.host, reason=_why(ask))


def _resize(pool: Pool, instance: Instance, ask: Ask) -> Action:
    if ask.shape is None:
        raise Invalid("a resize needs a shape", fix="say what the instance should become")
    if ask.shape == instance.shape:
        raise Blocked(f"{instance.id} has that shape already")
    if pool.shape(ask.shape.name) not in (None, ask.shape):
        raise Invalid(f"there is another shape named {ask.shape.name}", fix="give it another name")
    nodes = _nodes_for(pool, instance, ask)
    return Resize(
        instance=instance.id,
        host=instance.host,
        old=instance.shape,
        new=ask.shape,
        nodes=nodes,
        old_nodes=instance.nodes,
        reason=_why(ask),
    )


def _nodes_for(pool: Pool, instance: Instance, ask: Ask) -> tuple[int, ...]:
    """Keep the nodes of a resized instance when their number suits the new shape, else choose."""
    if ask.shape is None or len(instance.nodes) == ask.shape.numa_nodes:
        return instance.nodes
    grown = pool.with_shapes([ask.shape])
    draft = Draft(grown)
    row, host = grown.instance_row(instance.id), grown.host_row(instance.host)
    draft.assign(row, NOWHERE)
    draft.reshape(row, grown.shapes.index(ask.shape))
    mask = node_mask(draft, row, host)
    if mask is None:
        raise Blocked(
            f"{instance.host} has not {ask.shape.numa_nodes} NUMA nodes with room for it",
            fix="migrate it to another host first",
        )
    return nodes_of(mask)


def _migrate(pool: Pool, instance: Instance, ask: Ask, choose: Choose) -> Action:
    if instance.immovable:
        raise Blocked(
            f"{instance.id} cannot be migrated: {instance.immovable}", fix=instance.remedy
        )
    if ask.target == instance.host:
        raise Blocked(f"{instance.id} is on {instance.host} already")
    if ask.target:
        target, nodes = ask.target, _nodes_on(pool, instance, ask.target)
    else:
        target, nodes = choose(pool, instance.id)
    return Migrate(
        instance=instance.id,
        source=instance.host,
        target=target,
        source_nodes=instance.nodes,
        target_nodes=nodes,
        policy=ask.migration,
        downtime_s=ask.downtime_s,
        reason=_why(ask),
    )


def _evacuate(pool: Pool, instance: Instance, ask: Ask, choose: Choose) -> Action:
    source = instance.host
    if pool.host(source).power is not Power.OFF:
        raise Blocked(
            f"{source} is not seen without power: {instance.id} may run there",
            fix=f"billow host fence {source}",
        )
    if instance.disk is Storage.OWN:
        raise Blocked(
            f"the disk of {instance.id} is on {source} itself",
            fix=f"bring {source} back, or restore {instance.id} from a copy",
        )
    target, nodes = choose(pool, instance.id)
    return Evacuate(
        instance=instance.id, source=source, target=target, target_nodes=nodes, reason=_why(ask)
    )


def _nodes_on(pool: Pool, instance: Instance, target: str) -> tuple[int, ...]:
    host = pool.host(target)
    for barrier in barriers(instance, pool.host(instance.host), host):
        raise Blocked(barrier, fix=FIX)
    if not host.schedulable:
        state = host.cordon or f"power {host.power}, health {host.health}"
        raise Blocked(f"{target} takes nothing new: {state}", fix="choose another host")
    mask = node_mask(Draft(pool), pool.instance_row(instance.id), pool.host_row(target))
    if mask is None:
        raise Blocked(f"no {instance.shape.numa_nodes} NUMA nodes of {target} have room")
    return nodes_of(mask)


def _cordon(pool: Pool, ask: Ask) -> Action:
    if pool.host(ask.subject).cordon:
        raise Blocked(f"{ask.subject} is cordoned already: {pool.host(ask.subject).cordon}")
    return Cordon(host=ask.subject, why=ask.why or "maintenance", reason=_why(ask))


def _uncordon(pool: Pool, ask: Ask) -> Action:
    was = pool.host(ask.subject).cordon
    if not was:
        raise Blocked(f"{ask.subject} is not cordoned")
    return Uncordon(host=ask.subject, was=was, reason=_why(ask))


def _power_on(pool: Pool, ask: Ask) -> Action:
    if pool.host(ask.subject).power is Power.ON:
        raise Blocked(f"{ask.subject} is on already")
    return PowerOn(host=ask.subject, reason=_why(ask))


def _power_off(pool: Pool, ask: Ask) -> Action:
    if pool.host(ask.subject).power is Power.OFF:
        raise Blocked(f"{ask.subject} is off already")
    return PowerOff(host=ask.subject, reason=_why(ask))


def _fence(pool: Pool, ask: Ask) -> Action:
    if pool.host(ask.subject).power is Power.OFF:
        raise Blocked(f"{ask.subject} is off already")
    return Fence(host=ask.subject, reason=_why(ask))


def _repair(pool: Pool, ask: Ask) -> Action:
    return Repair(host=pool.host(ask.subject).id, reason=_why(ask))


def _allot(pool: Pool, ask: Ask) -> Action:
    host = pool.host(ask.subject)
    if ask.cpu_ratio is None and ask.memory_ratio is None:
        raise Invalid("an allot needs a ratio", fix="say what the host sells per CPU or MiB")
    cpu = host.cpu_ratio if ask.cpu_ratio is None else ask.cpu_ratio
    memory = host.memory_ratio if ask.memory_ratio is None else ask.memory_ratio
    for what, ratio, most in (("CPU", cpu, MOST_CPU_RATIO), ("memory", memory, MOST_MEMORY_RATIO)):
        if not LEAST_RATIO <= ratio <= most:
            raise Invalid(
                f"a {what} ratio of {ratio:g} is out of range",
                fix=f"give {LEAST_RATIO:g} to {most:g}",
            )
    if (cpu, memory) == (host.cpu_ratio, host.memory_ratio):
        raise Blocked(f"{host.id} sells {cpu:g} per CPU and {memory:g} per MiB already")
    return Allot(
        host=host.id,
        cpu_ratio=cpu,
        memory_ratio=memory,
        was_cpu_ratio=host.cpu_ratio,
        was_memory_ratio=host.memory_ratio,
        reason=_why(ask),
    )


def _why(ask: Ask) -> str:
    return ask.why or "asked for"


_ON_HOST: dict[AskVerb, Callable[[Pool, Ask], Action]] = {
    AskVerb.CORDON: _cordon,
    AskVerb.UNCORDON: _uncordon,
    AskVerb.POWER_ON: _power_on,
    AskVerb.POWER_OFF: _power_off,
    AskVerb.FENCE: _fence,
    AskVerb.ALLOT: _allot,
    AskVerb.REPAIR: _repair,
}
_ELSEWHERE: dict[AskVerb, Callable[[Pool, Instance, Ask, Choose], Action]] = {
    AskVerb.MIGRATE: _migrate,
    AskVerb.EVACUATE: _evacuate,
}
_IN_PLACE: dict[AskVerb, Callable[[Pool, Instance, Ask], Action]] = {
    AskVerb.START: _start,
    AskVerb.STOP: _stop,
    AskVerb.DELETE: _delete,
    AskVerb.RESIZE: _resize,
    AskVerb.THROTTLE: _throttle,
    AskVerb.SUSPEND: _suspend,
    AskVerb.RESUME: _resume,
}
