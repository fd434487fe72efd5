# SPDX-License-Identifier: Apache-2.0
"""What the simulated cloud refuses, and why: one small function per question.

It enforces what a real cloud's hosts enforce (room, power, architecture), not what planners promise
(groups, budgets): a plan that breaks a group's rule is a planner's fault, and hiding it here would
hide it in tests.
"""

import math
from collections.abc import Iterator

from billow.engines.sim.ground import Ground
from billow.errors import Invalid
from billow.model.action import (
    Action,
    Allot,
    Cordon,
    Delete,
    Evacuate,
    Fence,
    Migrate,
    Place,
    PowerOff,
    PowerOn,
    Resize,
    Resume,
    Start,
    Stop,
    Suspend,
    Throttle,
    Uncordon,
)
from billow.model.counting import counted
from billow.model.group import Group
from billow.model.host import Host
from billow.model.instance import MOST_LIMIT, Instance
from billow.model.kinds import Health, Power, State, Storage
from billow.model.names import check_name
from billow.model.shape import Shape
from billow.plan.reach import FIX, barriers
from billow.ports import Blocker

_MOVABLE = (State.RUNNING, State.PAUSED, State.STOPPED)
_LISTED = 3


def blockers(ground: Ground, action: Action) -> list[Blocker]:
    """Return why the world would refuse an action now; changes nothing."""
    return list(_blockers(ground, action))


def _blockers(ground: Ground, action: Action) -> Iterator[Blocker]:
    match action:
        case Place():
            yield from _place(ground, action)
        case Migrate():
            yield from _migrate(ground, action)
        case Evacuate():
            yield from _evacuate(ground, action)
        case Start():
            yield from _present(ground, action.instance, action.host)
            there = ground.instance(action.instance)
            yield from _powered(ground, action.host, wakes=there is not None and there.is_host)
        case Stop():
            yield from _present(ground, action.instance, action.host)
            if not 0 <= action.grace_s < math.inf:
                yield Blocker("grace_s is not a number of seconds", "give 0 or more")
        case Throttle() | Suspend() | Resume():
            yield from _calm(ground, action)
        case Delete():
            yield from _present(ground, action.instance, action.host)
        case Resize():
            yield from _resize(ground, action)
        case _:
            yield from _host(ground, action)


def _calm(ground: Ground, action: Throttle | Suspend | Resume) -> Iterator[Blocker]:
    yield from _present(ground, action.instance, action.host)
    there = ground.instance(action.instance)
    if isinstance(action, Throttle):
        if not 0 <= action.cpu_limit_milli <= MOST_LIMIT:
            yield Blocker("the CPU limit is out of range", "give thousandths of a CPU, or 0")
    elif there is not None and there.state not in (State.RUNNING, State.PAUSED):
        yield Blocker(f"instance {there.id} is {there.state}", "start it first")


def _host(ground: Ground, action: Action) -> Iterator[Blocker]:
    match action:
        case Cordon():
            yield from _known(ground, action.host)
            if not action.why:
                yield Blocker("a cordon needs a reason", "say why")
        case Uncordon() | PowerOn() | Fence():
            yield from _known(ground, action.host)
        case Allot():
            yield from _known(ground, action.host)
            if not (0.01 <= action.cpu_ratio <= 1000 and 0.01 <= action.memory_ratio <= 100):
                yield Blocker("a ratio is out of range", "give 0.01 to 1000 (memory: to 100)")
        case PowerOff():
            yield from _empty(ground, action.host)
        case _:
            yield Blocker(f"the simulator does not know the verb {action.name}")


def _place(ground: Ground, action: Place) -> Iterator[Blocker]:
    wanted = action.instance
    there = ground.instance(wanted.id)
    if there is None:
        yield from _named(wanted.id)
    elif there.state is not State.REQUESTED:
        yield Blocker(f"instance {wanted.id} exists already", "choose another name")
    yield from _group(ground, wanted, action.group)
    yield from _shape(ground, wanted.shape)
    yield from _home(ground, wanted, action.host, action.nodes)


def _group(ground: Ground, wanted: Instance, given: Group | None) -> Iterator[Blocker]:
    known = ground.group(given.name if given else wanted.group)
    if given is not None and known not in (None, given):
        yield Blocker(f"group {given.name} differs from the pool's", "give it another name")
    if given is not None and wanted.group != given.name:
        yield Blocker(f"instance {wanted.id} is not in group {given.name}")
    elif wanted.group and given is None and known is None:
        yield Blocker(f"no group {wanted.group}", "declare the group first")


def _migrate(ground: Ground, action: Migrate) -> Iterator[Blocker]:
    there = ground.instance(action.instance)
    if there is None or there.host != action.source or there.nodes != action.source_nodes:
        yield from _present(ground, action.instance, action.source, nodes=action.source_nodes)
        return
    if there.state not in _MOVABLE:
        yield Blocker(f"instance {there.id} is {there.state}", "start or delete it")
    elif there.state is not State.STOPPED:
        if there.immovable:
            yield Blocker(f"instance {there.id} cannot move: {there.immovable}", "stop it first")
        yield from _powered(ground, action.source)
    if (action.source, action.source_nodes) == (action.target, action.target_nodes):
        yield Blocker(f"instance {there.id} is there already", "choose another host")
        return
    yield from _home(ground, there, action.target, action.target_nodes)


def _evacuate(ground: Ground, action: Evacuate) -> Iterator[Blocker]:
    there = ground.instance(action.instance)
    if there is None or there.host != action.source:
        yield from _present(ground, action.instance, action.source)
        return
    if action.source == action.target:
        yield Blocker(f"instance {there.id} is there already", "choose another host")
        return
    if there.state in (State.RUNNING, State.PAUSED) and action.source not in ground.unlocked:
        why = f"instance {there.id} is {there.state} on {action.source}: it would run twice"
        yield Blocker(why, f"billow host fence {action.source}")
    if there.disk is Storage.OWN:
        yield Blocker(
            f"the disk of {there.id} is on {action.source} itself",
            f"bring {action.source} back, or restore {there.id} from a copy",
        )
    yield from _home(ground, there, action.target, action.target_nodes)


def _resize(ground: Ground, action: Resize) -> Iterator[Blocker]:
    yield from _present(ground, action.instance, action.host)
    there = ground.instance(action.instance)
    host = ground.host(action.host)
    if there is None or host is None or there.host != host.id:
        return
    if there.shape.name != action.old.name:
        yield Blocker(f"instance {there.id} has shape {there.shape.name}, not {action.old.name}")
    yield from _shape(ground, action.new)
    yield from _nodes(action.new, host, action.nodes)
    yield from _room_without(ground, there, action.new, action.nodes)


def _room_without(
    ground: Ground, there: Instance, new: Shape, nodes: tuple[int, ...]
) -> Iterator[Blocker]:
    """Check the room for a new shape while the old one counts as free."""
    ground.let_go(there.shape, there.host, there.nodes)
    count = len(ground.host(there.host).nodes)  # type: ignore[union-attr]  # it is on it
    lack = ground.shortage(new, there.host, tuple(node for node in nodes if node < count))
    ground.hold(there.shape, there.host, there.nodes)
    if lack:
        yield Blocker(lack, "choose a smaller shape, or migrate first")


def _home(
    ground: Ground, instance: Instance, name: str, nodes: tuple[int, ...]
) -> Iterator[Blocker]:
    """Yield why an instance could not come to a host."""
    host = ground.host(name)
    if host is None:
        yield from _known(ground, name)
        return
    yield from _powered(ground, name)
    if host.cordon and host.id != instance.host:
        yield Blocker(f"host {name} is cordoned: {host.cordon}", f"billow host uncordon {name}")
    source = ground.host(instance.host) if instance.host else None
    yield from (Blocker(why, FIX) for why in barriers(instance, source, host))
    yield from _suits(instance, host)
    unfit = list(_nodes(instance.shape, host, nodes))
    yield from unfit
    lack = "" if unfit else ground.shortage(instance.shape, name, nodes)
    if lack and host.id == instance.host:
        yield from _room_without(ground, instance, instance.shape, nodes)
    elif lack:
        yield Blocker(lack, "choose another host, or make room")


def _suits(instance: Instance, host: Host) -> Iterator[Blocker]:
    shape = instance.shape
    missing = sorted(shape.traits - host.traits)
    if missing:
        yield Blocker(f"host {host.id} lacks {', '.join(missing)}", "choose another host")
    if instance.zone and instance.zone != host.zone:
        yield Blocker(f"{instance.id} must be in zone {instance.zone}, not {host.zone or 'none'}")


def _nodes(shape: Shape, host: Host, nodes: tuple[int, ...]) -> Iterator[Blocker]:
    count = len(host.nodes)
    if len(set(nodes)) != shape.numa_nodes or any(not 0 <= node < count for node in nodes):
        yield Blocker(
            f"NUMA nodes {list(nodes)} of {host.id} do not suit the shape {shape.name}",
            f"name {shape.numa_nodes} of {count} nodes",
        )


def _shape(ground: Ground, shape: Shape) -> Iterator[Blocker]:
    known = ground.shape(shape.name)
    if known is not None and known != shape:
        yield Blocker(
            f"shape {shape.name} differs from the pool's", "give the other shape another name"
        )


def _named(name: str) -> Iterator[Blocker]:
    try:
        check_name("instance", name)
    except Invalid as error:
        yield Blocker(error.brief, error.fix)


def _present(
    ground: Ground, name: str, host: str, *, nodes: tuple[int, ...] | None = None
) -> Iterator[Blocker]:
    there = ground.instance(name)
    if there is None:
        yield Blocker(f"no instance {name!a}", "billow instance list shows them")
    elif there.host != host:
        yield Blocker(f"instance {name} is on {there.host or 'no host'}, not {host!a}")
    elif nodes is not None and there.nodes != nodes:
        yield Blocker(f"instance {name} is on nodes {list(there.nodes)}, not {list(nodes)}")


def _known(ground: Ground, name: str) -> Iterator[Blocker]:
    if ground.host(name) is None:
        yield Blocker(f"no host {name!a}", "billow host list shows them")


def _powered(ground: Ground, name: str, *, wakes: bool = False) -> Iterator[Blocker]:
    host = ground.host(name)
    if host is None:
        yield from _known(ground, name)
    elif host.power is not Power.ON and not wakes:
        yield Blocker(f"host {name} has power {host.power}", f"billow host power-on {name}")
    elif host.health is Health.FAILED:
        yield Blocker(f"host {name} has failed", "fence it, then power it on")


def _empty(ground: Ground, name: str) -> Iterator[Blocker]:
    yield from _known(ground, name)
    residents = ground.residents(name) if ground.host(name) else []
    if residents:
        held = counted(len(residents), "instance")
        shown = ", ".join(residents[:_LISTED]) + (", ..." if len(residents) > _LISTED else "")
        yield Blocker(f"host {name} has {held}: {shown}", "move them away")
