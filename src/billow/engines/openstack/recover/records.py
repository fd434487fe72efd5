# SPDX-License-Identifier: Apache-2.0
"""What recovery asks of Nova, call by call: services, guests of a host, records of evacuations.

One microversion for all: up to 2.94 a guest that ran runs after its evacuation, from 2.95 on Nova
stops it. An order is never sent twice by itself: whether one was taken is found by looking.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from billow.engines.openstack.cloud import PAGE, Body, Cloud
from billow.engines.openstack.nova import VERSION, Move, Seen, move, seen
from billow.errors import NotFound

STOPPING_VERSION: Final = "2.95"
"""From this one on an evacuated guest is left stopped."""


@dataclass(frozen=True, slots=True)
class Service:
    """A nova-compute, as Nova sees it.

    Attributes:
        up: Whether it was heard lately, and is not said to be dead.
        forced: Whether somebody said that it is dead.
        heard: When it spoke last, as Nova writes it; what counts is only whether it changes.
    """

    uuid: str
    host: str
    up: bool
    forced: bool
    heard: str


class Records:
    """A cloud, as recovery speaks to it."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def service(self, host: str) -> Service:
        """Return the nova-compute of a host. Raises NotFound."""
        found = await self._services(binary="nova-compute", host=host)
        for each in found:
            return each
        raise NotFound(f"Nova knows no nova-compute on {host!a}")

    async def conducted(self) -> bool:
        """Return whether any conductor is up: without one nothing begins."""
        return any(each.up for each in await self._services(binary="nova-conductor"))

    async def force(self, service: Service, *, down: bool) -> None:
        """Tell Nova that a service is dead, or is not."""
        body = {"forced_down": down}
        await self._cloud.call("PUT", "compute", f"/os-services/{service.uuid}", body, VERSION)

    async def guests(self, host: str) -> dict[str, Seen]:
        """Return what Nova has on a host, by its id."""
        asked = urlencode({"all_tenants": "1", "host": host, "limit": str(PAGE)})
        rows = await self._cloud.rows("compute", f"/servers/detail?{asked}", "servers", VERSION)
        return {each.uuid: each for each in map(seen, rows)}

    async def guest(self, uuid: str) -> Seen | None:
        """Return one server; None when Nova has none of this id any more."""
        try:
            answer = await self._get(f"/servers/{quote(uuid, safe='')}")
        except NotFound:
            return None
        return seen(answer["server"])

    async def evacuations(self, host: str, since: float) -> list[Move]:
        """Return the evacuations from a host that changed since an instant, oldest first."""
        at = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        asked = {"source_compute": host, "migration_type": "evacuation", "changes-since": at}
        answer = await self._get(f"/os-migrations?{urlencode(asked)}")
        found = (move(each) for each in answer["migrations"])
        return sorted(found, key=lambda each: each.number)

    async def evacuations_of(self, uuid: str) -> list[Move]:
        """Return all evacuations of one server, oldest first."""
        asked = {"instance_uuid": uuid, "migration_type": "evacuation"}
        answer = await self._get(f"/os-migrations?{urlencode(asked)}")
        found = (move(each) for each in answer["migrations"])
        return sorted(found, key=lambda each: each.number)

    async def evacuate(self, uuid: str, target: str, *, stays_stopped: bool) -> None:
        """Order a server's evacuation to a host, which the scheduler checks."""
        version = STOPPING_VERSION if stays_stopped else VERSION
        await self._act(uuid, {"evacuate": {"host": target}}, version)

    async def reset(self, uuid: str) -> None:
        """Let a server count as active where it is, with nothing under way."""
        await self._act(uuid, {"os-resetState": {"state": "active"}})

    async def start(self, uuid: str) -> None:
        """Order a stopped server's start."""
        await self._act(uuid, {"os-start": None})

    async def stop(self, uuid: str) -> None:
        """Order a server's stop."""
        await self._act(uuid, {"os-stop": None})

    async def _act(self, uuid: str, body: Mapping[str, Any], version: str = VERSION) -> None:
        path = f"/servers/{quote(uuid, safe='')}/action"
        await self._cloud.call("POST", "compute", path, body, version)

    async def _services(self, **asked: str) -> list[Service]:
        answer = await self._get(f"/os-services?{urlencode(asked)}")
        return [_service(each) for each in answer["services"]]

    async def _get(self, path: str) -> Body:
        return await self._cloud.get("compute", path, VERSION)


def _service(said: Mapping[str, Any]) -> Service:
    return Service(
        uuid=str(said["id"]),
        host=str(said["host"]),
        up=said.get("state") == "up",
        forced=bool(said.get("forced_down")),
        heard=str(said.get("updated_at") or ""),
    )
