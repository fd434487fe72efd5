# SPDX-License-Identifier: Apache-2.0
"""Read what servers really use from a cloud's own Gnocchi, as Ceilometer feeds it.

Ceilometer counts a server's CPU time in nanoseconds (`cpu`) and its memory in MiB (`memory.usage`).
How often it polls cannot be known here, so a rate is taken between the means of two granules that
are over: a counter that rises evenly rises from mean to mean by what it does from begin to begin.
Of hosts Gnocchi keeps nothing in most clouds.
"""

import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from billow.engines.openstack.cloud import Body, Cloud
from billow.engines.openstack.landscape import Use
from billow.engines.openstack.read.use import Uses
from billow.errors import NotFound, Refused
from billow.ports import Clock

SERVICE: Final = "metric"
LOOKED_BACK: Final = "-30 minutes"
"""Ceilometer polls every five minutes unless told otherwise; two granules are over by then."""
ASKED: Final = {
    "resource_type": "instance",
    "search": "ended_at = null",
    "operations": "(metric (cpu mean) (memory.usage mean))",
}
_NS_PER_MILLI: Final = 1e6
_NOTHING_KEPT: Final = frozenset({"openstack-400", "openstack-404"})
"""Answers of a Gnocchi that knows no servers, or no such metric of any."""


class Mean(NamedTuple):
    """What a metric was on average over a granule: from when, for how long (seconds), how much."""

    at: float
    long_s: float
    value: float


class Gnocchi:
    """The Gnocchi of a cloud; where it has none, nobody measures."""

    def __init__(self, cloud: Cloud, clock: Clock) -> None:
        self._cloud = cloud
        self._clock = clock

    async def read(self) -> Uses:
        """Return the use of servers by id, and of no host. Raises Unavailable, Denied."""
        if not await self._cloud.has(SERVICE):
            return {}, {}
        path = f"/v1/aggregates?{urlencode({'start': LOOKED_BACK})}"
        try:
            answer = await self._cloud.call("POST", SERVICE, path, ASKED)
        except (NotFound, Refused) as error:
            if error.code not in _NOTHING_KEPT:
                raise
            return {}, {}
        return {}, servers(answer, self._clock.now())

    async def aclose(self) -> None:
        """Do nothing: the connections are the cloud's."""


def servers(answer: Body, now: float) -> dict[str, Use]:
    """Return what Gnocchi told of servers, by id; what makes no sense is left out."""
    told = answer.get("measures")
    return {
        uuid: Use(
            cpu_milli=_rate(_finest(metrics, "cpu", now)) / _NS_PER_MILLI,
            memory_mib=_last(_finest(metrics, "memory.usage", now)),
        )
        for uuid, metrics in (told.items() if isinstance(told, dict) else ())
        if isinstance(metrics, dict)
    }


def _finest(metrics: Mapping[str, Any], name: str, now: float) -> list[Mean]:
    """Return a metric's shortest granules that are over, oldest first."""
    kept = metrics.get(name)
    rows = kept.get("mean") if isinstance(kept, dict) else None
    found = [mean for mean in _means(rows) if mean.at + mean.long_s <= now]
    finest = min((mean.long_s for mean in found), default=math.nan)
    return sorted({mean.at: mean for mean in found if mean.long_s == finest}.values())


def _means(rows: object) -> Iterator[Mean]:
    for row in rows if isinstance(rows, list) else ():
        try:
            at, long_s, value = row
            yield Mean(datetime.fromisoformat(at).timestamp(), float(long_s), float(value))
        except (TypeError, ValueError):
            continue


def _rate(means: list[Mean]) -> float:
    """Return by how much a counter rises each second; not a number while nobody can tell.

    One that fell was begun anew: its server moved, or started.
    """
    if len(means) < 2:
        return math.nan
    before, after = means[-2:]
    rise = (after.value - before.value) / (after.at - before.at)
    return rise if rise >= 0 else math.nan


def _last(means: list[Mean]) -> float:
    return means[-1].value if means else math.nan
