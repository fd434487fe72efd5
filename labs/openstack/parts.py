# SPDX-License-Identifier: Apache-2.0
"""What a lab may have beside the core, each a project of OpenStack; a table, nothing runs here."""

from dataclasses import dataclass
from typing import Final

from labs.openstack.places import METAL, METAL_COMPUTE, METRICS, VOLUMES, Places


@dataclass(frozen=True, slots=True)
class Part:
    """An optional part.

    Attributes:
        project: Its user in Keystone, its database, and its folders of settings and state.
        service: Its type in the catalogue, and its port.
        path: What its endpoint ends with.
        api: The name of the process, and the module that answers.
        cores: Its processes that are no APIs.
        late: Likewise, that end where no Keystone answers as they start.
        schema: The tool that makes its tables, and what that is told after its settings.
    """

    project: str
    service: str
    path: str
    api: tuple[str, str]
    cores: tuple[str, ...]
    schema: tuple[str, ...]
    late: tuple[str, ...] = ()


PARTS: Final = {
    METAL: Part(
        project="ironic",
        service="baremetal",
        path="",
        api=("ironic-api", "ironic.wsgi"),
        cores=("ironic-conductor",),
        schema=("ironic-dbsync", "upgrade"),
        late=(METAL_COMPUTE,),
    ),
    METRICS: Part(
        project="gnocchi",
        service="metric",
        path="",
        api=("gnocchi-api", "gnocchi.wsgi.api"),
        cores=("gnocchi-metricd",),
        schema=("gnocchi-upgrade", "--sacks-number", "2"),
    ),
    VOLUMES: Part(
        project="cinder",
        service="block-storage",
        path="/v3",
        api=("cinder-api", "cinder.wsgi.api"),
        cores=("cinder-scheduler", "cinder-volume"),
        schema=("cinder-manage", "db", "sync"),
    ),
}
"""By name, which is that of its lock, too."""


def parts_of(places: Places) -> list[Part]:
    """Return what a lab has beside the core."""
    return [PARTS[name] for name in sorted(places.parts)]
