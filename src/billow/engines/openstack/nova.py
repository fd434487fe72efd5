# SPDX-License-Identifier: Apache-2.0
"""What the verbs ask of Nova, Glance and Placement, call by call, and how long they wait for it.

One microversion for all of it: the oldest release that is supported (Zed) knows it. An order is
never sent twice by itself: whether one was taken, when no answer came, is found by looking.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from billow.engines.openstack.cloud import Body, Cloud
from billow.engines.openstack.patience import looks, steadfast
from billow.errors import Bug, NotFound, Unavailable

VERSION: Final = "2.90"
UNDER_WAY: Final = frozenset(
    {
        *("accepted", "queued", "preparing", "pre-migrating", "migrating", "running"),
        *("post-migrating", "finished", "confirming", "reverting"),
    }
)
"""Statuses of a migration record that is not at its end."""
_ARRIVED: Final = frozenset({"done", "completed"})
_STILL: Final = frozenset({"SHUTOFF", "PAUSED", "SUSPENDED", "SHELVED", "SHELVED_OFFLOADED"})
_RUNNING, _PAUSED, _SHUT_DOWN, _SUSPENDED = 1, 3, 4, 7
_AT_REST: Final = frozenset({_PAUSED, _SHUT_DOWN, _SUSPENDED})


@dataclass(frozen=True, slots=True)
class Seen:
    """One server, as Nova shows it at one moment.

    Attributes:
        power: Nova's number for what the hypervisor said last.
    """

    uuid: str
    name: str
    host: str
    status: str
    task: str
    power: int
    metadata: Mapping[str, str]
    fault: str

    @property
    def rests(self) -> bool:
        """Whether Nova does nothing with it."""
        return not self.task and self.status not in {"BUILD", "MIGRATING", "RESIZE"}

    @property
    def given_up(self) -> bool:
        """Whether Nova gave it up although its guest was seen to run."""
        return self.status == "ERROR" and not self.task and self.power == _RUNNING

    @property
    def ran(self) -> bool:
        """Whether it ran, as far as was seen last: a failed evacuation leaves that as it was."""
        return self.status not in _STILL and self.power not in _AT_REST


@dataclass(frozen=True, slots=True)
class Move:
    """One record of a move or an evacuation: the only place where Nova says how it ended."""

    number: int
    uuid: str
    server: str
    kind: str
    status: str
    source: str
    target: str

    @property
    def under_way(self) -> bool:
        """Whether it is not at its end."""
        return self.status in UNDER_WAY

    @property
    def arrived(self) -> bool:
        """Whether the server is at its new home."""
        return self.status in _ARRIVED


class Nova:
    """A cloud, as the verbs speak to it."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def get(self, path: str, service: str = "compute") -> Body:
        """Read something. Raises as `Cloud.call`."""
        return await self._cloud.get(service, path, VERSION if service == "compute" else "")

    async def server(self, uuid: str) -> Seen | None:
        """Return a server; None when Nova has none of this id any more."""
        try:
            answer = await self.get(f"/servers/{uuid}")
        except NotFound:
            return None
        return seen(answer["server"])

    async def made_by(self, action_id: str, name: str) -> list[Seen]:
        """Return the servers that an action made: one, unless something went very wrong."""
        answer = await self.get(f"/servers/detail?all_tenants=1&name=^{name}$")
        servers = (seen(each) for each in answer["servers"])
        return [each for each in servers if each.metadata.get("billow_action") == action_id]

    async def create(self, body: Mapping[str, Any]) -> str:
        """Order a server; return its id."""
        answer = await self._cloud.call("POST", "compute", "/servers", body, VERSION)
        return str(answer["server"]["id"])

    async def act(self, uuid: str, what: str, how: Mapping[str, Any] | None = None) -> None:
        """Order something of a server."""
        path = f"/servers/{uuid}/action"
        await self._cloud.call("POST", "compute", path, {what: how}, VERSION)

    async def delete(self, uuid: str) -> None:
        """Order a server's end; one that is gone is gone."""
        try:
            await self._cloud.call("DELETE", "compute", f"/servers/{uuid}", None, VERSION)
        except NotFound:
            return

    async def abort(self, uuid: str, move: Move) -> None:
        """Order a live migration's end."""
        path = f"/servers/{uuid}/migrations/{move.number}"
        await self._cloud.call("DELETE", "compute", path, None, VERSION)

    async def set_service(self, service: str, **fields: object) -> None:
        """Change a compute service."""
        await self._cloud.call("PUT", "compute", f"/os-services/{service}", fields, VERSION)

    async def moves(self, uuid: str) -> list[Move]:
        """Return the records of a server's moves, newest first."""
        answer = await self.get(f"/os-migrations?instance_uuid={uuid}")
        found = [move(each) for each in answer["migrations"]]
        return sorted(found, key=lambda move: -move.number)

    async def memory(self, uuid: str, move: Move) -> tuple[float, float]:
        """Return what a live migration has left to copy, and all of it, MiB; 0 when unknown."""
        try:
            answer = await self.get(f"/servers/{uuid}/migrations/{move.number}")
        except (NotFound, Unavailable):
            return 0.0, 0.0
        said = answer["migration"]
        left, whole = said.get("memory_remaining_bytes"), said.get("memory_total_bytes")
        return (left or 0) / 2**20, (whole or 0) / 2**20

    async def allocated(self, consumer: str) -> bool:
        """Return whether Placement still holds room for a consumer."""
        answer = await self.get(f"/allocations/{consumer}", "placement")
        return bool(answer.get("allocations"))

    async def released(self, consumer: str, within_s: float) -> bool:
        """Wait until Placement holds nothing for a consumer any more; return whether it is so."""
        async for waited in looks():
            if not await steadfast(lambda: self.allocated(consumer)):
                return True
            if waited > within_s:
                return False
        raise Bug("looks() ended")

    async def image(self, name: str) -> str:
        """Return an image's id, by its name or id. Raises NotFound."""
        answer = await self.get(f"/images?name={quote(name)}&status=active", "image")
        found = [str(each["id"]) for each in answer["images"]]
        if not found:
            answer = await self.get(f"/images/{quote(name, safe='')}", "image")
            found = [str(answer["id"])]
        return found[0]

    async def network(self, name: str) -> str:
        """Return a network's id, by its name or id. Raises NotFound."""
        answer = await self.get(f"/networks?name={quote(name)}", "network")
        found = [str(each["id"]) for each in answer["networks"]]
        if not found:
            answer = await self.get(f"/networks/{quote(name, safe='')}", "network")
            found = [str(answer["network"]["id"])]
        return found[0]

    async def group(self, name: str) -> str:
        """Return a server group's id, by its name or id; empty when there is none."""
        answer = await self.get("/os-server-groups?all_projects=True")
        groups = answer["server_groups"]
        return next((str(each["id"]) for each in groups if name in (each["id"], each["name"])), "")

    async def add_group(self, name: str, policy: str) -> str:
        """Make a server group; return its id."""
        body = {"server_group": {"name": name, "policy": policy}}
        answer = await self._cloud.call("POST", "compute", "/os-server-groups", body, VERSION)
        return str(answer["server_group"]["id"])


def seen(said: Mapping[str, Any]) -> Seen:
    """Read a server from an answer of Nova."""
    return Seen(
        uuid=str(said["id"]),
        name=str(said.get("name") or ""),
        host=str(said.get("OS-EXT-SRV-ATTR:host") or ""),
        status=str(said.get("status") or "UNKNOWN"),
        task=str(said.get("OS-EXT-STS:task_state") or ""),
        power=int(said.get("OS-EXT-STS:power_state") or 0),
        metadata=dict(said.get("metadata") or {}),
        fault=str((said.get("fault") or {}).get("message") or ""),
    )


def move(said: Mapping[str, Any]) -> Move:
    """Read a migration record from an answer of Nova."""
    return Move(
        number=int(said["id"]),
        uuid=str(said.get("uuid") or ""),
        server=str(said.get("instance_uuid") or ""),
        kind=str(said.get("migration_type") or ""),
        status=str(said.get("status") or ""),
        source=str(said.get("source_compute") or ""),
        target=str(said.get("dest_compute") or ""),
    )
