# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: S608 (all words of the statements are our own)
"""The rows that Nova and Placement keep of a server: copied for others, or removed.

The columns are asked of the database, so that a release that adds one needs no change here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from labs.openstack import servers
from labs.openstack.places import Places

_OWN: Final = {
    "uuid": "s.uuid",
    "hostname": "s.name",
    "display_name": "s.name",
    "host": "s.host",
    "node": "s.host",
    "launched_on": "s.host",
    "compute_id": "c.id",
    "reservation_id": "CONCAT('r-', LEFT(s.uuid, 8))",
    "created_at": "UTC_TIMESTAMP()",
    "updated_at": "UTC_TIMESTAMP()",
    "launched_at": "UTC_TIMESTAMP()",
}
"""What of a row of `instances` a copy has of its own."""
_BY_SERVER: Final[tuple[tuple[str, str, dict[str, str]], ...]] = (
    ("nova", "instance_extra", {}),
    ("nova", "instance_info_caches", {}),
    ("nova", "instance_system_metadata", {}),
    ("nova", "instance_metadata", {}),
    ("nova", "block_device_mapping", {"uuid": "UUID()"}),
    ("nova_api", "request_specs", {"spec": "REPLACE(t.spec, s.template, s.uuid)"}),
    ("nova_api", "instance_mappings", {}),
)
"""Database, table, and what else of it is a copy's own."""
_MORE: Final = (
    "virtual_interfaces",
    "instance_faults",
    "migrations",
    "instance_actions_events",
    "instance_actions",
    "tags",
)
"""What Nova writes of a server's life; a copy begins without."""
_API: Final = (
    "instance_group_member",
    "instance_group_policy",
    "instance_groups",
    "build_requests",
    "aggregate_hosts",
    "aggregate_metadata",
    "aggregates",
)
_ALLOCATIONS: Final = """
INSERT INTO placement.allocations
  (created_at, resource_provider_id, consumer_id, resource_class_id, used)
  SELECT UTC_TIMESTAMP(), p.id, s.uuid, a.resource_class_id, a.used FROM nova.seed s
  JOIN placement.allocations a ON a.consumer_id = s.template
  JOIN placement.resource_providers p ON p.name = s.host;
UPDATE placement.resource_providers SET generation = generation + 1
  WHERE name IN (SELECT host FROM nova.seed);
DROP TABLE nova.seed;"""


@dataclass(frozen=True, slots=True)
class Copy:
    """A server that shall be, like its template in all but name and host."""

    uuid: str
    name: str
    host: str
    template: str


def copy(places: Places, copies: Sequence[Copy]) -> None:
    """Write the rows of servers that were never asked for."""
    values = ", ".join(f"('{c.uuid}', '{c.name}', '{c.host}', '{c.template}')" for c in copies)
    node = "JOIN nova.compute_nodes c ON c.hypervisor_hostname = s.host AND c.deleted = 0"
    text = [
        _seed_table(),
        f"INSERT INTO nova.seed VALUES {values};",
        _copied(places, "nova.instances", "uuid", _OWN, node),
    ]
    for database, table, own in _BY_SERVER:
        text.append(_copied(places, f"{database}.{table}", "instance_uuid", own))
    text.append(_copied(places, "placement.consumers", "uuid", {}))
    servers.sql(places, "\n".join([*text, _ALLOCATIONS]))


def has_cells(places: Places, server: str) -> bool:
    """Tell whether a server holds NUMA cells or devices of its own."""
    text = (
        f"SELECT COUNT(*) FROM instance_extra WHERE instance_uuid = '{server}' "
        "AND numa_topology <> 'null'"
    )
    devices = f"SELECT COUNT(*) FROM pci_devices WHERE instance_uuid = '{server}'"
    return any(servers.sql(places, each, "nova") != [["0"]] for each in (text, devices))


def _seed_table() -> str:
    columns = "uuid VARCHAR(36) PRIMARY KEY, name VARCHAR(255), host VARCHAR(255)"
    columns += ", template VARCHAR(36)"
    return f"CREATE TEMPORARY TABLE nova.seed ({columns}) CHARACTER SET utf8;"


def _copied(places: Places, table: str, key: str, own: dict[str, str], joined: str = "") -> str:
    """Return the statement that copies the rows of templates in one table."""
    own = {key: "s.uuid"} | own
    kept = [each for each in _columns(places, table) if each not in own and each != "id"]
    names = ", ".join(f"`{each}`" for each in (*kept, *own))
    found = ", ".join((*(f"t.`{each}`" for each in kept), *own.values()))
    origin = f"nova.seed s JOIN {table} t ON t.{key} = s.template {joined}"
    return f"INSERT INTO {table} ({names}) SELECT {found} FROM {origin};"


def _columns(places: Places, table: str) -> list[str]:
    database, _, name = table.partition(".")
    text = (
        "SELECT column_name FROM information_schema.columns "
        f"WHERE table_schema = '{database}' AND table_name = '{name}'"
    )
    return [row[0] for row in servers.sql(places, text)]


_EMPTIED: Final = (
    *(f"{database}.{table}" for database, table, _ in _BY_SERVER),
    *(f"nova.{table}" for table in _MORE),
    *(f"nova_api.{table}" for table in _API),
    *("nova.instances", "nova_cell0.instances", "placement.allocations", "placement.consumers"),
    "placement.resource_provider_aggregates",
)
WIPE: Final = f"""
SET FOREIGN_KEY_CHECKS = 0;
{" ".join(f"DELETE FROM {table};" for table in _EMPTIED)}
UPDATE nova.pci_devices SET status = 'available', instance_uuid = NULL, request_id = NULL
  WHERE status IN ('allocated', 'claimed');
UPDATE nova.services SET disabled = 0, disabled_reason = NULL, forced_down = 0;
DELETE t FROM placement.resource_provider_traits t JOIN placement.traits n
  ON n.id = t.trait_id WHERE n.name = 'COMPUTE_STATUS_DISABLED';
UPDATE placement.resource_providers SET generation = generation + 1;
"""
"""Removes every server, group, aggregate and record; services are enabled and not forced down."""
_VOLUMES: Final = (
    *("volume_attachment", "attachment_specs", "volume_admin_metadata", "volume_metadata"),
    *("volume_glance_metadata", "workers", "messages", "volumes", "reservations", "quota_usages"),
)
WIPE_VOLUMES: Final = f"""
SET FOREIGN_KEY_CHECKS = 0;
{" ".join(f"DELETE FROM cinder.{table};" for table in _VOLUMES)}
UPDATE cinder.services SET disabled = 0, disabled_reason = NULL;
"""
"""Removes every volume and attachment."""
