# SPDX-License-Identifier: Apache-2.0
"""Read what Cinder has: volumes and their attachments; its pools and services where there are any.

A cloud without Cinder has no volumes; nor has one whose Cinder has none, for one call.
"""

import asyncio
from typing import Final

from billow.engines.openstack.answers import Storage, Volume
from billow.engines.openstack.cloud import PAGE, Cloud
from billow.engines.openstack.decode import (
    is_whole,
    storage_pool_of,
    storage_service_of,
    volume_of,
)
from billow.errors import Denied

CINDER: Final = "block-storage"
VOLUMES: Final = "3.61"
"""From here on an administrator is told of clusters; Zed speaks 3.70."""


async def storage(cloud: Cloud) -> Storage:
    """Return all of Cinder that matters here. Raises as `volumes`."""
    found = await volumes(cloud)
    if not found:
        return Storage()
    version = await cloud.microversion(CINDER, VOLUMES)
    pools, services = await asyncio.gather(
        cloud.rows(CINDER, "/scheduler-stats/get_pools?detail=true", "pools", version),
        cloud.rows(CINDER, "/os-services", "services", version),
    )
    return Storage(
        volumes=found,
        pools=tuple(map(storage_pool_of, pools)),
        services=tuple(map(storage_service_of, services)),
    )


async def volumes(cloud: Cloud) -> tuple[Volume, ...]:
    """Return every volume of all projects; none where there is no Cinder.

    Raises:
        Denied: this user sees only those of one project: `all_tenants` of others than
            administrators is ignored, without a word (`cinder.volume.api.API.get_all`).
        BillowError: as `Cloud.call`.
    """
    if not await cloud.has(CINDER):
        return ()
    version = await cloud.microversion(CINDER, VOLUMES)
    path = f"/volumes/detail?all_tenants=1&limit={PAGE}"
    rows = await cloud.rows(CINDER, path, "volumes", version)
    if not all(map(is_whole, rows)):
        brief = f"Cinder of {cloud.name} shows this user the volumes of one project only"
        raise Denied(brief, fix="take a user with the role admin", code="openstack-403")
    return tuple(map(volume_of, rows))
