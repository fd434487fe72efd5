# SPDX-License-Identifier: Apache-2.0
"""Masakari's and Watcher's rows from their APIs. It reads, and nothing else."""

from collections.abc import Mapping
from typing import Any, Final

from billow.engines.openstack.cloud import Cloud
from billow.errors import NotFound

MASAKARI: Final = "instance-ha"
WATCHER: Final = "infra-optim"
_ENABLED_SINCE: Final = "1.2"
"""Segments can be disabled since this microversion."""


async def masakari_rows(cloud: Cloud) -> list[Mapping[str, Any]]:
    """Return all segments and their hosts. Raises NotFound, and as `Cloud.call`."""
    await _there(cloud, MASAKARI, "Masakari")
    version = await cloud.microversion(MASAKARI, _ENABLED_SINCE)
    rows = await _listed(cloud, MASAKARI, "/segments", "segments", version)
    for segment in tuple(rows):
        path = f"/segments/{segment['uuid']}/hosts"
        rows += await _listed(cloud, MASAKARI, path, "hosts", version)
    return list(rows)


async def watcher_rows(cloud: Cloud) -> list[Mapping[str, Any]]:
    """Return all audit templates and audits. Raises NotFound, and as `Cloud.call`."""
    await _there(cloud, WATCHER, "Watcher")
    rows: list[Mapping[str, Any]] = []
    for kind in ("audit_templates", "audits"):
        rows += await _listed(cloud, WATCHER, f"/{kind}/detail", kind)
    return rows


async def _there(cloud: Cloud, service: str, name: str) -> None:
    if not await cloud.has(service):
        raise NotFound(
            f"the cloud {cloud.name} has no {name}",
            (f"there is no {service} in its catalogue",),
            fix="give what was exported as files",
        )


async def _listed(
    cloud: Cloud, service: str, path: str, key: str, version: str = ""
) -> list[dict[str, Any]]:
    """Return rows, whether or not the catalogue's address ends with the major version."""
    try:
        return await cloud.rows(service, path, key, version)
    except NotFound:
        return await cloud.rows(service, f"/v1{path}", key, version)
