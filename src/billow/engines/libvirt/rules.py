# SPDX-License-Identifier: Apache-2.0
"""What libvirt's hosts refuse, and why. Pure: the pool comes in, with what is under way.

Groups and budgets are the planner's business; here is what a host enforces: room, power, names,
state.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from billow.act import refusals
from billow.act.claims import Claim, Claims, claims_of
from billow.engines.libvirt.sight import Sighting
from billow.model.action import (
    Action,
    Allot,
    Cordon,
    Delete,
    Migrate,
    Place,
    Resize,
    Resume,
    Start,
    Stop,
    Suspend,
    Uncordon,
)
from billow.model.instance import Instance
from billow.model.kinds import Arch, Power, State
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.ports import Blocker

LEAST_MEMORY_MIB: Final = 8
MOST_CPUS: Final = 255
Found: TypeAlias = Mapping[str, Sighting]
_FOREIGN: Final = "was not made by Billow"


def blockers(
    pool: Pool, found: Found, action: Action, under_way: Sequence[Action]
) -> Iterator[Blocker]:
    """Yield why an action must not be done in this pool, beside what is under way."""
    claims = claims_of(pool, under_way)
    match action:
        case Place():
            yield from _place(pool, action, claims)
        case Migrate():
            yield from _migrate(pool, action, claims)
        case Resize():
            yield from _resize(pool, found, action, claims)
        case Start() | Stop() | Delete() | Suspend() | Resume():
            yield from _on_instance(pool, found, action)
        case Allot():
            yield from refusals.unknown(pool, action.host)
            yield from refusals.excessive(action)
        case Cordon() | Uncordon():
            yield from refusals.unknown(pool, action.host)
            if isinstance(action, Cordon) and not action.why:
                yield Blocker("a cordon needs a reason", "say why")
        case _:
            yield Blocker(f"libvirt cannot {action.name}")


def _on_instance(
    pool: Pool, found: Found, action: Start | Stop | Delete | Suspend | Resume
) -> Iterator[Blocker]:
    wrong = list(refusals.absent(pool, action.instance, action.host))
    if wrong:
        yield from wrong
        return
    there = pool.instance(action.instance)
    yield from _reachable(pool, action.host)
    if isinstance(action, Stop) and not action.grace_s >= 0:
        yield Blocker("grace_s is not a number of seconds", "give 0 or more")
    if isinstance(action, Delete) and _is_foreign(found, there.id):
        yield Blocker(f"instance {there.id} {_FOREIGN}", "delete it with virsh")
    if isinstance(action, Suspend | Resume) and there.state not in (State.RUNNING, State.PAUSED):
        yield Blocker(f"instance {there.id} is {there.state}", "start it first")


def _place(pool: Pool, action: Place, claims: Claims) -> Iterator[Blocker]:
    wanted = action.instance
    yield from refusals.nameless(pool, action)
    if action.nodes:
        yield Blocker("this engine binds nothing to NUMA nodes", "place it without nodes")
    if action.host in pool.hosts.row and pool.host(action.host).arch is not Arch.X86_64:
        yield Blocker("this engine makes machines for x86_64 only", "choose another host")
    if wanted.cpu_model:
        yield Blocker("this engine gives no named CPU", "ask for it without a CPU model")
    yield from _shape(pool, wanted.shape, claims)
    yield from _home(pool, wanted, action.host, claims)


def _migrate(pool: Pool, action: Migrate, claims: Claims) -> Iterator[Blocker]:
    wrong = list(refusals.absent(pool, action.instance, action.source))
    if wrong:
        yield from wrong
        return
    there = pool.instance(action.instance)
    yield from refusals.unmovable(there)
    if action.source_nodes or action.target_nodes:
        yield Blocker("this engine binds nothing to NUMA nodes", "move it without nodes")
    if action.source == action.target:
        yield Blocker(f"instance {there.id} is there already", "choose another host")
        return
    yield from _reachable(pool, action.source)
    yield from _home(pool, there, action.target, claims)


def _resize(pool: Pool, found: Found, action: Resize, claims: Claims) -> Iterator[Blocker]:
    wrong = list(refusals.absent(pool, action.instance, action.host))
    if wrong:
        yield from wrong
        return
    there = pool.instance(action.instance)
    yield from _reachable(pool, action.host)
    if _is_foreign(found, there.id):
        yield Blocker(f"instance {there.id} {_FOREIGN}", "resize it with virsh")
    yield from refusals.unlike(there, action)
    if action.nodes:
        yield Blocker("this engine binds nothing to NUMA nodes", "resize it without nodes")
    yield from _shape(pool, action.new, claims)
    if action.host in pool.hosts.row:
        yield from _room(pool, Claim(action.new, action.host), claims, there.shape)


def _home(pool: Pool, instance: Instance, name: str, claims: Claims) -> Iterator[Blocker]:
    """Yield why an instance could not come to a host."""
    if name not in pool.hosts.row:
        yield from refusals.unknown(pool, name)
        return
    host = pool.host(name)
    yield from _reachable(pool, name)
    yield from refusals.closed(pool, instance, host)
    yield from _room(pool, Claim(instance.shape, name), claims, None)


def _room(pool: Pool, wanted: Claim, claims: Claims, instead_of: Shape | None) -> Iterator[Blocker]:
    """Yield what a host lacks for a claim, when what an instance has there counts as free."""
    free = pool.free[pool.hosts.row[wanted.host]].tolist()
    mine = instead_of.demand if instead_of else (0, 0, 0, 0)
    others = [claim.shape.demand for claim in claims if claim.host == wanted.host]
    left = [a + b - sum(taken) for a, b, *taken in zip(free, mine, *others, strict=True)]
    yield from refusals.crowded(wanted.shape.demand, left, wanted.host)


def _shape(pool: Pool, shape: Shape, claims: Claims) -> Iterator[Blocker]:
    yield from refusals.disputed(pool, shape, [claim.shape for claim in claims])
    if shape.memory_mib < LEAST_MEMORY_MIB:
        yield Blocker(f"a machine needs {LEAST_MEMORY_MIB} MiB at least", "choose a larger shape")
    if not 1 <= shape.cpu_milli <= MOST_CPUS * 1000:
        yield Blocker(f"a machine has 1 to {MOST_CPUS} CPUs", "choose another shape")
    special = {
        "NUMA nodes": shape.numa_nodes > 0,
        "huge pages": shape.huge_pages,
        "GPUs": shape.gpus > 0,
        "CPUs of its own": shape.dedicated,
    }
    for what in (what for what, wanted in special.items() if wanted):
        yield Blocker(f"this engine gives no {what}", f"choose a shape without {what}")


def _reachable(pool: Pool, host: str) -> Iterator[Blocker]:
    yield from refusals.unknown(pool, host)
    if host in pool.hosts.row and pool.host(host).power is not Power.ON:
        whys = [gap.why for gap in pool.gaps if gap.subject == f"host/{host}"]
        yield Blocker(f"host {host} does not answer: {'; '.join(whys)}", "see that it does")


def _is_foreign(found: Found, name: str) -> bool:
    return name in found and found[name].machine.description is None
