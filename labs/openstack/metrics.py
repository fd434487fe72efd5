# SPDX-License-Identifier: Apache-2.0
"""What a lab's Gnocchi is told of servers, in the words in which Ceilometer's agents would tell it.

Names, units and archive policies are those of Ceilometer's gnocchi_resources.yaml.
"""

import time
from datetime import UTC, datetime
from typing import Any, Final

from labs.openstack.client import Client
from labs.openstack.places import METRICS, LabError, Places
from labs.openstack.processes import until

POLLED_S: Final = 300
"""How often Ceilometer asks hypervisors."""
POLLS: Final = 7
MEANS: Final = "ceilometer-low"
RATES: Final = "ceilometer-low-rate"
POLICIES: Final = {MEANS: ("mean",), RATES: ("mean", "rate:mean")}
"""Ceilometer's archive policies, and what they keep: granules of five minutes, for 30 days."""
_TEXT: Final = {"type": "string", "min_length": 0, "max_length": 255}
_ATTRIBUTES: Final = {
    **dict.fromkeys(("display_name", "flavor_id", "flavor_name", "host"), _TEXT),
    **{name: {**_TEXT, "required": False} for name in ("image_ref", "server_group")},
}


class Metrics:
    """The Gnocchi of a lab; nothing can be told to it where there is none."""

    def __init__(self, places: Places, client: Client) -> None:
        self._places = places
        self._client = client

    def make_types(self) -> None:
        """Make the archive policies and the kind of resource that Ceilometer makes at its start."""
        self._client.patient("metric", "/status")
        granule = {"granularity": POLLED_S, "timespan": 30 * 24 * 3600}
        for name, kept in POLICIES.items():
            policy = {"name": name, "aggregation_methods": kept, "definition": [granule]}
            self._make("/archive_policy", {**policy, "back_window": 0})
        self._make("/resource_type", {"name": "instance", "attributes": _ATTRIBUTES})

    def measured(
        self,
        server: str,
        *,
        cpus: float,
        memory_mib: float,
        ended_s_ago: float = 0.0,
        policies: tuple[str, str] = (RATES, MEANS),
    ) -> None:
        """Tell of half an hour of a server's even use, and wait until Gnocchi has counted it.

        Told again, only what is later than all that was told before counts.

        Args:
            server: Its id.
            cpus: How many processors it kept busy.
            memory_mib: How much memory it used.
            ended_s_ago: When it was polled last.
            policies: How its processor time and its memory are kept.
        """
        self._know(server)
        last = time.time() - ended_s_ago
        polls = [last - POLLED_S * n for n in reversed(range(POLLS))]
        begun_ns = 1e12
        counted_ns = [begun_ns + cpus * 1e9 * (each - polls[0]) for each in polls]
        told = {
            "cpu": _metric(policies[0], "ns", polls, counted_ns),
            "memory.usage": _metric(policies[1], "MB", polls, [memory_mib] * POLLS),
        }
        path = "/batch/resources/metrics/measures?create_metrics=true"
        self._client.ask("POST", "metric", path, {server: told})
        until(lambda: not self._waiting(), lambda: f"{self._waiting()} measures are not counted")

    def restore(self) -> None:
        """Forget every server."""
        if METRICS in self._places.parts:
            every = {"=": {"type": "instance"}}
            self._client.ask("DELETE", "metric", "/resource/instance", every)

    def _know(self, server: str) -> None:
        """Make the resource of a server, unless it is there."""
        shown = self._client.get("compute", f"/servers/{server}")["server"]
        resource = {
            "id": server,
            "project_id": shown["tenant_id"],
            "user_id": shown["user_id"],
            "display_name": shown["name"],
            "host": shown["OS-EXT-SRV-ATTR:host"],
            "flavor_id": shown["flavor"]["original_name"],
            "flavor_name": shown["flavor"]["original_name"],
        }
        self._make("/resource/instance", resource)

    def _make(self, path: str, what: dict[str, Any]) -> None:
        """Make something that may be there already."""
        try:
            self._client.ask("POST", "metric", path, what)
        except LabError as error:
            if " 409 " not in str(error):
                raise

    def _waiting(self) -> int:
        """Return how many measures Gnocchi has not counted yet."""
        status = self._client.get("metric", "/status")
        return int(status["storage"]["summary"]["measures"])


def _metric(policy: str, unit: str, at: list[float], values: list[float]) -> dict[str, Any]:
    """Return what a metric is and what was measured of it: times since 1970, in seconds."""
    measures = [
        {"timestamp": datetime.fromtimestamp(when, UTC).isoformat(), "value": value}
        for when, value in zip(at, values, strict=True)
    ]
    return {"archive_policy_name": policy, "unit": unit, "measures": measures}
