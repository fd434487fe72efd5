# SPDX-License-Identifier: Apache-2.0
"""Read the books that `amiss` holds against each other, and put right what it found.

An entry is changed only as it was read (Placement's generation of a consumer, Nova's own state), so
that whoever changes it meanwhile wins.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from billow.engines.openstack.answers import Service, Volume
from billow.engines.openstack.cloud import PAGE, Body, Cloud
from billow.engines.openstack.decode import server_of, service_of
from billow.engines.openstack.hosts import IRONIC, bare_names
from billow.engines.openstack.names import plain
from billow.engines.openstack.nova import UNDER_WAY, VERSION
from billow.engines.openstack.read import catalogue
from billow.engines.openstack.read import hosts as host_reading
from billow.engines.openstack.read.volumes import CINDER, volumes
from billow.engines.openstack.recover.amiss import (
    Ailment,
    Booked,
    Books,
    Holding,
    Kind,
    Record,
    ailments,
)
from billow.engines.openstack.recover.volumes import volume_ailments
from billow.errors import BillowError, Conflict, NotFound, Refused
from billow.model.plan import Finding
from billow.model.run import Progress
from billow.ports import Clock

ENTRIES: Final = "1.38"
"""The microversion of Placement from which on an entry says what kind of consumer it has."""
_NOVAS: Final = frozenset({"INSTANCE", "MIGRATION", "unknown"})
ATTACHMENTS: Final = "3.27"
"""The microversion of Cinder from which on attachments are entries of their own."""
LOOK_TWICE_S: Final = 3.0


class Survey:
    """The books of one cloud."""

    def __init__(self, cloud: Cloud, clock: Clock) -> None:
        self._cloud = cloud
        self._clock = clock

    async def ailments(self) -> tuple[Ailment, ...]:
        """Return what is amiss in two readings some seconds apart. Raises Unavailable, Denied.

        What is on its way between two entries is seen by one of them only.
        """
        first = _all(await self.books())
        if not first:
            return ()
        await self._clock.sleep(LOOK_TWICE_S)
        again = {(each.kind, each.id, each.provider) for each in _all(await self.books())}
        both = [each for each in first if (each.kind, each.id, each.provider) in again]
        return tuple([each for each in both if await self._is_so(each)])

    async def books(self) -> Books:
        """Read all of them, room and volumes first: what is made meanwhile is not taken for left.

        What Cinder does not tell is not judged; that it does not is a gap of the pool's.
        """
        holdings, told = await asyncio.gather(self._holdings(), self._volumes())
        servers, records, services = await asyncio.gather(
            self._rows(f"/servers/detail?all_tenants=1&limit={PAGE}", "servers"),
            self._rows(f"/os-migrations?limit={PAGE}", "migrations"),
            self._cloud.get("compute", "/os-services?binary=nova-compute", VERSION),
        )
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        told_of = services["services"]
        called = await self._called(map(service_of, told_of))
        booked = (_booked(each, now) for each in servers)
        return Books(
            holdings=tuple(replace(it, host=called.get(it.host, it.host)) for it in holdings),
            servers={it.uuid: replace(it, host=called.get(it.host, it.host)) for it in booked},
            records=tuple(_record(each) for each in records),
            volumes=told,
            alive=frozenset(str(s["host"]) for s in told_of if s.get("state") == "up"),
            whole=all(each.get("status") != "UNKNOWN" for each in told_of),
            now=self._clock.now(),
        )

    async def findings(self) -> tuple[Finding, ...]:
        """Return what is amiss, as people read it. Raises Unavailable, Denied."""
        return tuple(each.finding for each in await self.ailments())

    async def repair(self, host: str) -> AsyncGenerator[Progress, None]:
        """Put right what is amiss on a host. Raises Refused: something is left, and why."""
        yield Progress(0.0, "reading the books")
        found = [each for each in await self.ailments() if each.heals_on(host)]
        left: list[str] = []
        for number, each in enumerate(found):
            yield Progress(0.3 + 0.7 * number / len(found), each.text)
            try:
                await self.heal(each)
            except (Refused, Conflict, NotFound) as error:
                left.append(f"{each.text}: {'; '.join((error.brief, *error.details))}")
        if left:
            brief = f"{len(left)} of {len(found)} things on {host} are still amiss"
            raise Refused(brief, tuple(left), "try again: somebody may be at work on them")
        yield Progress(1.0, f"{len(found)} things put right" if found else "nothing was amiss", 0.0)

    async def heal(self, ailment: Ailment) -> None:
        """Put one thing right; what is right by now is left. Raises Refused, Unavailable."""
        if ailment.kind is Kind.UNCONFIRMED:
            await self._act(ailment.id, {"confirmResize": None})
        elif ailment.kind is Kind.STANDS_STILL:
            await self._act(ailment.id, {"os-resetState": {"state": "active"}})
        elif ailment.kind is Kind.ATTACHED_TO_NOBODY:
            await self._detach(ailment.id)
        else:
            await self._release(ailment)

    async def _is_so(self, ailment: Ailment) -> bool:
        """Return whether an entry is Nova's: others (reservations, volumes) have room, too.

        A server is gone when Nova says so of itself: lists leave out cells that are down.
        """
        if ailment.kind is Kind.ATTACHED_TO_NOBODY:
            return await self._is_gone(ailment.provider)
        if ailment.kind is not Kind.NOBODY:
            return True
        held = await self._cloud.get("placement", f"/allocations/{ailment.id}", ENTRIES)
        return held.get("consumer_type") in _NOVAS

    async def _release(self, ailment: Ailment) -> None:
        """Give room back that nobody uses: on one provider of a server, or all of an entry."""
        path = f"/allocations/{quote(ailment.id, safe='')}"
        held = await self._cloud.get("placement", path, ENTRIES)
        allocations: dict[str, Body] = dict(held.get("allocations") or {})
        if ailment.provider not in allocations:
            return
        if ailment.kind is Kind.LEFT_BEHIND and len(allocations) == 1:
            raise Refused(f"{ailment.id} holds room nowhere else", code="last-room")
        del allocations[ailment.provider]
        body = {
            "allocations": {
                provider: {"resources": each["resources"]} for provider, each in allocations.items()
            },
            "consumer_generation": held.get("consumer_generation"),
            "project_id": held.get("project_id"),
            "user_id": held.get("user_id"),
            "consumer_type": held.get("consumer_type"),
        }
        await self._cloud.call("PUT", "placement", path, body, ENTRIES)

    async def _act(self, uuid: str, body: Mapping[str, Any]) -> None:
        path = f"/servers/{quote(uuid, safe='')}/action"
        await self._cloud.call("POST", "compute", path, body, VERSION)

    async def _is_gone(self, server: str) -> bool:
        try:
            await self._cloud.get("compute", f"/servers/{quote(server, safe='')}", VERSION)
        except NotFound:
            return True
        return False

    async def _detach(self, attachment: str) -> None:
        """Delete an attachment; Cinder refuses while Nova has it. One that is gone is gone."""
        path = f"/attachments/{quote(attachment, safe='')}"
        with contextlib.suppress(NotFound):
            await self._cloud.call("DELETE", CINDER, path, None, ATTACHMENTS)

    async def _called(self, services: Iterable[Service]) -> dict[str, str]:
        """Return what the pool calls hosts, by their providers' names; nothing if it is not told.

        Nova names a provider after the hypervisor, a host's full name, or a node of Ironic's.
        """
        try:
            hypervisors, nodes = await asyncio.gather(
                host_reading.hypervisors(self._cloud), catalogue.nodes(self._cloud)
            )
        except BillowError:
            return {}
        own = {each.name: plain(each.host) for each in hypervisors if each.kind != IRONIC}
        return own | bare_names(nodes, services)

    async def _volumes(self) -> tuple[Volume, ...] | None:
        try:
            return await volumes(self._cloud)
        except BillowError:
            return None

    async def _holdings(self) -> tuple[Holding, ...]:
        """Return what is held of each host; a provider below a host's own counts as the host."""
        providers = await self._cloud.rows(
            "placement", "/resource_providers", "resource_providers", "1.14"
        )
        names = {str(each["uuid"]): str(each["name"]) for each in providers}
        pages = await asyncio.gather(*(self._held_of(each, names) for each in providers))
        return tuple(held for page in pages for held in page)

    async def _held_of(self, provider: Body, names: Mapping[str, str]) -> list[Holding]:
        uuid = str(provider["uuid"])
        host = names.get(str(provider.get("root_provider_uuid") or uuid), str(provider["name"]))
        try:
            found = await self._cloud.get(
                "placement", f"/resource_providers/{uuid}/allocations", "1.14"
            )
        except NotFound:
            return []
        held = found.get("allocations") or {}
        return [Holding(consumer=each, host=host, provider=uuid) for each in held]

    async def _rows(self, path: str, key: str) -> list[Body]:
        return await self._cloud.rows("compute", path, key, VERSION)


def _all(books: Books) -> tuple[Ailment, ...]:
    return (*ailments(books), *volume_ailments(books))


def _booked(said: Mapping[str, Any], now: datetime) -> Booked:
    updated = datetime.fromisoformat(str(said.get("updated") or now.isoformat()))
    node = said.get("OS-EXT-SRV-ATTR:hypervisor_hostname")
    return Booked(
        uuid=str(said["id"]),
        name=str(said.get("name") or said["id"]),
        host=str(node or said.get("OS-EXT-SRV-ATTR:host") or ""),
        status=str(said.get("status") or ""),
        task=str(said.get("OS-EXT-STS:task_state") or ""),
        idle_s=(now - updated).total_seconds(),
        compute=str(said.get("OS-EXT-SRV-ATTR:host") or ""),
        volumes=server_of(said).volumes,
    )


def _record(said: Mapping[str, Any]) -> Record:
    status = str(said.get("status") or "")
    return Record(
        uuid=str(said.get("uuid") or said["id"]),
        server=str(said.get("instance_uuid") or ""),
        source=str(said.get("source_node") or said.get("source_compute") or ""),
        target=str(said.get("dest_node") or said.get("dest_compute") or ""),
        under_way=status in UNDER_WAY,
    )
