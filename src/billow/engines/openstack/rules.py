# SPDX-License-Identifier: Apache-2.0
"""What is refused before Nova is asked, and why. Pure: the pool comes in, with what is under way.

Nova's scheduler has the last word; here is what can be said at once and in plain words.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from billow.act.claims import Claim, Claims, claims_of
from billow.act.refusals import absent, closed, crowded, nameless, unknown, unlike, unmovable
from billow.engines.openstack.answers import Server
from billow.engines.openstack.hosts import BARE_METAL, NOVAS_CHOICE
from billow.engines.openstack.place import LONGEST_VALUE
from billow.model.action import (
    Action,
    Cordon,
    Delete,
    Migrate,
    Place,
    Resize,
    Start,
    Stop,
    Uncordon,
)
from billow.model.instance import Instance
from billow.model.kinds import Health, Kind, Power, State
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.ports import Blocker

READ_ONLY: Final = Blocker(
    "Billow only looks at this cloud", "let it act with --allow-changes (BILLOW_ALLOW_CHANGES=true)"
)


@dataclass(frozen=True, slots=True)
class Cloudscape:
    """What was last seen of a cloud.

    Attributes:
        servers: By instance id.
        flavors: Their ids, by the names of their shapes.
        services: Ids of the nova-computes, by host.
        held: Why Cinder keeps servers where they are, by server.
        silent: Compute services that Nova does not hear.
    """

    pool: Pool
    servers: Mapping[str, Server]
    flavors: Mapping[str, str]
    services: Mapping[str, str]
    held: Mapping[str, str] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()


def blockers(seen: Cloudscape, action: Action, under_way: Sequence[Action]) -> Iterator[Blocker]:
    """Yield why an action must not be done in this cloud, beside what is under way."""
    claims = claims_of(seen.pool, under_way)
    match action:
        case Place():
            yield from _place(seen, action, claims)
        case Migrate():
            yield from _migrate(seen, action, claims)
        case Resize():
            yield from _resize(seen, action, claims)
        case Start() | Stop() | Delete():
            yield from _on_instance(seen, action)
        case Cordon() | Uncordon():
            yield from unknown(seen.pool, action.host)
            if action.host not in seen.services:
                yield Blocker(f"host {action.host} has no compute service to switch")
            if isinstance(action, Cordon) and not 1 <= len(action.why) <= LONGEST_VALUE:
                yield Blocker("a cordon needs a reason", f"say why, in {LONGEST_VALUE} letters")
        case _:
            yield Blocker(f"OpenStack cannot {action.name}")


def _on_instance(seen: Cloudscape, action: Start | Stop | Delete) -> Iterator[Blocker]:
    wrong = list(absent(seen.pool, action.instance, action.host))
    if wrong:
        yield from wrong
        return
    yield from _free(seen, action.instance)
    if isinstance(action, Stop) and not action.grace_s >= 0:
        yield Blocker("grace_s is not a number of seconds", "give 0 or more")
    if isinstance(action, Delete):
        server = seen.servers[action.instance]
        if "billow_action" not in server.metadata:
            yield Blocker(
                f"instance {action.instance} was not made by Billow",
                f"openstack server delete {server.uuid}",
            )
        return
    yield from _reachable(seen.pool, action.host)
    yield from _driven(seen, action)


def _driven(seen: Cloudscape, action: Start | Stop) -> Iterator[Blocker]:
    """Yield why Nova would not have Ironic turn a machine for its server."""
    there, server = seen.pool.instance(action.instance), seen.servers[action.instance]
    if there.kind is Kind.VM:
        return
    if server.host in seen.silent:
        why = f"nova-compute of {server.host} is down, which has Ironic turn {action.host}"
        yield Blocker(why, "see that it runs")
    if isinstance(action, Start) and there.state is State.STOPPED and server.vm_state == "active":
        why = f"Nova has not seen yet that {action.host} is off: {there.id} runs, by its word"
        yield Blocker(why, "wait: Ironic tells it, or it looks itself within some minutes")


def _place(seen: Cloudscape, action: Place, claims: Claims) -> Iterator[Blocker]:
    wanted, pool = action.instance, seen.pool
    yield from nameless(pool, action)
    if action.nodes:
        yield Blocker("Nova chooses NUMA nodes by itself", "place it without nodes")
    if wanted.cpu_model:
        yield Blocker("Nova gives the CPU that its hosts are set to", "ask for no CPU model")
    if not wanted.image:
        yield Blocker("a server needs an image", "name one: openstack image list shows them")
    yield from _shape(seen, wanted.shape)
    yield from _home(pool, wanted, action.host, claims)


def _migrate(seen: Cloudscape, action: Migrate, claims: Claims) -> Iterator[Blocker]:
    pool = seen.pool
    wrong = list(absent(pool, action.instance, action.source))
    if wrong:
        yield from wrong
        return
    there = pool.instance(action.instance)
    yield from _whole(there)
    kept = list(_held(seen, there.id))
    yield from kept or unmovable(there)
    if action.source == action.target:
        yield Blocker(f"instance {there.id} is there already", "choose another host")
        return
    yield from _nodes(pool, action)
    yield from _free(seen, action.instance)
    yield from _reachable(pool, action.source)
    yield from _home(pool, there, action.target, claims)


def _whole(there: Instance) -> Iterator[Blocker]:
    """Yield that an instance is a machine: Nova's driver of those neither moves nor resizes."""
    if there.kind is not Kind.VM:
        yield Blocker(f"{there.id} is a {there.kind}: it is its host")


def _held(seen: Cloudscape, instance: str) -> Iterator[Blocker]:
    """Yield why Cinder lets a server not be elsewhere: Nova would put a stopped one into error."""
    if why := seen.held.get(seen.servers[instance].uuid):
        yield Blocker(f"instance {instance} cannot move: {why}", "see openstack volume list --all")


def _nodes(pool: Pool, action: Migrate) -> Iterator[Blocker]:
    """Yield why a move to these NUMA nodes makes no sense; Nova chooses among those with room."""
    if not action.target_nodes or action.target not in pool.hosts.row:
        return
    most = len(pool.host(action.target).nodes)
    if any(node >= most for node in action.target_nodes):
        yield Blocker(f"host {action.target} has {most} NUMA nodes", "choose among them")


def _resize(seen: Cloudscape, action: Resize, claims: Claims) -> Iterator[Blocker]:
    pool = seen.pool
    wrong = list(absent(pool, action.instance, action.host))
    if wrong:
        yield from wrong
        return
    there = pool.instance(action.instance)
    yield from _whole(there)
    yield from _held(seen, there.id)
    yield from _free(seen, action.instance)
    yield from _reachable(pool, action.host)
    yield from unlike(there, action)
    if there.state not in (State.RUNNING, State.STOPPED, State.PAUSED):
        yield Blocker(f"instance {there.id} is {there.state}", "start it first, or stop it")
    if action.nodes:
        yield Blocker("Nova chooses NUMA nodes by itself", "resize it without nodes")
    yield from _shape(seen, action.new)
    if action.host in pool.hosts.row:
        yield from _room(pool, Claim(action.new, action.host), claims)


def _home(pool: Pool, instance: Instance, name: str, claims: Claims) -> Iterator[Blocker]:
    """Yield why an instance could not come to a host."""
    if name not in pool.hosts.row:
        yield from unknown(pool, name)
        return
    if BARE_METAL in pool.host(name).traits:
        fix = "choose another host, or let Nova place a server with a flavor for machines"
        yield Blocker(f"{name} is closed: {NOVAS_CHOICE}", fix)
        return
    yield from _reachable(pool, name)
    yield from closed(pool, instance, pool.host(name))
    yield from _room(pool, Claim(instance.shape, name), claims)


def _room(pool: Pool, wanted: Claim, claims: Claims) -> Iterator[Blocker]:
    """Yield what a host lacks for a claim, beside what others under way will take."""
    free = list(pool.free[pool.hosts.row[wanted.host]].tolist())
    for claim in claims:
        if claim.host == wanted.host:
            free = [left - taken for left, taken in zip(free, claim.shape.demand, strict=True)]
    yield from crowded(wanted.shape.demand, free, wanted.host)


def _shape(seen: Cloudscape, shape: Shape) -> Iterator[Blocker]:
    known = next((each for each in seen.pool.shapes if each.name == shape.name), None)
    if shape.name not in seen.flavors:
        yield Blocker(
            f"the cloud has no flavor {shape.name}", "openstack flavor list shows those it has"
        )
    elif known is not None and known != shape:
        yield Blocker(
            f"shape {shape.name} is not what the cloud's flavor {shape.name} is",
            f"it has {known.cpu_milli / 1000:g} CPUs and {known.memory_mib} MiB there",
        )


def _free(seen: Cloudscape, name: str) -> Iterator[Blocker]:
    """Yield why Nova would not let anybody touch a server now."""
    server = seen.servers.get(name)
    if server is None:
        yield Blocker(f"instance {name} is no server of Nova")
    elif server.task_state:
        yield Blocker(f"Nova is at work on {name}: {server.task_state}", "wait for it")
    elif server.status == "VERIFY_RESIZE":
        yield Blocker(
            f"{name} waits for its last move to be confirmed",
            f"openstack server migration confirm {server.uuid}, or revert",
        )
    elif server.locked:
        yield Blocker(f"{name} is locked", f"openstack server unlock {server.uuid}")


def _reachable(pool: Pool, name: str) -> Iterator[Blocker]:
    yield from unknown(pool, name)
    if name not in pool.hosts.row:
        return
    host = pool.host(name)
    if BARE_METAL in host.traits:  # Ironic gives it power when it is needed
        if host.health is Health.FAILED:
            yield Blocker(f"Ironic reports a fault of {name}", "openstack baremetal node show")
    elif host.power is not Power.ON or host.health is Health.FAILED:
        yield Blocker(f"nova-compute of host {name} is down", "see that it runs")
