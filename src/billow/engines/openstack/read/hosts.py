# SPDX-License-Identifier: Apache-2.0
"""Read what hosts are and have, by Nova and Placement, as few calls as that takes.

A provider's generation rises with each allocation, an inventory almost never changes. One call
sums all providers up; an inventory is read alone only where the sum does not fit what is known.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from billow.engines.openstack.answers import Hypervisor, Inventory, Provider, Service, Summary
from billow.engines.openstack.cloud import Cloud
from billow.engines.openstack.decode import (
    hypervisor_of,
    inventories_of,
    names,
    provider_of,
    service_of,
    summaries_of,
)
from billow.errors import NotFound

HYPERVISORS: Final = "2.87"
"""The last microversion that says what they have; it asks no compute service, as later ones do."""
SERVICES: Final = "2.69"
PLACEMENT: Final = "1.39"
_EVERY_HOST: Final = "/allocation_candidates?resources=MEMORY_MB:1"
"""Placement answers with a sum of each host that has a MiB left, and of all below it."""


async def services(cloud: Cloud) -> tuple[Service, ...]:
    """Return every process of Nova's. Raises as `Cloud.call`."""
    version = await cloud.microversion("compute", SERVICES)
    rows = await cloud.rows("compute", "/os-services", "services", version)
    return tuple(map(service_of, rows))


async def hypervisors(cloud: Cloud) -> tuple[Hypervisor, ...]:
    """Return what compute services drive. Raises as `Cloud.call`."""
    version = await cloud.microversion("compute", HYPERVISORS)
    rows = await cloud.rows("compute", "/os-hypervisors/detail?limit=1000", "hypervisors", version)
    return tuple(map(hypervisor_of, rows))


@dataclass(slots=True)
class Stock:
    """What Placement has, as last read."""

    providers: dict[str, Provider] = field(default_factory=dict)
    inventories: dict[str, Mapping[str, Inventory]] = field(default_factory=dict)
    summaries: dict[str, Summary] = field(default_factory=dict)

    async def refresh(self, cloud: Cloud, *, whole: bool) -> None:
        """Read what has changed; everything when `whole`. Raises as `Cloud.call`."""
        version = await cloud.microversion("placement", PLACEMENT)
        answer = await cloud.get("placement", "/resource_providers", version)
        now = {each.uuid: each for each in map(provider_of, answer.get("resource_providers") or ())}
        changed = {u for u, each in now.items() if whole or self.providers.get(u) != each}
        for gone in self.inventories.keys() - now.keys():
            del self.inventories[gone]
        if changed or now.keys() != self.providers.keys():
            await self._read(cloud, version, now, changed)
        self.providers = now

    async def _read(
        self, cloud: Cloud, version: str, now: Mapping[str, Provider], changed: set[str]
    ) -> None:
        unknown = now.keys() - self.inventories.keys()
        if len(changed) > 1 or unknown:
            sums, _ = await asyncio.gather(
                cloud.get("placement", _EVERY_HOST, version),
                self._inventories(cloud, version, unknown),
            )
            self.summaries = {u: s for u, s in self.summaries.items() if u in now}
            told = summaries_of(sums)
            self.summaries.update(told)
        else:
            told = {}
        alone = {uuid for uuid in changed if uuid not in told}
        doubtful = {u for u in changed - unknown if u in alone or self._differs(u, told[u])}
        await asyncio.gather(
            self._inventories(cloud, version, doubtful),
            *(self._sum(cloud, version, uuid) for uuid in alone),
        )

    def _differs(self, uuid: str, told: Summary) -> bool:
        known = {name: each.capacity for name, each in self.inventories[uuid].items()}
        return known != dict(told.capacity)

    async def _inventories(self, cloud: Cloud, version: str, uuids: Iterable[str]) -> None:
        async def one(uuid: str) -> None:
            try:
                path = f"/resource_providers/{uuid}/inventories"
                answer = await cloud.get("placement", path, version)
            except NotFound:
                return
            self.inventories[uuid] = inventories_of(answer)

        await asyncio.gather(*map(one, uuids))

    async def _sum(self, cloud: Cloud, version: str, uuid: str) -> None:
        """Sum up a provider that has nothing left, or that changed alone."""
        path = f"/resource_providers/{uuid}"
        try:
            traits, usages = await asyncio.gather(
                cloud.get("placement", f"{path}/traits", version),
                cloud.get("placement", f"{path}/usages", version),
            )
        except NotFound:
            return
        self.summaries[uuid] = Summary(
            capacity={},
            used={name: int(n) for name, n in (usages.get("usages") or {}).items()},
            traits=names(traits, "traits"),
        )
