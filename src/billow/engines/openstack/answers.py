# SPDX-License-Identifier: Apache-2.0
"""What a cloud's APIs say, as values; `decode` reads them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A process of Nova's, as `openstack compute service list` shows it."""

    uuid: str
    binary: str
    host: str
    zone: str
    enabled: bool
    up: bool
    forced_down: bool
    reason: str
    beat: str
    """When it was heard last, by the cloud's own clock: `2026-11-22T21:20:41`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypervisor:
    """What a compute service drives: one, but for Ironic, whose services drive many nodes.

    Attributes:
        uuid: Of its resource provider in Placement, too.
        name: What Nova calls it, the name of its resource provider.
        host: Of its compute service.
        cells: NUMA nodes that it says it has; 0 when it says nothing.
        vcpus, memory_mib: What it has; 0 where Nova does not say (from 2.88 on).
    """

    uuid: str
    name: str
    host: str
    kind: str
    arch: str = ""
    cpu_model: str = ""
    cells: int = 0
    sockets: int = 0
    vcpus: int = 0
    memory_mib: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A resource provider of Placement, without what it has."""

    uuid: str
    name: str
    generation: int
    parent: str
    root: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What a provider has of one resource class."""

    total: int
    reserved: int = 0
    ratio: float = 1.0
    most: int = 0

    @property
    def capacity(self) -> int:
        """What Placement hands out."""
        return int((self.total - self.reserved) * self.ratio)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What Placement sums up of a provider."""

    capacity: Mapping[str, int] = field(default_factory=dict)
    used: Mapping[str, int] = field(default_factory=dict)
    traits: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """A host aggregate of Nova's."""

    name: str
    uuid: str
    hosts: frozenset[str]
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavor:
    """A flavor: one that can be chosen, or the one that a server was made with."""

    uuid: str = ""
    name: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    """Root, ephemeral and swap."""
    specs: Mapping[str, str]
    hidden: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        """All that it says, for finding what was made of the like."""
        specs = tuple(sorted(self.specs.items()))
        return self.name, self.vcpus, self.memory_mib, self.disk_gib, specs


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerGroup:
    """Servers that shall be together, or apart."""

    uuid: str
    name: str
    policy: str
    most_per_host: int
    members: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What an image says of the servers that are made of it."""

    uuid: str
    name: str
    properties: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server, as `GET /servers/detail` shows it.

    Attributes:
        pin: The zone that it was asked for; None where the cloud does not say.
        volumes: Ids of those that Nova has attached to it.
    """

    uuid: str
    name: str
    created: str
    updated: str
    status: str
    vm_state: str
    task_state: str
    power_state: int
    host: str
    node: str
    project_id: str
    zone: str
    pin: str | None
    flavor: Flavor
    flavor_id: str
    image: str
    volumes: frozenset[str]
    metadata: Mapping[str, str]
    locked: bool
    locked_reason: str
    fault: str
    hints: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Where a server's own NUMA nodes lie on its host; `pages_kib` is 0 for ordinary memory."""

    nodes: tuple[int, ...] = ()
    pages_kib: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A machine that Ironic drives.

    Attributes:
        power: As its conductor recorded it last; empty when nobody knows.
        target: The power state that it is being brought to; empty when nothing is under way.
        error: What went wrong last, in Ironic's words.
        locked_by: The conductor that works on it; empty when none does.
        identities: The machine's system UUID and serial number, as far as they were recorded.
    """

    uuid: str
    name: str
    power: str
    target: str
    error: str
    locked_by: str
    state: str
    maintenance: bool
    reason: str
    fault: str
    resource_class: str
    cpus: int
    memory_mib: int
    arch: str
    instance: str
    zone_hint: str
    identities: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """Where a volume is attached, by Cinder's word.

    Attributes:
        server: Empty where it is attached to a host itself.
        host: Whose connection it is; the name of its compute service, for Nova's servers.
    """

    uuid: str
    server: str
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A volume of Cinder's.

    Attributes:
        moving: How far Cinder is with moving it to another pool; empty when it is not.
        host: Who serves it, with the pool: `cinder-1@ceph#ssd`.
        cluster: Likewise, where several serve it together.
        updated: When its entry changed last, by the cloud's own clock, in UTC.
        attachments: Only those that are complete.
    """

    uuid: str
    name: str
    status: str
    moving: str
    size_gib: int
    host: str
    cluster: str
    updated: str
    attachments: tuple[Attachment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoragePool:
    """A pool of Cinder's, GiB; infinite where it says so, NaN where it does not know."""

    name: str
    total_gib: float
    free_gib: float
    provisioned_gib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageService:
    """A process of Cinder's."""

    binary: str
    host: str
    cluster: str
    up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """All of Cinder that was read; pools and services only where there are volumes."""

    volumes: tuple[Volume, ...] = ()
    pools: tuple[StoragePool, ...] = ()
    services: tuple[StorageService, ...] = ()
