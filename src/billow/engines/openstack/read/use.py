# SPDX-License-Identifier: Apache-2.0
"""Read what hosts and servers really use, from Prometheus, where one is configured.

Names of series are those of node_exporter for hosts, of Ceilometer's exporter (label `resource`)
or the libvirt exporters (label `uuid` or `instance_id`) for servers. Nova itself measures nothing.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

import httpx2
from pydantic_core import from_json

from billow.engines.openstack.landscape import Use
from billow.errors import Unavailable

ANSWERS_WITHIN_S: Final = 5.0
_HOST_LABELS: Final = ("fqdn", "nodename", "hostname", "host", "instance")
_SERVER_LABELS: Final = ("resource", "resource_id", "uuid", "instance_id", "instanceUUID")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
HOST_CPU: Final = "sum without(cpu,mode)(rate(node_cpu_seconds_total{mode!~'idle|iowait'}[5m]))"
HOST_MEMORY: Final = "node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes"
SERVER_CPU: Final = (
    "rate(ceilometer_cpu[10m]) / 1e9",
    "rate(libvirt_domain_info_cpu_time_seconds_total[5m])",
)
SERVER_MEMORY: Final = (
    ("ceilometer_memory_usage", 1.0),
    ("libvirt_domain_memory_stats_used_bytes", 2.0**-20),
)
Uses = tuple[Mapping[str, Use], Mapping[str, Use]]
"""Of hosts by any name of theirs, and of servers by id."""


class Gauge(Protocol):
    """Who measures."""

    async def read(self) -> Uses:
        """Return what was last measured. Raises Unavailable."""

    async def aclose(self) -> None:
        """Let go of connections."""


class NoGauge:
    """Nobody measures."""

    async def read(self) -> Uses:
        """Return nothing."""
        return {}, {}

    async def aclose(self) -> None:
        """Do nothing."""


class Prometheus:
    """A Prometheus that measures a cloud."""

    def __init__(self, url: str) -> None:
        self._client = httpx2.AsyncClient(base_url=url.rstrip("/"), timeout=ANSWERS_WITHIN_S)

    async def read(self) -> Uses:
        """Return the use of hosts and servers. Raises Unavailable."""
        hosts = _by(await self._asked(HOST_CPU), _HOST_LABELS)
        memory = _by(await self._asked(HOST_MEMORY), _HOST_LABELS)
        cpus, mibs = await self._servers()
        host_use = {
            name: _use(hosts.get(name), memory.get(name), 2.0**-20) for name in {*hosts, *memory}
        }
        return _short(host_use), {u: _use(cpus.get(u), mibs.get(u), 1.0) for u in {*cpus, *mibs}}

    async def aclose(self) -> None:
        """Let go of connections."""
        await self._client.aclose()

    async def _servers(self) -> tuple[dict[str, float], dict[str, float]]:
        cpus: dict[str, float] = {}
        mibs: dict[str, float] = {}
        for query in SERVER_CPU:
            cpus.update(_by(await self._asked(query), _SERVER_LABELS))
        for query, factor in SERVER_MEMORY:
            found = _by(await self._asked(query), _SERVER_LABELS)
            mibs.update({uuid: value * factor for uuid, value in found.items()})
        return _servers_only(cpus), _servers_only(mibs)

    async def _asked(self, query: str) -> list[dict[str, Any]]:
        try:
            came = await self._client.get("/api/v1/query", params={"query": query})
            answer = from_json(came.content)
            came.raise_for_status()
        except (httpx2.HTTPError, ValueError) as error:
            raise Unavailable(
                "Prometheus does not answer", (f"{type(error).__name__}: {error}"[:300],)
            ) from error
        result = answer.get("data", {}).get("result", []) if isinstance(answer, dict) else []
        return [each for each in result if isinstance(each, dict)]


def _by(rows: list[dict[str, Any]], labels: tuple[str, ...]) -> dict[str, float]:
    """Return samples by the first label that names who was measured; several are added up."""
    found: dict[str, float] = {}
    for row in rows:
        metric, value = row.get("metric") or {}, _number(row)
        name = next((str(metric[label]) for label in labels if metric.get(label)), "")
        if name and not math.isnan(value):
            found[name] = found.get(name, 0.0) + value
    return found


def _number(row: Mapping[str, Any]) -> float:
    try:
        value = float(row["value"][1])
    except (KeyError, IndexError, TypeError, ValueError):
        return math.nan
    return value if 0 <= value < 1e15 else math.nan


def _use(cpus: float | None, memory: float | None, factor: float) -> Use:
    cpu_milli = math.nan if cpus is None else cpus * 1000
    return Use(cpu_milli=cpu_milli, memory_mib=math.nan if memory is None else memory * factor)


def _short(uses: Mapping[str, Use]) -> dict[str, Use]:
    """Return hosts by their whole names, and by the first part of them, without a port."""
    return {short: use for name, use in uses.items() for short in _names(name)}


def _names(name: str) -> Iterator[str]:
    bare = name.partition(":")[0]
    yield from (bare.partition(".")[0], bare, name)


def _servers_only(found: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in found.items() if _UUID.fullmatch(name)}
