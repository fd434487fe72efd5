# SPDX-License-Identifier: Apache-2.0
"""What this machine's hosts refuse, and why. Pure: the pool comes in, claims included.

Groups and budgets are the planner's business; here is what a host enforces: room, power, names,
state.
"""

from collections.abc import Iterator

from billow.engines.qemu.machine import LEAST_MEMORY_MIB, MOST_CPUS
from billow.errors import Invalid
from billow.model.action import (
    Action,
    Cordon,
    Delete,
    Fence,
    Migrate,
    Place,
    PowerOff,
    PowerOn,
    Resize,
    Start,
    Stop,
    Uncordon,
)
from billow.model.host import Host
from billow.model.instance import Instance
from billow.model.kinds import Arch, Kind, Power, State
from billow.model.names import check_name
from billow.model.pool import Pool
from billow.model.resources import RESOURCES, IntArray
from billow.model.shape import Shape
from billow.ports import Blocker

_MOVABLE = (State.RUNNING, State.PAUSED, State.STOPPED)


def blockers(pool: Pool, action: Action) -> Iterator[Blocker]:
    """Yield why an action must not be done in this pool."""
    match action:
        case Place():
            yield from _place(pool, action)
        case Migrate():
            yield from _migrate(pool, action)
        case Resize():
            yield from _resize(pool, action)
        case Start():
            yield from _present(pool, action.instance, action.host)
            yield from _powered(pool, action.host)
        case Stop():
            yield from _present(pool, action.instance, action.host)
            if not action.grace_s >= 0:
                yield Blocker("grace_s is not a number of seconds", "give 0 or more")
        case Delete():
            yield from _present(pool, action.instance, action.host)
        case Cordon() | Uncordon() | PowerOn() | Fence() | PowerOff():
            yield from _host(pool, action)
        case _:
            yield Blocker(f"QEMU on this machine cannot {action.name}")


def _host(pool: Pool, action: Cordon | Uncordon | PowerOn | Fence | PowerOff) -> Iterator[Blocker]:
    yield from _known(pool, action.host)
    if isinstance(action, Cordon) and not action.why:
        yield Blocker("a cordon needs a reason", "say why")
    if isinstance(action, PowerOff) and action.host in pool.hosts.row:
        row = pool.hosts.row[action.host]
        there = [
            name
            for name, host in zip(pool.instances.id, pool.instances.host, strict=True)
            if host == row
        ]
        if there:
            yield Blocker(
                f"host {action.host} is not empty: {', '.join(there[:3])}", "migrate them first"
            )


def _place(pool: Pool, action: Place) -> Iterator[Blocker]:
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
    yield from _shape(pool, wanted.shape)
    yield from _home(pool, wanted, action.host, action.nodes)


def _migrate(pool: Pool, action: Migrate) -> Iterator[Blocker]:
    wrong = list(_present(pool, action.instance, action.source))
    if wrong:
        yield from wrong
        return
    there = pool.instance(action.instance)
    if there.state not in _MOVABLE:
        yield Blocker(f"instance {there.id} is {there.state}", "start or delete it")
    if there.nodes != action.source_nodes:
        yield Blocker(f"{there.id} is on nodes {there.nodes}, not {action.source_nodes}")
    if there.immovable and there.state is not State.STOPPED:
        yield Blocker(f"instance {there.id} cannot move: {there.immovable}", "stop it first")
    if (action.source, action.source_nodes) == (action.target, action.target_nodes):
        yield Blocker(f"instance {there.id} is there already", "choose another host")
        return
    yield from _home(pool, there, action.target, action.target_nodes)


def _resize(pool: Pool, action: Resize) -> Iterator[Blocker]:
    wrong = list(_present(pool, action.instance, action.host))
    if wrong:
        yield from wrong
        return
    there = pool.instance(action.instance)
    if there.shape.name != action.old.name:
        yield Blocker(f"instance {there.id} has shape {there.shape.name}, not {action.old.name}")
    if there.state is State.RUNNING:
        yield from _powered(pool, action.host)
    yield from _shape(pool, action.new)
    yield from _room(pool, action.new, pool.host(action.host), action.nodes, instead_of=there)


def _home(pool: Pool, instance: Instance, name: str, nodes: tuple[int, ...]) -> Iterator[Blocker]:
    """Yield why an instance could not come to a host."""
    if name not in pool.hosts.row:
        yield from _known(pool, name)
        return
    host = pool.host(name)
    yield from _powered(pool, name)
    if host.cordon and host.id != instance.host:
        yield Blocker(f"host {name} is cordoned: {host.cordon}", f"billow host uncordon {name}")
    if instance.zone and instance.zone != host.zone:
        yield Blocker(f"{instance.id} must be in zone {instance.zone}, not {host.zone or 'none'}")
    missing = sorted(instance.shape.traits - host.traits)
    if missing:
        yield Blocker(f"host {name} lacks {', '.join(missing)}", "choose another host")
    known = instance.id in pool.instances.row and instance.host == name
    yield from _room(pool, instance.shape, host, nodes, instead_of=instance if known else None)


def _room(
    pool: Pool, shape: Shape, host: Host, nodes: tuple[int, ...], *, instead_of: Instance | None
) -> Iterator[Blocker]:
    """Yield what a host lacks for a shape, when what an instance has there counts as free."""
    count = len(host.nodes)
    if len(set(nodes)) != shape.numa_nodes or any(not 0 <= node < count for node in nodes):
        yield Blocker(
            f"NUMA nodes {list(nodes)} of {host.id} do not suit the shape {shape.name}",
            f"name {shape.numa_nodes} of {count} nodes",
        )
        return
    row = pool.hosts.row[host.id]
    mine = instead_of.shape.demand if instead_of else (0, 0, 0, 0)
    yield from _lacks(shape.demand, pool.free[row] + mine, host.id)
    for node in nodes:
        held = instead_of.shape.share if instead_of and node in instead_of.nodes else (0, 0, 0, 0)
        yield from _lacks(shape.share, pool.free_nodes[row, node] + held, f"{host.id} node {node}")


def _lacks(wanted: tuple[int, ...], free: IntArray, where: str) -> Iterator[Blocker]:
    for resource, amount, left in zip(RESOURCES, wanted, free.tolist(), strict=True):
        if 0 < amount > left:
            yield Blocker(
                f"{where} has {left} {resource} free, {amount} needed",
                "choose another host, or make room",
            )


def _shape(pool: Pool, shape: Shape) -> Iterator[Blocker]:
    known = next((each for each in pool.shapes if each.name == shape.name), shape)
    if known != shape:
        yield Blocker(
            f"shape {shape.name} differs from the pool's", "give the other shape another name"
        )
    if shape.memory_mib < LEAST_MEMORY_MIB:
        yield Blocker(f"a machine needs {LEAST_MEMORY_MIB} MiB at least", "choose a larger shape")
    if shape.cpu_milli > MOST_CPUS * 1000:
        yield Blocker(f"a machine has {MOST_CPUS} CPUs at most", "choose a smaller shape")
    if shape.arch not in {None, Arch.X86_64}:
        yield Blocker(f"shape {shape.name} needs {shape.arch}; machines here are x86_64")


def _present(pool: Pool, name: str, host: str) -> Iterator[Blocker]:
    if name not in pool.instances.row:
        yield Blocker(f"no instance {name!a}", "billow instance list shows them")
    elif pool.instance(name).host != host:
        yield Blocker(f"instance {name} is on {pool.instance(name).host}, not {host!a}")


def _known(pool: Pool, host: str) -> Iterator[Blocker]:
    if host not in pool.hosts.row:
        yield Blocker(f"no host {host!a}", "billow host list shows them")


def _powered(pool: Pool, host: str) -> Iterator[Blocker]:
    if host in pool.hosts.row and pool.host(host).power is not Power.ON:
        yield Blocker(f"host {host} has no power", f"billow host power-on {host}")
