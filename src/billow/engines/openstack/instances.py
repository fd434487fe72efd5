# SPDX-License-Identifier: Apache-2.0
"""Servers as instances of the pool. Pure: records come in as values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from billow.engines.openstack.answers import Image, Server, Topology
from billow.engines.openstack.hosts import SHARED
from billow.engines.openstack.landscape import UNSEEN, Landscape
from billow.engines.openstack.names import plain
from billow.engines.openstack.shapes import Shapes, bound_by
from billow.model.host import Host
from billow.model.instance import MOST_PRIORITY, PASSING, Instance
from billow.model.kinds import Kind, Power, State, Storage
from billow.model.shape import Shape

PRIORITY: Final = "billow_priority"
IMMOVABLE: Final = "billow_immovable"
NOT_YET: Final = ("BUILD", "UNKNOWN")
"""Statuses of a server without host that Nova may still find one for."""
_PAUSED, _SHUT_DOWN, _CRASHED = 3, 4, 6
_STATES: Final = {
    "active": State.RUNNING,
    "building": State.UNKNOWN,
    "error": State.FAILED,
    "paused": State.PAUSED,
    "rescued": State.RUNNING,
    "resized": State.RUNNING,
    "shelved": State.STOPPED,
    "shelved_offloaded": State.STOPPED,
    "soft-delete": State.STOPPED,
    "stopped": State.STOPPED,
    "suspended": State.PAUSED,
}
"""By vm_state."""
_BY_POWER: Final = {_SHUT_DOWN: State.STOPPED, _CRASHED: State.FAILED}
_LIVE: Final = ("active", "resized")


@dataclass(frozen=True, slots=True)
class Homes:
    """Where servers can be.

    Attributes:
        hosts: Of the pool, by what servers say of their host, or of their Ironic node.
        bare: Ironic's nodes, also those that it does not show.
        held: Why Cinder keeps servers where they are, by server.
        groups: The group of each server that is in one that planners keep to.
    """

    hosts: Mapping[str, Host]
    bare: frozenset[str] = frozenset()
    held: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)


def instances(land: Landscape, shapes: Shapes, homes: Homes) -> Iterator[Instance]:
    """Yield every server that takes something, or that shall be told of."""
    for uuid, server in land.servers.items():
        if server.host or server.status not in NOT_YET:
            yield _instance(land, server, shapes, homes, land.names.get(uuid, uuid))


def _instance(land: Landscape, server: Server, shapes: Shapes, homes: Homes, name: str) -> Instance:
    bare = server.node in homes.bare
    host = homes.hosts.get(server.node if bare else server.host)
    image = land.images.get(server.image)
    shape, nodes, unsure = _bound(land, server, shapes, host)
    use = land.server_use.get(server.uuid, UNSEEN)
    held = homes.held.get(server.uuid, "")
    return Instance(
        id=name,
        shape=shape,
        kind=Kind.BARE_METAL if bare else Kind.VM,
        host=host.id if host else "",
        nodes=nodes,
        state=_state(server, host, bare=bare),
        priority=_priority(server.metadata.get(PRIORITY, "")),
        group=homes.groups.get(server.uuid, ""),
        tenant=plain(server.project_id),
        zone=plain(server.zone if server.pin is None else server.pin),
        image=plain(image.name if image else server.image),
        immovable=why_immovable(server, image, unsure or held, bare=bare)[:4096],
        disk=Storage.OWN if own_disk(land, server, host) else Storage.SHARED,
        cpu_used_milli=use.cpu_milli,
        memory_used_mib=use.memory_mib,
    )


def _bound(
    land: Landscape, server: Server, shapes: Shapes, host: Host | None
) -> tuple[Shape, tuple[int, ...], str]:
    """Return a server's shape, its NUMA nodes, and what is not known of them."""
    image = land.images.get(server.image)
    shape = shapes.of(server.flavor, image.properties if image else {})
    if not shape.numa_nodes or host is None:
        return shape, (), ""
    nodes = _nodes(land.topologies.get(server.uuid), shape.numa_nodes, len(host.nodes))
    if len(nodes) == shape.numa_nodes:
        return shape, nodes, ""
    return shapes.floating(shape), (), "Nova does not say on which NUMA nodes of its host it lies"


def _nodes(topology: Topology | None, wanted: int, there: int) -> tuple[int, ...]:
    if topology is not None and len(topology.nodes) == wanted and topology.nodes[-1] < there:
        return topology.nodes
    return tuple(range(there)) if wanted == there else ()


def state_of(server: Server, *, known: bool) -> State:
    """Return how a server is; what was last said of one on a host that is not known says nothing.

    A server that runs, by Nova's word, but whose guest is seen off, is off.
    """
    state = _STATES.get(server.vm_state, State.UNKNOWN)
    if server.status == "ERROR":
        return State.FAILED
    if server.host and not known:
        return State.UNKNOWN
    if server.vm_state in _LIVE and not server.task_state:
        return _BY_POWER.get(server.power_state, state)
    if server.vm_state == "resized":
        return _BY_POWER.get(server.power_state, state)
    return state


def _state(server: Server, host: Host | None, *, bare: bool) -> State:
    """Return how a server is; one that is its machine does not run while that has no power.

    Nova says the same when it hears of it: at once where Ironic tells it, else within minutes.
    """
    state = state_of(server, known=host is not None)
    dark = bare and host is not None and host.power is Power.OFF
    return State.STOPPED if dark and state is State.RUNNING and not server.task_state else state


def why_immovable(
    server: Server, image: Image | None, held: str = "", *, bare: bool = False
) -> str:
    """Return why a server cannot be moved; empty when it can.

    Nova evacuates from a dead host whatever the task or a lock says
    (`nova.compute.api.API.evacuate`): such reasons are `PASSING`.

    Args:
        server: Which.
        image: Its own, if it is known.
        held: What else keeps it for now.
        bare: Whether it is a machine of Ironic's.
    """
    lasting = (
        server.metadata.get(IMMOVABLE, ""),
        "it is a machine of its own" if bare else "",
        bound_by(server.flavor.specs, image.properties if image else {}),
        _HELD.get(server.vm_state, ""),
    )
    passing = (
        ": ".join(filter(None, ("it is locked", server.locked_reason))) if server.locked else "",
        f"Nova is at work on it: {server.task_state}" if server.task_state else "",
        _HELD_FOR_NOW.get(server.vm_state, ""),
        held,
    )
    reasons = (*lasting, *(PASSING + each for each in passing if each))
    return next(filter(None, reasons), "")


_HELD: Final = {
    "resized": "its last resize waits for a word",
    "shelved": "it is shelved",
    "shelved_offloaded": "it is shelved, and on no host",
    "soft-delete": "it is deleted, and can be restored for some time",
}
"""Why a server stays, by vm_state."""
_HELD_FOR_NOW: Final = {
    "building": "it is being built",
    "error": "it is in error, by Nova's word",
    "rescued": "it is being rescued",
}
"""Likewise, until it passes."""


def own_disk(land: Landscape, server: Server, host: Host | None) -> bool:
    """Return whether a server has a disk that only its host has.

    One that was made from a volume has none of its own, but for the extra ones of its flavor.
    """
    if land.shared_storage or (host is not None and SHARED in host.traits):
        return False
    return bool(server.image) or (not server.volumes and server.flavor.disk_gib > 0)


def _priority(text: str) -> int:
    try:
        return max(-MOST_PRIORITY, min(MOST_PRIORITY, int(text or 0)))
    except ValueError:
        return 0
