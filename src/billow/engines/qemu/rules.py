# SPDX-License-Identifier: Apache-2.0
"""What this machine's hosts refuse, and why. Pure: the pool comes in, claims included.

Groups and budgets are the planner's business; here is what a host enforces: room, power, names,
state.
"""

from collections.abc import Iterator

import numpy as np

from billow.act import refusals
from billow.act.claims import Claim, Claims
from billow.engines.qemu.images import LINUX
from billow.engines.qemu.linux import LEAST_MEMORY_MIB as LEAST_LINUX_MIB
from billow.engines.qemu.machine import LEAST_MEMORY_MIB, MOST_CPUS
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
from billow.model.instance import MOST_LIMIT, Instance
from billow.model.kinds import Arch, Power, State, Storage
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.ports import Blocker

_NOTHING = (0, 0, 0, 0)


def blockers(pool: Pool, action: Action, claims: Claims = ()) -> Iterator[Blocker]:
    """Yield why an action must not be done in this pool, with other actions' claims on it."""
    unseen = [gap for gap in pool.gaps if gap.subject == action.subject]
    if unseen:
        yield from (Blocker(f"{gap.subject} cannot be seen: {gap.why}") for gap in unseen)
        return
    match action:
        case Place():
            yield from _place(pool, action, claims)
        case Migrate():
            yield from _migrate(pool, action, claims)
        case Resize():
            yield from _resize(pool, action, claims)
        case Evacuate():
            yield from _evacuate(pool, action, claims)
        case Start() | Stop() | Delete():
            yield from refusals.absent(pool, action.instance, action.host)
            if isinstance(action, Start):
                yield from _powered(pool, action.host)
            if isinstance(action, Stop) and not action.grace_s >= 0:
                yield Blocker("grace_s is not a number of seconds", "give 0 or more")
        case _:
            yield from _rest(pool, action)


def _rest(pool: Pool, action: Action) -> Iterator[Blocker]:
    match action:
        case Throttle() | Suspend() | Resume():
            yield from _calm(pool, action)
        case Allot():
            yield from refusals.unknown(pool, action.host)
            yield from refusals.excessive(action)
        case Cordon() | Uncordon() | PowerOn() | Fence() | PowerOff():
            yield from _host(pool, action)
        case _:
            yield Blocker(f"QEMU on this machine cannot {action.name}")


def _calm(pool: Pool, action: Throttle | Suspend | Resume) -> Iterator[Blocker]:
    wrong = list(refusals.absent(pool, action.instance, action.host))
    if wrong:
        yield from wrong
    elif isinstance(action, Throttle):
        if not 0 <= action.cpu_limit_milli <= MOST_LIMIT:
            yield Blocker("the CPU limit is out of range", "give thousandths of a CPU, or 0")
    elif (state := pool.instance(action.instance).state) not in (State.RUNNING, State.PAUSED):
        yield Blocker(f"instance {action.instance} is {state}", "start it first")


def _host(pool: Pool, action: Cordon | Uncordon | PowerOn | Fence | PowerOff) -> Iterator[Blocker]:
    yield from refusals.unknown(pool, action.host)
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


def _place(pool: Pool, action: Place, claims: Claims) -> Iterator[Blocker]:
    wanted = action.instance
    yield from refusals.nameless(pool, action)
    if wanted.image == LINUX and wanted.shape.memory_mib < LEAST_LINUX_MIB:
        yield Blocker(
            f"the image {LINUX!r} needs {LEAST_LINUX_MIB} MiB of memory at least, "
            f"not {wanted.shape.memory_mib}",
            "choose a larger shape",
        )
    yield from _shape(pool, wanted.shape, claims)
    yield from _home(pool, wanted, (action.host, action.nodes), claims)


def _migrate(pool: Pool, action: Migrate, claims: Claims) -> Iterator[Blocker]:
    wrong = list(refusals.absent(pool, action.instance, action.source))
    if wrong:
        yield from wrong
        return
    there = pool.instance(action.instance)
    yield from refusals.unmovable(there)
    if there.disk is Storage.OWN and pool.host(there.host).power is not Power.ON:
        why = f"the disk of {there.id} is on {there.host}, which has no power"
        yield Blocker(why, f"billow host power-on {there.host}")
    if there.nodes != action.source_nodes:
        yield Blocker(f"{there.id} is on nodes {there.nodes}, not {action.source_nodes}")
    if (action.source, action.source_nodes) == (action.target, action.target_nodes):
        yield Blocker(f"instance {there.id} is there already", "choose another host")
        return
    yield from _home(pool, there, (action.target, action.target_nodes), claims)


def _evacuate(pool: Pool, action: Evacuate, claims: Claims) -> Iterator[Blocker]:
    wrong = list(refusals.absent(pool, action.instance, action.source))
    if wrong:
        yield from wrong
        return
    there = pool.instance(action.instance)
    if action.source == action.target:
        yield Blocker(f"instance {there.id} is there already", "choose another host")
        return
    if there.state in (State.RUNNING, State.PAUSED):
        why = f"instance {there.id} is {there.state} on {action.source}: it would run twice"
        yield Blocker(why, f"billow host fence {action.source}")
    if there.disk is Storage.OWN:
        yield Blocker(
            f"the disk of {there.id} is on {action.source} itself",
            f"bring {action.source} back, or restore {there.id} from a copy",
        )
    yield from _home(pool, there, (action.target, action.target_nodes), claims)


def _resize(pool: Pool, action: Resize, claims: Claims) -> Iterator[Blocker]:
    wrong = list(refusals.absent(pool, action.instance, action.host))
    if wrong:
        yield from wrong
        return
    there = pool.instance(action.instance)
    yield from refusals.unlike(there, action)
    if there.state is State.RUNNING:
        yield from _powered(pool, action.host)
    yield from _shape(pool, action.new, claims)
    room = Claim(action.new, action.host, action.nodes)
    yield from _room(pool, room, claims, instead_of=there)


def _home(
    pool: Pool, instance: Instance, place: tuple[str, tuple[int, ...]], claims: Claims
) -> Iterator[Blocker]:
    """Yield why an instance could not come to a host and its NUMA nodes."""
    name, nodes = place
    if name not in pool.hosts.row:
        yield from refusals.unknown(pool, name)
        return
    host = pool.host(name)
    yield from _powered(pool, name)
    yield from refusals.closed(pool, instance, host)
    known = instance.id in pool.instances.row and instance.host == name
    room = Claim(instance.shape, name, nodes)
    yield from _room(pool, room, claims, instead_of=instance if known else None)


def _room(
    pool: Pool, wanted: Claim, claims: Claims, *, instead_of: Instance | None
) -> Iterator[Blocker]:
    """Yield what a host lacks for a claim, when what an instance has there counts as free."""
    host, shape = pool.host(wanted.host), wanted.shape
    count = len(host.nodes)
    nodes = wanted.nodes
    if len(set(nodes)) != shape.numa_nodes or any(not 0 <= node < count for node in nodes):
        yield Blocker(
            f"NUMA nodes {list(nodes)} of {host.id} do not suit the shape {shape.name}",
            f"name {shape.numa_nodes} of {count} nodes",
        )
        return
    row = pool.hosts.row[host.id]
    here = [claim for claim in claims if claim.host == host.id]
    taken = np.array([_NOTHING, *(claim.shape.demand for claim in here)]).sum(axis=0)
    mine = instead_of.shape.demand if instead_of else _NOTHING
    yield from refusals.crowded(shape.demand, (pool.free[row] + mine - taken).tolist(), host.id)
    for node in nodes:
        on_node = [claim.shape.share for claim in here if node in claim.nodes]
        taken = np.array([_NOTHING, *on_node]).sum(axis=0)
        mine = instead_of.shape.share if instead_of and node in instead_of.nodes else _NOTHING
        free = pool.free_nodes[row, node] + mine - taken
        yield from refusals.crowded(shape.share, free.tolist(), f"{host.id} node {node}")


def _shape(pool: Pool, shape: Shape, claims: Claims) -> Iterator[Blocker]:
    yield from refusals.disputed(pool, shape, [claim.shape for claim in claims])
    if shape.memory_mib < LEAST_MEMORY_MIB:
        yield Blocker(f"a machine needs {LEAST_MEMORY_MIB} MiB at least", "choose a larger shape")
    if shape.cpu_milli < 1:
        yield Blocker(f"shape {shape.name} has no CPU; a machine needs some", "choose a larger one")
    if shape.cpu_milli > MOST_CPUS * 1000:
        yield Blocker(f"a machine has {MOST_CPUS} CPUs at most", "choose a smaller shape")
    if shape.arch not in {None, Arch.X86_64}:
        yield Blocker(f"shape {shape.name} needs {shape.arch}; machines here are x86_64")


def _powered(pool: Pool, host: str) -> Iterator[Blocker]:
    if host not in pool.hosts.row:
        return
    if pool.host(host).power is Power.UNKNOWN:
        yield Blocker(f"it is not known whether host {host} has power", "see the pool's gaps")
    elif pool.host(host).power is not Power.ON:
        yield Blocker(f"host {host} has no power", f"billow host power-on {host}")
