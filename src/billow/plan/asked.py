# SPDX-License-Identifier: Apache-2.0
"""Direct requests become a proposal: checked against the pool, with a reason for each no."""

from collections.abc import Callable, Sequence

from billow.errors import BillowError, Blocked, Invalid
from billow.model.action import (
    Action,
    Cordon,
    Delete,
    Migrate,
    PowerOff,
    PowerOn,
    Resize,
    Start,
    Stop,
    Uncordon,
)
from billow.model.ask import Ask, AskVerb
from billow.model.instance import Instance, nodes_of
from billow.model.instances import NOWHERE
from billow.model.kinds import Power, State
from billow.model.plan import Proposal, Rejection
from billow.model.pool import Pool
from billow.plan.draft import Draft
from billow.plan.replay import replay
from billow.plan.suit import node_mask

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
        if subject in changed or (unseen and ask.verb is AskVerb.MIGRATE):
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
    if ask.verb is AskVerb.MIGRATE:
        return _migrate(pool, instance, ask, choose)
    return _IN_PLACE[ask.verb](pool, instance, ask)


def _start(_: Pool, instance: Instance, ask: Ask) -> Action:
    if instance.state is State.RUNNING:
        raise Blocked(f"{instance.id} is running already")
    return Start(instance=instance.id, host=instance.host, reason=_why(ask))


def _stop(_: Pool, instance: Instance, ask: Ask) -> Action:
    if instance.state is State.STOPPED:
        raise Blocked(f"{instance.id} is stopped already")
    return Stop(instance=instance.id, host=instance.host, reason=_why(ask))


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
            f"{instance.id} cannot be migrated: {instance.immovable}",
            fix="stop it and create it elsewhere",
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
        reason=_why(ask),
    )


def _nodes_on(pool: Pool, instance: Instance, target: str) -> tuple[int, ...]:
    host = pool.host(target)
    if instance.shape.arch is not None and host.arch is not instance.shape.arch:
        raise Blocked(f"{target} is {host.arch}, and {instance.id} needs {instance.shape.arch}")
    if pool.host(instance.host).arch is not host.arch:
        raise Blocked(f"no live migration from {instance.host} to {target}: they differ in arch")
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


def _why(ask: Ask) -> str:
    return ask.why or "asked for"


_ON_HOST: dict[AskVerb, Callable[[Pool, Ask], Action]] = {
    AskVerb.CORDON: _cordon,
    AskVerb.UNCORDON: _uncordon,
    AskVerb.POWER_ON: _power_on,
    AskVerb.POWER_OFF: _power_off,
}
_IN_PLACE: dict[AskVerb, Callable[[Pool, Instance, Ask], Action]] = {
    AskVerb.START: _start,
    AskVerb.STOP: _stop,
    AskVerb.DELETE: _delete,
    AskVerb.RESIZE: _resize,
}
