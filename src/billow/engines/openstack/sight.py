# SPDX-License-Identifier: Apache-2.0
"""See a cloud: all of it at first and now and then, else what has changed. Changes nothing.

Without its list of services and servers there is no look; whatever else cannot be read is a gap,
and what was last known of it stays.
"""

import asyncio
from collections.abc import Awaitable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from billow.engines.openstack.answers import (
    Aggregate,
    Flavor,
    Hypervisor,
    Image,
    Node,
    Server,
    ServerGroup,
    Service,
    Storage,
)
from billow.engines.openstack.cloud import Cloud
from billow.engines.openstack.hosts import IRONIC, bare_names, bare_power, computes
from billow.engines.openstack.landscape import Landscape, Use
from billow.engines.openstack.names import OWN_NAME, Names, plain
from billow.engines.openstack.read import catalogue, volumes
from billow.engines.openstack.read import hosts as host_reading
from billow.engines.openstack.read.hosts import Stock
from billow.engines.openstack.read.servers import Roll
from billow.engines.openstack.read.use import Gauge, NoGauge
from billow.engines.openstack.shapes import Rules, shape_of
from billow.engines.openstack.translate import View, view_of
from billow.errors import BillowError, Denied
from billow.model.kinds import Power
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.ports import Clock

WHOLE_AGAIN_S: Final = 600.0
"""How long increments are trusted: attached volumes and metadata leave no trace in them."""
SELDOM_S: Final = 60.0
"""How long flavors, groups, volumes and machines of Ironic's are taken for what they were."""
_NO_POOL: Final = Pool.build([])

Read = TypeVar("Read")


@dataclass(slots=True)
class _Memory:
    """What was last read, beside servers and Placement."""

    services: tuple[Service, ...] = ()
    hypervisors: tuple[Hypervisor, ...] = ()
    aggregates: tuple[Aggregate, ...] = ()
    flavors: tuple[Flavor, ...] = ()
    groups: tuple[ServerGroup, ...] = ()
    images: dict[str, Image] = field(default_factory=dict)
    nodes: tuple[Node, ...] = ()
    storage: Storage = field(default_factory=Storage)
    host_use: Mapping[str, Use] = field(default_factory=dict)
    server_use: Mapping[str, Use] = field(default_factory=dict)
    mapped: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
    whole_at: float = -WHOLE_AGAIN_S
    seldom_at: float = -WHOLE_AGAIN_S


class Sight:
    """The eyes of one engine; they remember the last look."""

    def __init__(
        self, cloud: Cloud, clock: Clock, *, shared_disks: bool = False, gauge: Gauge | None = None
    ) -> None:
        self._cloud = cloud
        self._clock = clock
        self._shared_disks = shared_disks
        self._gauge = gauge or NoGauge()
        self._roll, self._stock, self._memory = Roll(), Stock(), _Memory()
        self._names = Names()
        self._unseen: dict[str, str] = {}
        self._looking = asyncio.Lock()
        self.view = View(_NO_POOL, {}, {}, {})
        self.servers: Mapping[str, Server] = {}
        """What Nova shows, by instance id."""
        self.services: Mapping[str, str] = {}
        """Ids of compute services, by host id."""
        self.nodes: Mapping[str, Node] = {}
        """Ironic's machines as last seen, by host id."""
        self._nodes_doubted = False

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """What can be chosen: flavors as shapes, by name."""
        return self.view.shapes

    @property
    def flavors(self) -> Mapping[str, str]:
        """Ids of flavors, by the names of their shapes."""
        return self.view.flavors

    @property
    def silent(self) -> frozenset[str]:
        """Compute services that Nova does not hear."""
        return frozenset(each.host for each in computes(self._memory.services) if not each.up)

    @property
    def providers(self) -> Mapping[str, str]:
        """Hosts by their resource providers in Placement, Ironic's machines excepted."""
        known = self._memory.hypervisors
        return {each.uuid: plain(each.host) for each in known if each.kind != IRONIC}

    def flavor(self, shape: str) -> Flavor | None:
        """Return the flavor behind a shape's name; None when there is none."""
        uuid = self.flavors.get(shape, "")
        return next((each for each in self._memory.flavors if each.uuid == uuid), None)

    def server(self, instance: str) -> str:
        """Return the id of an instance's server, as last seen; empty when there was none."""
        found = self.servers.get(instance)
        return found.uuid if found else ""

    def doubt_nodes(self) -> None:
        """Read Ironic's machines again at the next look: one of them was turned."""
        self._nodes_doubted = True

    async def look(self, *, servers_again: Collection[str] = (), whole: bool = False) -> Pool:
        """Return the pool as it is now: nothing that was done before this call is missed.

        Args:
            servers_again: Ids of servers to read whatever Nova says of changes.
            whole: Whether to read everything anew.

        Raises:
            Unavailable: Nova does not answer.
            Denied: it does not let us see.
        """
        async with self._looking:
            now, known = self._clock.now(), self._memory
            whole = whole or now - known.whole_at >= WHOLE_AGAIN_S
            await self._read(now, whole=whole, again=servers_again)
            if whole:
                known.whole_at = now
            self._name()
            land = self._landscape()
            self.view = await asyncio.to_thread(view_of, land)
            return self.view.pool

    async def aclose(self) -> None:
        """Let go of who measures; the cloud is whose it was."""
        await self._gauge.aclose()

    async def _read(self, now: float, *, whole: bool, again: Collection[str]) -> None:
        """Read what may have changed; the services first, for the time of the cloud."""
        known, cloud = self._memory, self._cloud
        known.services = await self._services()
        seldom = whole or now - known.seldom_at >= SELDOM_S
        doubted, self._nodes_doubted = self._nodes_doubted and not seldom, False
        self._unseen = {k: v for k, v in self._unseen.items() if not seldom and k in _SELDOM}
        await asyncio.gather(
            self._roll.refresh(cloud, known.services, whole=whole, again=again),
            self._hosts(whole=whole),
            self._seldom() if seldom else _nothing(),
            self._measure(),
        )
        if seldom:
            known.seldom_at = now
        elif doubted or self._at_odds():
            self._unseen.pop("baremetal", "")
            known.nodes = await self._told("baremetal", catalogue.nodes(cloud), known.nodes)
            self._nodes_doubted |= "baremetal" in self._unseen
        if not seldom and self._roll.came_or_went:
            known.groups = await self._told("groups", catalogue.groups(cloud), known.groups)
        await self._images(whole=whole)
        if told := await self._roll.place(cloud, self._bound()):
            self._unseen["servers"] = f"Nova does not say on which NUMA nodes they lie: {told}"

    async def _services(self) -> tuple[Service, ...]:
        try:
            return await host_reading.services(self._cloud)
        except Denied as error:
            raise Denied(
                f"the cloud {self._cloud.name} does not let this user see its hosts",
                (error.brief, *error.details),
                "take a user with the role admin, or reader on the whole system or deployment",
                code="openstack-403",
            ) from error

    async def _hosts(self, *, whole: bool) -> None:
        known, cloud = self._memory, self._cloud
        aggregates, _ = await asyncio.gather(
            self._told("aggregates", catalogue.aggregates(cloud), known.aggregates),
            self._told("placement", self._stock.refresh(cloud, whole=whole), None),
        )
        known.aggregates = aggregates
        hosts = frozenset(each.host for each in computes(known.services))
        mapped = hosts, frozenset(self._stock.providers)
        if whole or mapped != known.mapped:
            read = host_reading.hypervisors(cloud)
            known.hypervisors = await self._told("hypervisors", read, known.hypervisors)
            known.mapped = mapped

    async def _seldom(self) -> None:
        known, cloud = self._memory, self._cloud
        known.flavors, known.groups, known.nodes, known.storage = await asyncio.gather(
            self._told("flavors", catalogue.flavors(cloud), known.flavors),
            self._told("groups", catalogue.groups(cloud), known.groups),
            self._told("baremetal", catalogue.nodes(cloud), known.nodes),
            self._told("volumes", volumes.storage(cloud), known.storage),
        )

    async def _measure(self) -> None:
        read = self._gauge.read()
        known = self._memory
        before = known.host_use, known.server_use
        known.host_use, known.server_use = await self._told("use", read, before)

    def _at_odds(self) -> bool:
        """Return whether Nova shows a machine's server otherwise than Ironic's machine was seen."""
        powers = {each.uuid: bare_power(each) for each in self._memory.nodes}
        return any(
            powers.get(each.node) is _CONTRARY[each.vm_state]
            for each in self._roll.servers.values()
            if each.vm_state in _CONTRARY and not each.task_state
        )

    async def _images(self, *, whole: bool) -> None:
        """Read images when a server bears one that is not known; a deleted one is never known."""
        known = self._memory
        wanted = {each.image for each in self._roll.servers.values()} - {""}
        unknown = wanted - known.images.keys()
        if unknown and (whole or self._roll.came_or_went):
            read = catalogue.images(self._cloud)
            known.images = {**known.images, **await self._told("images", read, {})}

    async def _told(self, subject: str, read: Awaitable[Read], before: Read) -> Read:
        """Return what was read; else what was known before, with a gap that says why."""
        try:
            return await read
        except BillowError as error:
            self._unseen[subject] = "; ".join((error.brief, *error.details))
            return before

    def _bound(self) -> set[str]:
        """Return the servers whose place on NUMA nodes matters."""
        images, found, rules = self._memory.images, set(), Rules()
        bound: dict[object, bool] = {}
        for uuid, server in self._roll.servers.items():
            if not server.host:
                continue
            image = images.get(server.image)
            key = server.flavor.key, server.image
            if key not in bound:
                properties = image.properties if image else {}
                bound[key] = shape_of(server.flavor, properties, rules).numa_nodes > 0
            if bound[key]:
                found.add(uuid)
        return found

    def _name(self) -> None:
        """Give servers their ids, the oldest first; one that Billow made is called as it wrote."""
        ordered = sorted(self._roll.servers.values(), key=lambda it: (it.created, it.uuid))
        ordered.sort(key=lambda it: OWN_NAME not in it.metadata)
        self._names.settle((it.uuid, it.metadata.get(OWN_NAME) or it.name) for it in ordered)
        given = self._names.given
        self.servers = {given[uuid]: each for uuid, each in self._roll.servers.items()}
        found = computes(self._memory.services)
        self.services = {plain(each.host): each.uuid for each in found}
        names = bare_names(self._memory.nodes, self._memory.services)
        self.nodes = {names[each.uuid]: each for each in self._memory.nodes}

    def _landscape(self) -> Landscape:
        known = self._memory
        return Landscape(
            services=known.services,
            hypervisors=known.hypervisors,
            providers=self._stock.providers,
            inventories=dict(self._stock.inventories),
            summaries=self._stock.summaries,
            aggregates=known.aggregates,
            flavors=known.flavors,
            groups=known.groups,
            images=known.images,
            servers=self._roll.servers,
            names=dict(self._names.given),
            topologies=dict(self._roll.topologies),
            nodes=known.nodes,
            storage=known.storage,
            host_use=known.host_use,
            server_use=known.server_use,
            unseen=dict(self._unseen),
            shared_storage=self._shared_disks,
            taken_at=self._clock.now(),
        )


_SELDOM: Final = frozenset({"flavors", "groups", "baremetal", "volumes", "images"})
_CONTRARY: Final = {"active": Power.OFF, "stopped": Power.ON}
"""By a server's vm_state, the power that its machine would not have."""


async def _nothing() -> None:
    pass
