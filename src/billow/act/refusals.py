# SPDX-License-Identifier: Apache-2.0
"""Why hosts refuse what every host refuses: names, state, room, CPUs. Pure; the pool comes in.

An engine adds what only its own hosts refuse. Groups and budgets are the planner's business.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from billow.errors import Invalid
from billow.model.action import Allot, Place, Resize
from billow.model.host import Host
from billow.model.instance import Instance
from billow.model.kinds import Kind, State
from billow.model.names import check_name
from billow.model.pool import Pool
from billow.model.resources import RESOURCES
from billow.model.shape import Shape
from billow.plan.reach import FIX, barriers
from billow.ports import Blocker

MOVABLE: Final = (State.RUNNING, State.PAUSED, State.STOPPED)


def unknown(pool: Pool, host: str) -> Iterator[Blocker]:
    """Yield why a host cannot be meant."""
    if host not in pool.hosts.row:
        yield Blocker(f"no host {host!a}", "billow host list shows them")


def absent(pool: Pool, name: str, host: str) -> Iterator[Blocker]:
    """Yield why an instance cannot be meant on a host."""
    if name not in pool.instances.row:
        yield Blocker(f"no instance {name!a}", "billow instance list shows them")
    elif pool.instance(name).host != host:
        yield Blocker(f"instance {name} is on {pool.instance(name).host}, not {host!a}")


def nameless(pool: Pool, action: Place) -> Iterator[Blocker]:
    """Yield why there can be no instance of this name, kind and group."""
    wanted = action.instance
    try:
        check_name("instance", wanted.id)
    except Invalid as error:
        yield Blocker(error.brief, error.fix)
        return
    if wanted.id in pool.instances.row:
        yield Blocker(f"instance {wanted.id} exists already", "choose another name")
    if wanted.kind is not Kind.VM:
        yield Blocker(f"{wanted.id} is a {wanted.kind}; this engine runs virtual machines only")
    if wanted.group and action.group is None and pool.group(wanted.group) is None:
        yield Blocker(f"no group {wanted.group}", "declare the group first")


def unmovable(there: Instance) -> Iterator[Blocker]:
    """Yield why an instance stays where it is."""
    if there.state not in MOVABLE:
        yield Blocker(f"instance {there.id} is {there.state}", "start or delete it")
    if there.immovable and there.state is not State.STOPPED:
        yield Blocker(f"instance {there.id} cannot move: {there.immovable}", "stop it first")


def unlike(there: Instance, action: Resize) -> Iterator[Blocker]:
    """Yield why an instance is not the one whose shape shall change."""
    if there.shape.name != action.old.name:
        yield Blocker(f"instance {there.id} has shape {there.shape.name}, not {action.old.name}")
    if there.state is State.PAUSED:
        yield Blocker(f"instance {there.id} is paused", "resume it first, or stop it")


def idle(there: Instance) -> Iterator[Blocker]:
    """Yield why an instance can neither be suspended nor resumed."""
    if there.state not in (State.RUNNING, State.PAUSED):
        yield Blocker(f"instance {there.id} is {there.state}", "start it first")


def closed(pool: Pool, instance: Instance, host: Host) -> Iterator[Blocker]:
    """Yield why an instance may not come to a host, whatever room there is."""
    source = pool.host(instance.host) if instance.host in pool.hosts.row else None
    yield from (Blocker(why, FIX) for why in barriers(instance, source, host))
    if host.cordon and host.id != instance.host:
        why = f"host {host.id} is cordoned: {host.cordon}"
        yield Blocker(why, f"billow host uncordon {host.id}")
    if instance.zone and instance.zone != host.zone:
        why = f"{instance.id} must be in zone {instance.zone}, not {host.zone or 'none'}"
        yield Blocker(why)
    missing = sorted(instance.shape.traits - host.traits)
    if missing:
        yield Blocker(f"host {host.id} lacks {', '.join(missing)}", "choose another host")


def crowded(wanted: Sequence[int], free: Sequence[int], where: str) -> Iterator[Blocker]:
    """Yield what a place lacks; amounts are by `model.resources.RESOURCES`."""
    for resource, amount, left in zip(RESOURCES, wanted, free, strict=True):
        if 0 < amount > left:
            yield Blocker(
                f"{where} has {left} {resource} free, {amount} needed",
                "choose another host, or make room",
            )


def disputed(pool: Pool, shape: Shape, others: Sequence[Shape] = ()) -> Iterator[Blocker]:
    """Yield why a shape cannot have its name; `others` are those under way."""
    if any(each.name == shape.name and each != shape for each in (*pool.shapes, *others)):
        yield Blocker(
            f"shape {shape.name} differs from the pool's", "give the other shape another name"
        )


def excessive(action: Allot) -> Iterator[Blocker]:
    """Yield why a host cannot be sold so often."""
    if not (0.01 <= action.cpu_ratio <= 1000 and 0.01 <= action.memory_ratio <= 100):
        yield Blocker("a ratio is out of range", "give 0.01 to 1000 (memory: to 100)")
