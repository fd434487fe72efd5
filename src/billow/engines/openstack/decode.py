# SPDX-License-Identifier: Apache-2.0
"""Read the answers of a cloud's APIs: a field that is missing or odd becomes its plain default.

Releases differ in what they say; nothing here fails because a cloud says less, or more.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

from billow.engines.openstack.answers import (
    Aggregate,
    Attachment,
    Flavor,
    Hypervisor,
    Image,
    Inventory,
    Node,
    Provider,
    Server,
    ServerGroup,
    Service,
    StoragePool,
    StorageService,
    Summary,
    Topology,
    Volume,
)

Row = Mapping[str, Any]
_ATTACHED: Final = "os-extended-volumes:volumes_attached"
_IN_POOL: Final = "os-vol-host-attr:host"


def text(row: Row, key: str) -> str:
    """Return a text, empty where there is none."""
    found = row.get(key)
    return found if isinstance(found, str) else "" if found is None else str(found)


def number(row: Row, key: str) -> int:
    """Return a whole number; 0 where there is none."""
    try:
        return max(0, int(row.get(key) or 0))
    except (TypeError, ValueError, OverflowError):
        return 0


def ratio(row: Row, key: str) -> float:
    """Return a ratio; 1 where there is none."""
    try:
        found = float(row.get(key) or 1.0)
    except (TypeError, ValueError):
        return 1.0
    return found if 0.0 < found < 1e6 else 1.0


def mapping(row: Row, key: str) -> dict[str, Any]:
    """Return a mapping; an empty one where there is none."""
    found = row.get(key)
    return found if isinstance(found, dict) else {}


def texts(row: Row, key: str) -> dict[str, str]:
    """Return a mapping of texts."""
    return {str(name): text(mapping(row, key), name) for name in mapping(row, key)}


def names(row: Row, key: str) -> frozenset[str]:
    """Return a set of names."""
    found = row.get(key)
    return frozenset(map(str, found)) if isinstance(found, list | tuple) else frozenset()


def _rows(row: Row, key: str) -> list[dict[str, Any]]:
    """Return the mappings of a list."""
    found = row.get(key)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def service_of(row: Row) -> Service:
    """Read a row of `GET /os-services`."""
    return Service(
        uuid=text(row, "id"),
        binary=text(row, "binary"),
        host=text(row, "host"),
        zone=text(row, "zone"),
        enabled=text(row, "status") != "disabled",
        up=text(row, "state") == "up",
        forced_down=row.get("forced_down") is True,
        reason=text(row, "disabled_reason"),
        beat=text(row, "updated_at"),
    )


def hypervisor_of(row: Row) -> Hypervisor:
    """Read a row of `GET /os-hypervisors/detail`, up to 2.87 or from 2.88 on."""
    cpu = mapping(row, "cpu_info")
    shape = mapping(cpu, "topology")
    cells = number(shape, "cells")
    return Hypervisor(
        uuid=text(row, "id"),
        name=text(row, "hypervisor_hostname"),
        host=text(mapping(row, "service"), "host"),
        kind=text(row, "hypervisor_type"),
        arch=text(cpu, "arch"),
        cpu_model=text(cpu, "model"),
        cells=cells,
        sockets=number(shape, "sockets") * max(1, cells),
        vcpus=number(row, "vcpus"),
        memory_mib=number(row, "memory_mb"),
    )


def provider_of(row: Row) -> Provider:
    """Read a row of `GET /resource_providers`."""
    uuid = text(row, "uuid")
    return Provider(
        uuid=uuid,
        name=text(row, "name"),
        generation=number(row, "generation"),
        parent=text(row, "parent_provider_uuid"),
        root=text(row, "root_provider_uuid") or uuid,
    )


def inventories_of(answer: Row) -> dict[str, Inventory]:
    """Read `GET /resource_providers/ID/inventories`."""
    found = mapping(answer, "inventories")
    return {
        name: Inventory(
            total=number(row, "total"),
            reserved=number(row, "reserved"),
            ratio=ratio(row, "allocation_ratio"),
            most=number(row, "max_unit"),
        )
        for name, row in found.items()
        if isinstance(row, dict)
    }


def summaries_of(answer: Row) -> dict[str, Summary]:
    """Read what `GET /allocation_candidates` sums up, by provider."""
    found = mapping(answer, "provider_summaries")
    return {uuid: _summary(row) for uuid, row in found.items() if isinstance(row, dict)}


def _summary(row: Row) -> Summary:
    resources = mapping(row, "resources")
    return Summary(
        capacity={name: number(each, "capacity") for name, each in resources.items()},
        used={name: number(each, "used") for name, each in resources.items()},
        traits=names(row, "traits"),
    )


def aggregate_of(row: Row) -> Aggregate:
    """Read a row of `GET /os-aggregates`."""
    return Aggregate(
        name=text(row, "name"),
        uuid=text(row, "uuid"),
        hosts=names(row, "hosts"),
        metadata=texts(row, "metadata"),
    )


def flavor_of(row: Row) -> Flavor:
    """Read a flavor, a row of `GET /flavors/detail` or the one in a server (from 2.47 on)."""
    ephemeral = row.get("OS-FLV-EXT-DATA:ephemeral", row.get("ephemeral"))
    swap_gib = -(-number(row, "swap") // 1024)
    return Flavor(
        uuid=text(row, "id"),
        name=text(row, "original_name") or text(row, "name"),
        vcpus=number(row, "vcpus"),
        memory_mib=number(row, "ram"),
        disk_gib=number(row, "disk") + number({"": ephemeral}, "") + swap_gib,
        specs=texts(row, "extra_specs"),
        hidden=row.get("os-flavor-access:is_public") is False
        or row.get("OS-FLV-DISABLED:disabled") is True,
    )


def group_of(row: Row) -> ServerGroup:
    """Read a row of `GET /os-server-groups`, from 2.64 on or before."""
    policies = row.get("policies")
    first = str(policies[0]) if isinstance(policies, list) and policies else ""
    return ServerGroup(
        uuid=text(row, "id"),
        name=text(row, "name"),
        policy=text(row, "policy") or first,
        most_per_host=number(mapping(row, "rules"), "max_server_per_host") or 1,
        members=names(row, "members"),
    )


def image_of(row: Row) -> Image:
    """Read a row of Glance's `GET /images`: properties stand beside the rest."""
    properties = {name: each for name, each in row.items() if isinstance(each, str)}
    return Image(uuid=text(row, "id"), name=text(row, "name"), properties=properties)


def server_of(row: Row) -> Server:
    """Read a row of `GET /servers/detail`."""
    flavor = mapping(row, "flavor")
    pin = text(row, "pinned_availability_zone") if "pinned_availability_zone" in row else None
    return Server(
        uuid=text(row, "id"),
        name=text(row, "name"),
        created=text(row, "created"),
        updated=text(row, "updated"),
        status=text(row, "status"),
        vm_state=text(row, "OS-EXT-STS:vm_state"),
        task_state=text(row, "OS-EXT-STS:task_state"),
        power_state=number(row, "OS-EXT-STS:power_state"),
        host=text(row, "OS-EXT-SRV-ATTR:host"),
        node=text(row, "OS-EXT-SRV-ATTR:hypervisor_hostname"),
        project_id=text(row, "tenant_id"),
        zone=text(row, "OS-EXT-AZ:availability_zone"),
        pin=pin,
        flavor=flavor_of(flavor),
        flavor_id=text(flavor, "id"),
        image=text(mapping(row, "image"), "id"),
        volumes=frozenset(text(each, "id") for each in _rows(row, _ATTACHED)),
        metadata=texts(row, "metadata"),
        locked=row.get("locked") is True,
        locked_reason=text(row, "locked_reason"),
        fault=text(mapping(row, "fault"), "message"),
        hints=mapping(row, "scheduler_hints"),
    )


def topology_of(answer: Row) -> Topology:
    """Read `GET /servers/ID/topology` (from 2.78 on)."""
    rows = (each for each in _rows(answer, "nodes") if each.get("host_node") is not None)
    homes = {number(each, "host_node") for each in rows}
    return Topology(nodes=tuple(sorted(homes)), pages_kib=number(answer, "pagesize_kb"))


def node_of(row: Row) -> Node:
    """Read a row of Ironic's `GET /nodes/detail`."""
    properties = mapping(row, "properties")
    return Node(
        uuid=text(row, "uuid"),
        name=text(row, "name"),
        power=text(row, "power_state"),
        target=text(row, "target_power_state"),
        error=text(row, "last_error"),
        locked_by=text(row, "reservation"),
        state=text(row, "provision_state"),
        maintenance=row.get("maintenance") is True,
        reason=text(row, "maintenance_reason"),
        fault=text(row, "fault"),
        resource_class=text(row, "resource_class"),
        cpus=number(properties, "cpus"),
        memory_mib=number(properties, "memory_mb"),
        arch=text(properties, "cpu_arch"),
        instance=text(row, "instance_uuid"),
        zone_hint=text(row, "conductor_group"),
        identities=identities_of(properties, mapping(row, "extra")),
    )


def identities_of(*said: Row) -> tuple[str, ...]:
    """Return what tells a machine from all others, the most telling first."""
    return tuple(text(row, key) for key in _IDENTITIES for row in said if text(row, key))


_IDENTITIES: Final = ("system_uuid", "serial_number", "serial")
"""How a machine's own names are called in Ironic's records and inventories."""


def volume_of(row: Row) -> Volume:
    """Read a row of Cinder's `GET /volumes/detail`."""
    return Volume(
        uuid=text(row, "id"),
        name=text(row, "name"),
        status=text(row, "status"),
        moving=text(row, "migration_status"),
        size_gib=number(row, "size"),
        host=text(row, _IN_POOL),
        cluster=text(row, "cluster_name"),
        updated=text(row, "updated_at") or text(row, "created_at"),
        attachments=tuple(map(_attachment_of, _rows(row, "attachments"))),
    )


def is_whole(row: Row) -> bool:
    """Return whether a volume is shown as to an administrator; others see only their own."""
    return _IN_POOL in row


def _attachment_of(row: Row) -> Attachment:
    return Attachment(
        uuid=text(row, "attachment_id"), server=text(row, "server_id"), host=text(row, "host_name")
    )


def storage_pool_of(row: Row) -> StoragePool:
    """Read a row of Cinder's `GET /scheduler-stats/get_pools`."""
    able = mapping(row, "capabilities")
    total, free = _gib(able, "total_capacity_gb"), _gib(able, "free_capacity_gb")
    told = "provisioned_capacity_gb" in able
    return StoragePool(
        name=text(row, "name"),
        total_gib=total,
        free_gib=free,
        provisioned_gib=_gib(able, "provisioned_capacity_gb" if told else "allocated_capacity_gb"),
    )


def _gib(row: Row, key: str) -> float:
    """Return a capacity, which may be `infinite` or `unknown`."""
    said = row.get(key)
    try:
        return math.inf if said == "infinite" else float(said if said is not None else math.nan)
    except (TypeError, ValueError):
        return math.nan


def storage_service_of(row: Row) -> StorageService:
    """Read a row of Cinder's `GET /os-services`."""
    return StorageService(
        binary=text(row, "binary"),
        host=text(row, "host"),
        cluster=text(row, "cluster"),
        up=text(row, "state") == "up",
    )
