# SPDX-License-Identifier: Apache-2.0
"""What volumes mean for a pool: whom they keep where he is, and what is told of them. Pure.

Whatever home Nova gives a server, it attaches its volumes there before it lets them go here
(`nova.compute.manager.ComputeManager`: `pre_live_migration`, `_terminate_volume_connections`,
`_rebuild_default_impl`). Cinder takes a second attachment of one server only while the volume is
in use or reserved (`cinder.volume.api.API._attachment_reserve`), and asks who serves the volume
for it (`cinder.volume.manager.VolumeManager.attachment_update`).
"""

import math
from collections.abc import Iterator
from typing import Final

from billow.engines.openstack.answers import Storage, StoragePool, Volume
from billow.engines.openstack.landscape import Landscape
from billow.model.group import Fact, Gap

STORAGE: Final = "storage"
"""The subject of facts on all volumes; `storage/NAME` is a pool's or a service's."""
TAKES_MORE: Final = frozenset({"in-use", "reserved", "available", "downloading"})
"""Statuses in which Cinder lets a server of a volume attach it once more."""
_RESTS: Final = frozenset({"", "none", "deleting", "error", "success"})
"""`cinder.volume.api.API.AVAILABLE_MIGRATION_STATUS`: the volume is not being moved."""


def held(land: Landscape) -> dict[str, str]:
    """Return why Cinder keeps servers where they are, by server: linear in servers and volumes."""
    dead = _dead(land.storage)
    whys = {each.uuid: (each, why) for each in land.storage.volumes if (why := _why(each, dead))}
    found = {each.server: why for volume, why in whys.values() for each in volume.attachments}
    if whys:
        for uuid, server in land.servers.items():
            for volume in sorted(server.volumes & whys.keys()):
                found[uuid] = whys[volume][1]
    return found


def _why(volume: Volume, dead: frozenset[str]) -> str:
    """Return why a volume can be attached to no other host now; empty when it can."""
    name = volume.name or volume.uuid
    if volume.status not in TAKES_MORE:
        return f"its volume {name} is {volume.status}: Cinder attaches it to no other host"
    if volume.moving not in _RESTS:  # its own host copies it: Nova's `swap_volume`
        return f"its volume {name} is being moved to another pool ({volume.moving})"
    server = served_by(volume)
    return f"nobody serves its volume {name}: {server} is down" if server in dead else ""


def served_by(volume: Volume) -> str:
    """Return the service, or the cluster of services, that a volume's host is."""
    return (volume.cluster or volume.host).partition("#")[0]


def _dead(storage: Storage) -> frozenset[str]:
    """Return the services that are down, and the clusters of which all are."""
    known = [each for each in storage.services if each.binary == "cinder-volume"]
    alive = {each.cluster for each in known if each.up}
    clusters = {each.cluster for each in known} - alive - {""}
    return frozenset({each.host for each in known if not each.up} | clusters)


def storage_facts(storage: Storage) -> Iterator[Fact]:
    """Yield what is told of volumes, pools and services: numbers as texts, sizes in GiB."""
    if not storage.volumes:
        return
    volumes = storage.volumes
    yield Fact(STORAGE, "volumes", str(len(volumes)))
    yield Fact(STORAGE, "volumes_gib", str(sum(each.size_gib for each in volumes)))
    yield Fact(STORAGE, "attached", str(sum(bool(each.attachments) for each in volumes)))
    for pool in storage.pools:
        yield from _pool_facts(pool)
    for service in storage.services:
        if not service.up:
            yield Fact(f"{STORAGE}/{service.host}", service.binary, "down")


def _pool_facts(pool: StoragePool) -> Iterator[Fact]:
    for key, gib in (
        ("total_gib", pool.total_gib),
        ("free_gib", pool.free_gib),
        ("provisioned_gib", pool.provisioned_gib),
    ):
        if not math.isnan(gib):
            yield Fact(f"{STORAGE}/{pool.name}", key, f"{gib:.12g}")


def unseen_volumes(land: Landscape) -> Iterator[Gap]:
    """Yield that Cinder shows no volume where Nova's servers have some."""
    known = {each.uuid for each in land.storage.volumes}
    if known or "volumes" in land.unseen:
        return
    if attached := {volume for each in land.servers.values() for volume in each.volumes}:
        why = f"Nova has {len(attached)} attached, and Cinder shows this user none"
        yield Gap("volumes", why)
