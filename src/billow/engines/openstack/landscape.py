# SPDX-License-Identifier: Apache-2.0
"""All that was read of a cloud, before it becomes a pool: records, by what identifies them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from billow.engines.openstack.answers import (
    Aggregate,
    Flavor,
    Hypervisor,
    Image,
    Inventory,
    Node,
    Provider,
    Server,
    ServerGroup,
    Service,
    Storage,
    Summary,
    Topology,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What something really uses; NaN where nobody measured it."""

    cpu_milli: float = math.nan
    memory_mib: float = math.nan


UNSEEN = Use()


@dataclass(frozen=True, slots=True, kw_only=True)
class Landscape:
    """A cloud, as its APIs told of it.

    Attributes:
        names: Instance ids by server.
        inventories, summaries: By provider.
        host_use: By the name that the measurements give a host.
        server_use: By server.
        unseen: What could not be read, and why, by subject.
        shared_storage: Whether the servers' own disks are on storage that all hosts reach.
        taken_at: Seconds since the epoch.
    """

    services: tuple[Service, ...] = ()
    hypervisors: tuple[Hypervisor, ...] = ()
    providers: Mapping[str, Provider] = field(default_factory=dict)
    inventories: Mapping[str, Mapping[str, Inventory]] = field(default_factory=dict)
    summaries: Mapping[str, Summary] = field(default_factory=dict)
    aggregates: tuple[Aggregate, ...] = ()
    flavors: tuple[Flavor, ...] = ()
    groups: tuple[ServerGroup, ...] = ()
    images: Mapping[str, Image] = field(default_factory=dict)
    servers: Mapping[str, Server] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    topologies: Mapping[str, Topology] = field(default_factory=dict)
    nodes: tuple[Node, ...] = ()
    storage: Storage = field(default_factory=Storage)
    host_use: Mapping[str, Use] = field(default_factory=dict)
    server_use: Mapping[str, Use] = field(default_factory=dict)
    unseen: Mapping[str, str] = field(default_factory=dict)
    shared_storage: bool = False
    taken_at: float = 0.0
