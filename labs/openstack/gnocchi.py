# SPDX-License-Identifier: Apache-2.0
"""How a lab's Gnocchi is set up; pure."""

from collections.abc import Mapping
from typing import Final

from labs.openstack.places import Places

_API: Final = "gnocchi.rest.app:app_factory"


def gnocchi(
    places: Places, index: str, guard: Mapping[str, object]
) -> Mapping[str, Mapping[str, object]]:
    """Return the settings of Gnocchi, by section: measures in files, one worker.

    Files tell nobody of new measures, so the daemon looks each second. The sections with a colon
    are what Gnocchi's API is made of, as in its own api-paste.ini: that one lets tokens be checked
    by what is in /etc only.

    Args:
        places: Where the lab keeps what.
        index: The address of its database.
        guard: How it has tokens checked.
    """
    settings, kept = places.settings / "gnocchi" / "gnocchi.conf", places.state / "gnocchi"
    return {
        "DEFAULT": {"coordination_url": f"file://{kept / 'locks'}"},
        "api": {"auth_mode": "keystone", "paste_config": settings},
        "indexer": {"url": index},
        "storage": {"driver": "file", "file_basepath": kept},
        "metricd": {"workers": 1, "metric_processing_delay": 1, "metric_reporting_delay": -1},
        "keystone_authtoken": guard,
        "composite:gnocchi+keystone": {
            "use": "egg:Paste#urlmap",
            "/": "versions",
            "/v1": "guarded",
        },
        "app:versions": {
            "paste.app_factory": _API,
            "root": "gnocchi.rest.api.VersionsController",
        },
        "app:measures": {"paste.app_factory": _API, "root": "gnocchi.rest.api.V1Controller"},
        "pipeline:guarded": {"pipeline": "guard measures"},
        "filter:guard": {
            "use": "egg:keystonemiddleware#auth_token",
            "oslo_config_project": "gnocchi",
            "oslo_config_file": settings,
        },
    }
