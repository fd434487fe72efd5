# SPDX-License-Identifier: Apache-2.0
"""Every configuration file of a lab, written from its places; pure but for the writing."""

import shutil
from pathlib import Path
from typing import Final

from labs.openstack.part_settings import OF_PARTS
from labs.openstack.parts import parts_of
from labs.openstack.places import CLOUD, METAL, METAL_COMPUTE, PROJECT, REGION, VOLUMES, Places
from labs.openstack.sections import (
    Section,
    Sections,
    database_url,
    guard,
    locks,
    queue_url,
    user_of,
)

FILTERS: Final = (
    "ComputeFilter",
    "ComputeCapabilitiesFilter",
    "ImagePropertiesFilter",
    "ServerGroupAntiAffinityFilter",
    "ServerGroupAffinityFilter",
    "NUMATopologyFilter",
    "PciPassthroughFilter",
)
GPU: Final = {"vendor_id": "10de", "product_id": "20b0"}
"""The PCI device that a lab's host may have; flavors ask by `pci_passthrough:alias = gpu:1`."""
_PASTE: Final = {
    "nova": "api-paste.ini",
    "neutron": "api-paste.ini",
    "glance": "glance-api-paste.ini",
    "cinder": "api-paste.ini",
}


def write_settings(places: Places, computes: int) -> None:
    """Write every configuration file anew; they hold the password, so only we may read them."""
    files = {
        "database.cnf": _ini({"mysqld": _database(places)}),
        "queue.conf": _queue(places),
        "queue-plugins": "[].\n",
        "keystone.conf": _ini(_keystone(places)),
        "placement/placement.conf": _ini(_placement(places)),
        "glance/glance-api.conf": _ini(_glance(places)),
        "neutron/neutron.conf": _ini(_neutron(places)),
        "nova/nova.conf": _ini(_nova(places, computes)),
        "nova/compute.conf": _ini(_compute(places, computes)),
        "clouds.yaml": _clouds(places),
    }
    if METAL in places.parts:
        files[f"nova/{METAL_COMPUTE}.conf"] = _ini(_metal_compute(places, computes))
    for part in parts_of(places):
        files[f"{part.project}/{part.project}.conf"] = _ini(OF_PARTS[part.project](places))
    for name, text in files.items():
        path = places.settings / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(text)
    for service, paste in _PASTE.items():
        if (places.settings / service).is_dir():  # what is no part of this lab has no settings
            shutil.copy(places.venv / "etc" / service / paste, places.settings / service / paste)


def _ini(sections: Sections) -> str:
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {_word(value)}\n" for key, value in section.items())
        for name, section in sections.items()
    )


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _database(places: Places) -> Section:
    """A crash of the machine may lose what was written last: it is a lab."""
    return {
        "datadir": places.state / "database",
        "socket": places.socket,
        "pid-file": places.run / "mariadb.own",
        "bind-address": "127.0.0.1",
        "port": places.ports["database"],
        "skip-name-resolve": "ON",
        "skip-log-bin": "ON",
        "character-set-server": "utf8mb4",
        "max_connections": 1000,
        "innodb_buffer_pool_size": "256M",
        "innodb_log_file_size": "64M",
        "innodb_flush_log_at_trx_commit": 0,
        "innodb_doublewrite": 0,
        "performance_schema": "OFF",
    }


def _queue(places: Places) -> str:
    return "".join(
        f"{key} = {value}\n"
        for key, value in {
            "listeners.tcp.1": f"127.0.0.1:{places.ports['queue']}",
            "default_user": "billow",
            "default_pass": places.password,
            "vm_memory_high_watermark.absolute": "2GB",
            "log.console": "true",
            "log.console.level": "warning",
            "log.file": "false",
        }.items()
    )


def _cache(places: Places) -> Section:
    return {
        "enabled": True,
        "backend": "dogpile.cache.pymemcache",
        "memcache_servers": f"127.0.0.1:{places.ports['cache']}",
    }


def _keystone(places: Places) -> Sections:
    return {
        "DEFAULT": {"use_stderr": True, "max_token_size": 255},
        "database": {"connection": database_url(places, "keystone")},
        "token": {"provider": "fernet", "expiration": 28800},
        "fernet_tokens": {"key_repository": places.state / "fernet"},
        "credential": {"key_repository": places.state / "credential"},
        # Twelve rounds, the default, cost 0.25 s of processor at each login.
        "identity": {"password_hash_rounds": 4},
        "cache": _cache(places),
    }


def _placement(places: Places) -> Sections:
    return {
        "DEFAULT": {"use_stderr": True},
        "api": {"auth_strategy": "keystone"},
        "placement_database": {"connection": database_url(places, "placement")},
        "keystone_authtoken": guard(places, "placement"),
        "placement": {"randomize_allocation_candidates": False},
    }


def _glance(places: Places) -> Sections:
    store = {
        name: {"filesystem_store_datadir": places.state / "glance" / folder}
        for name, folder in (
            ("fs", "images"),
            ("os_glance_staging_store", "staging"),
            ("os_glance_tasks_store", "tasks"),
        )
    }
    paste = places.settings / "glance" / _PASTE["glance"]
    return {
        "DEFAULT": {"use_stderr": True, "enabled_backends": "fs:file"},
        "database": {"connection": database_url(places, "glance")},
        "keystone_authtoken": guard(places, "glance"),
        "paste_deploy": {"flavor": "keystone", "config_file": paste},
        "glance_store": {"default_backend": "fs"},
        **store,
        "oslo_concurrency": locks(places),
    }


def _neutron(places: Places) -> Sections:
    """Nova asks for ports at every read of servers.

    `port_forwarding` and a type driver that queries as it starts are there because GET /ports
    answers 500 until something has configured the mappers of the database.
    """
    return {
        "DEFAULT": {
            "use_stderr": True,
            "core_plugin": "ml2",
            "service_plugins": "router,port_forwarding",
            "auth_strategy": "keystone",
            "transport_url": queue_url(places),
            "state_path": places.state / "neutron",
            "api_paste_config": places.settings / "neutron" / _PASTE["neutron"],
            "notify_nova_on_port_status_changes": False,
            "notify_nova_on_port_data_changes": False,
            "rpc_workers": 0,
            "rpc_state_report_workers": 0,
        },
        "database": {"connection": database_url(places, "neutron")},
        "keystone_authtoken": guard(places, "neutron"),
        "oslo_concurrency": locks(places),
        "ml2": {
            "type_drivers": "local,flat,geneve",
            "tenant_network_types": "local",
            "mechanism_drivers": "test",
            "extension_drivers": "port_security",
        },
        "ml2_type_geneve": {"vni_ranges": "1:1000", "max_header_size": 38},
        "quotas": {"default_quota": -1},
    }


def _nova(places: Places, computes: int) -> Sections:
    user = user_of(places, "nova")
    sections = {
        "DEFAULT": _nova_default(places, computes),
        "api": {"auth_strategy": "keystone"},
        "wsgi": {"api_paste_config": places.settings / "nova" / _PASTE["nova"]},
        "api_database": {"connection": database_url(places, "nova_api")},
        "database": {"connection": database_url(places, "nova")},
        "cache": _cache(places),
        "keystone_authtoken": guard(places, "nova"),
        "service_user": {"send_service_user_token": True, **user},
        "scheduler": {"workers": 1, "discover_hosts_in_cells_interval": 5},
        "filter_scheduler": {"enabled_filters": ",".join(FILTERS)},
        "conductor": {"workers": 1},
        "vnc": {"enabled": False},
        "quota": {"driver": "nova.quota.NoopQuotaDriver"},
        "oslo_concurrency": locks(places),
        "oslo_messaging_notifications": {"driver": "noop"},
        "oslo_messaging_rabbit": {"heartbeat_rate": 1},
        "pci": {"device_spec": _pci(), "alias": _pci(device_type="type-PCI", name="gpu")},
    }
    if VOLUMES in places.parts:
        sections["cinder"] = {"catalog_info": "block-storage::publicURL", **user}
    return sections | dict.fromkeys(("placement", "neutron", "glance", "keystone"), user)


def _compute(places: Places, computes: int) -> Sections:
    """A compute knows no database, or it tries to read one and is refused by its own code."""
    return {
        name: section
        for name, section in _nova(places, computes).items()
        if name not in ("database", "api_database")
    }


def _metal_compute(places: Places, computes: int) -> Sections:
    """The compute that lets Ironic deploy; it looks often what Ironic has."""
    default = {
        **_nova_default(places, computes),
        "compute_driver": "ironic.IronicDriver",
        "host": METAL_COMPUTE,
        "update_resources_interval": 5,
    }
    ironic = {"api_retry_interval": 1, **user_of(places, "nova")}
    return {**_compute(places, computes), "DEFAULT": default, "ironic": ironic}


def _nova_default(places: Places, computes: int) -> Section:
    """`periodic_fuzzy_delay` would keep a new host out of sight for up to a minute."""
    report_s, down_s = places.sizes.rhythm(computes)
    return {
        "use_stderr": True,
        "transport_url": queue_url(places),
        "state_path": places.state / "nova",
        "my_ip": "127.0.0.1",
        "compute_driver": "billow_lab.LabDriver",
        "service_down_time": down_s,
        "report_interval": report_s,
        "periodic_fuzzy_delay": 0,
        "initial_cpu_allocation_ratio": places.sizes.cpu_ratio,
        "initial_ram_allocation_ratio": 1.0,
        "initial_disk_allocation_ratio": 1.0,
        "update_resources_interval": 60 if computes <= 24 else 300,
        "sync_power_state_interval": 600,
        "heal_instance_info_cache_interval": -1,
        "instance_usage_audit": False,
        "max_concurrent_live_migrations": places.sizes.moves_at_once,
    }


def _pci(**more: str) -> str:
    pairs = ", ".join(f'"{key}": "{value}"' for key, value in (GPU | more).items())
    return f"{{{pairs}}}"


def _clouds(places: Places) -> str:
    def entry(cloud: str, name: str) -> str:
        auth = (
            f'auth_url: "{places.url("identity", "/v3")}", username: {name}, '
            f'password: "{places.password}", project_name: {name}, '
            "user_domain_id: default, project_domain_id: default"
        )
        return f"  {cloud}:\n    auth: {{{auth}}}\n    region_name: {REGION}\n"

    return "clouds:\n" + entry(CLOUD, "admin") + entry(PROJECT, "demo")


def make_state_folders(places: Places) -> None:
    """Make the folders that services want to find."""
    names = ("database", "queue", "fernet", "credential", "glance", "nova", "neutron", "locks")
    more = [part.project for part in parts_of(places)]
    for name in (*names, *more):
        Path(places.state, name).mkdir(parents=True, exist_ok=True)
    for name in ("fernet", "credential"):
        (places.state / name).chmod(0o700)
