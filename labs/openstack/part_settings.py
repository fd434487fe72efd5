# SPDX-License-Identifier: Apache-2.0
"""The settings of what a lab may have beside the core; pure."""

from typing import Final

from labs.openstack.places import Places
from labs.openstack.sections import (
    Section,
    Sections,
    database_url,
    guard,
    locks,
    queue_url,
    user_of,
)

_FAKE: Final = ("boot", "deploy", "management", "power")
_ABSENT: Final = ("bios", "console", "raid", "rescue", "vendor")
"""Interfaces of Ironic's drivers that are faked, and those that are left out."""
_MEASURES: Final = "gnocchi.rest.app:app_factory"


def _cinder(places: Places) -> Sections:
    """Asks Nova before it deletes an attachment; its driver is the lab's own and stores nothing."""
    user = user_of(places, "cinder")
    return {
        "DEFAULT": {
            "use_stderr": True,
            "auth_strategy": "keystone",
            "transport_url": queue_url(places),
            "my_ip": "127.0.0.1",
            "host": "lab",
            "state_path": places.state / "cinder",
            "api_paste_config": places.settings / "cinder" / "api-paste.ini",
            "resource_query_filters_file": places.venv / "etc" / "cinder" / "resource_filters.json",
            "enabled_backends": "pools",
            "quota_volumes": -1,
            "quota_gigabytes": -1,
            "report_interval": 4,
            "service_down_time": 24,
            "backend_stats_polling_interval": 4,
        },
        "pools": {"volume_driver": "lab_volumes.LabVolumes", "volume_backend_name": "pools"},
        "database": {"connection": database_url(places, "cinder")},
        "keystone_authtoken": guard(places, "cinder"),
        "nova": user | {"interface": "public"},
        "service_user": {"send_service_user_token": True, **user},
        "coordination": {"backend_url": f"file://{places.state / 'cinder'}"},
        "oslo_concurrency": locks(places),
        "oslo_messaging_notifications": {"driver": "noop"},
    }


def _gnocchi(places: Places) -> Sections:
    """Measures in files, one worker; files tell nobody of new ones, so it looks each second.

    The sections with a colon are what its API is made of, as in its own api-paste.ini: that one
    lets tokens be checked by what is in /etc only.
    """
    settings, kept = places.settings / "gnocchi" / "gnocchi.conf", places.state / "gnocchi"
    return {
        "DEFAULT": {"coordination_url": f"file://{kept / 'locks'}"},
        "api": {"auth_mode": "keystone", "paste_config": settings},
        "indexer": {"url": database_url(places, "gnocchi")},
        "storage": {"driver": "file", "file_basepath": kept},
        "metricd": {"workers": 1, "metric_processing_delay": 1, "metric_reporting_delay": -1},
        "keystone_authtoken": guard(places, "gnocchi"),
        "composite:gnocchi+keystone": {
            "use": "egg:Paste#urlmap",
            "/": "versions",
            "/v1": "guarded",
        },
        "app:versions": {
            "paste.app_factory": _MEASURES,
            "root": "gnocchi.rest.api.VersionsController",
        },
        "app:measures": {"paste.app_factory": _MEASURES, "root": "gnocchi.rest.api.V1Controller"},
        "pipeline:guarded": {"pipeline": "guard measures"},
        "filter:guard": {
            "use": "egg:keystonemiddleware#auth_token",
            "oslo_config_project": "gnocchi",
            "oslo_config_file": settings,
        },
    }


def _ironic(places: Places) -> Sections:
    """Machines of which nothing is real: each interface is Ironic's own fake, or none."""
    none = {f"enabled_{kind}_interfaces": f"no-{kind}" for kind in _ABSENT}
    fake = {f"enabled_{kind}_interfaces": "fake" for kind in _FAKE}
    user = user_of(places, "ironic")
    sections: dict[str, Section] = {
        "DEFAULT": {
            "use_stderr": True,
            "auth_strategy": "keystone",
            "transport_url": queue_url(places),
            "rpc_transport": "oslo",
            "rbac_service_role_elevated_access": True,  # Nova deploys on machines of any project's
            "host": "metal",
            "my_ip": "127.0.0.1",
            "enabled_hardware_types": "fake-hardware",
            "enabled_network_interfaces": "noop",
            "default_network_interface": "noop",
            "enabled_firmware_interfaces": "no-firmware",
            "enabled_inspect_interfaces": "agent",
            **fake,
            **none,
            "tempdir": places.state / "ironic",
        },
        "database": {"connection": database_url(places, "ironic")},
        "keystone_authtoken": guard(places, "ironic"),
        "conductor": {"automated_clean": False},
        "dhcp": {"dhcp_provider": "none"},
        "inspector": {"require_managed_boot": False},
        "nova": user,
        "oslo_concurrency": locks(places),
        "oslo_messaging_rabbit": {"heartbeat_rate": 1},
    }
    return sections | dict.fromkeys(("service_catalog", "glance", "neutron"), user)


OF_PARTS: Final = {"cinder": _cinder, "gnocchi": _gnocchi, "ironic": _ironic}
"""By project, what writes the settings of an optional part."""
