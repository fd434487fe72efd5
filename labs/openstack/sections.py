# SPDX-License-Identifier: Apache-2.0
"""What the settings of many services in a lab have in common; pure."""

from collections.abc import Mapping
from typing import TypeAlias

from labs.openstack.places import REGION, Places

Section: TypeAlias = Mapping[str, object]
Sections: TypeAlias = Mapping[str, Section]
"""A file of settings, by section."""


def database_url(places: Places, name: str) -> str:
    """Return how OpenStack reaches one of the databases."""
    reach = f"billow:{places.password}@127.0.0.1:{places.ports['database']}"
    return f"mysql+pymysql://{reach}/{name}?charset=utf8"


def user_of(places: Places, name: str) -> dict[str, object]:
    """Return how a service proves to Keystone who it is."""
    return {
        "auth_url": places.url("identity", "/v3"),
        "auth_type": "password",
        "username": name,
        "password": places.password,
        "project_name": "service",
        "user_domain_id": "default",
        "project_domain_id": "default",
        "region_name": REGION,
    }


def guard(places: Places, name: str) -> Section:
    """Return how a service has tokens checked."""
    return user_of(places, name) | {
        "www_authenticate_uri": places.url("identity", "/v3"),
        "memcached_servers": f"127.0.0.1:{places.ports['cache']}",
        "service_token_roles_required": True,
    }


def queue_url(places: Places) -> str:
    """Return how services reach the queue."""
    return f"rabbit://billow:{places.password}@127.0.0.1:{places.ports['queue']}/"


def locks(places: Places) -> Section:
    """Return where they keep their locks."""
    return {"lock_path": places.state / "locks"}
