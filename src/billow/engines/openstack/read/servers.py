# SPDX-License-Identifier: Apache-2.0
"""Read servers: all of them page by page, then only those that changed since.

Since when is told by the cloud's own clock, as its conductors' heartbeats show it: they write both.
"""

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote

from billow.engines.openstack.answers import Server, Service, Topology
from billow.engines.openstack.cloud import PAGE, Body, Cloud
from billow.engines.openstack.decode import server_of, topology_of
from billow.errors import BillowError, NotFound

SERVERS: Final = "2.96"
"""From here on Nova says which zone a server was asked for; before, a gap says so."""
TOPOLOGY: Final = "2.78"
OVERLAP: Final = timedelta(seconds=10)
"""By how much looks overlap: conductors' clocks differ, and a change is written after its time."""
_GONE: Final = frozenset({"DELETED"})


@dataclass(slots=True)
class Roll:
    """The servers of a cloud, as last read."""

    servers: dict[str, Server] = field(default_factory=dict)
    topologies: dict[str, Topology] = field(default_factory=dict)
    since: str = ""
    came_or_went: bool = False
    """Whether the last look brought a new server, or missed one."""

    async def refresh(
        self, cloud: Cloud, services: Iterable[Service], *, whole: bool, again: Collection[str]
    ) -> None:
        """Read what has changed; everything when `whole`. Raises as `Cloud.call`.

        Args:
            cloud: Who is asked.
            services: As read just before.
            whole: Whether nothing that is known counts.
            again: Servers to read whatever Nova says of changes.
        """
        version = await cloud.microversion("compute", SERVERS)
        before, since = set(self.servers), _heard(services)
        path = f"/servers/detail?all_tenants=1&limit={PAGE}"
        if whole or not self.since:
            rows = await cloud.rows("compute", path, "servers", version)
            self.servers = {each.uuid: each for each in map(server_of, rows)}
        else:
            await self._changed(cloud, f"{path}&changes-since={quote(self.since)}", version)
            await asyncio.gather(*(self._one(cloud, uuid, version) for uuid in again))
        self.servers = {u: s for u, s in self.servers.items() if s.status not in _GONE}
        self.since = since or self.since
        self.came_or_went = self.servers.keys() != before

    async def _changed(self, cloud: Cloud, path: str, version: str) -> None:
        for row in await cloud.rows("compute", path, "servers", version):
            server = server_of(row)
            self.servers[server.uuid] = server

    async def _one(self, cloud: Cloud, uuid: str, version: str) -> None:
        try:
            answer: Body = await cloud.get("compute", f"/servers/{uuid}", version)
        except NotFound:
            self.servers.pop(uuid, None)
            return
        server = server_of(answer.get("server") or {})
        self.servers[uuid] = server

    async def place(self, cloud: Cloud, bound: Collection[str]) -> str:
        """Read on which NUMA nodes servers lie, those that moved since; return what was denied.

        Args:
            cloud: Who is asked.
            bound: Servers whose flavor or image asks for NUMA nodes.
        """
        wanted = {uuid: self._where(self.servers[uuid]) for uuid in bound}
        for uuid in self.topologies.keys() - wanted.keys():
            del self.topologies[uuid]
        self._placed = {u: where for u, where in self._placed.items() if u in wanted}
        moved = [uuid for uuid, where in wanted.items() if self._placed.get(uuid) != where]
        version = await cloud.microversion("compute", TOPOLOGY)
        told = await asyncio.gather(*(self._topology(cloud, uuid, version) for uuid in moved))
        for uuid in moved:
            self._placed[uuid] = wanted[uuid]
        return next(filter(None, told), "")

    _placed: dict[str, tuple[str, str]] = field(default_factory=dict)

    def _where(self, server: Server) -> tuple[str, str]:
        return server.host, server.flavor.name

    async def _topology(self, cloud: Cloud, uuid: str, version: str) -> str:
        try:
            answer = await cloud.get("compute", f"/servers/{uuid}/topology", version)
        except NotFound:
            self.topologies.pop(uuid, None)
            return ""
        except BillowError as error:
            return "; ".join((error.brief, *error.details))
        self.topologies[uuid] = topology_of(answer)
        return ""


def _heard(services: Iterable[Service]) -> str:
    """Return the cloud's time, a little in the past; empty when no conductor is heard."""
    beats = [each.beat for each in services if each.binary == "nova-conductor" and each.up]
    try:
        earliest = min(map(datetime.fromisoformat, beats), default=None)
    except ValueError:
        return ""
    return "" if earliest is None else f"{(earliest - OVERLAP).replace(tzinfo=None).isoformat()}Z"
