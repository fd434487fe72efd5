# SPDX-License-Identifier: Apache-2.0
"""Read what servers really use from a cloud's own Gnocchi, as Ceilometer feeds it.

Ceilometer counts a server's CPU time in nanoseconds (`cpu`) and its memory in MiB (`memory.usage`).
How often it polls cannot be known here, so a rate is taken between the means of two granules that
are over: a counter that rises evenly rises from mean to mean by what it does from begin to begin.
Of hosts Gnocchi keeps nothing in most clouds.
"""

import asyncio
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from urllib.parse import urlencode

from billow.engines.openstack.cloud import Body, Cloud
from billow.engines.openstack.landscape import Use
from billow.engines.openstack.read.use import Uses
from billow.errors import NotFound, Refused
from billow.ports import Clock

SERVICE: Final = "metric"
LOOKED_BACK: Final = "-30 minutes"
"""Ceilometer polls every five minutes unless told otherwise; two granules are over by then."""
ASKED: Final = f"/v1/aggregates?{urlencode({'start': LOOKED_BACK, 'groupby': 'id'})}"
"""One metric and each server by itself: of what is asked for together, Gnocchi tells only granules
as long as all of it has them, and refuses where there are none."""
AGAIN_S: Final = 60.0
"""How long an answer holds: it costs Gnocchi time for each server, and polls are seldomer."""
CPU: Final = "cpu"
MEMORY: Final = "memory.usage"
_NS_PER_MILLI: Final = 1e6
_UNKNOWN: Final = "does not exist"
"""What a Gnocchi says that knows no servers (400), or no such metric of any (404)."""


class Mean(NamedTuple):
    """What a metric was on average over a granule: from when, for how long (seconds), how much."""

    at: float
    long_s: float
    value: float


Kept = Mapping[str, Sequence[Mean]]
"""What there is of a metric, by server."""


class Gnocchi:
    """The Gnocchi of a cloud; where it has none, nobody measures."""

    def __init__(self, cloud: Cloud, clock: Clock) -> None:
        self._cloud = cloud
        self._clock = clock
        self._use: Mapping[str, Use] = {}
        self._read_at = -AGAIN_S

    async def read(self) -> Uses:
        """Return the use of servers by id, as it was told within the last minute, and of no host.

        Raises:
            Unavailable, Denied: it does not answer, or does not let us see.
            NotFound, Refused: it does not tell, as of a metric of which it keeps no means.
        """
        if not await self._cloud.has(SERVICE):
            return {}, {}
        now = self._clock.now()
        if now - self._read_at >= AGAIN_S:
            cpu, memory = await asyncio.gather(self._kept(CPU), self._kept(MEMORY))
            self._use, self._read_at = servers(cpu, memory, now), now
        return {}, self._use

    async def aclose(self) -> None:
        """Do nothing: the connections are the cloud's."""

    async def _kept(self, metric: str) -> Kept:
        try:
            return kept(await self._cloud.call("POST", SERVICE, ASKED, wanted(metric)), metric)
        except (NotFound, Refused) as error:
            if not any(_UNKNOWN in each for each in error.details):
                raise
            return {}


def wanted(metric: str) -> dict[str, str]:
    """Return the question for a metric of all servers that are not deleted."""
    return {
        "resource_type": "instance",
        "search": "ended_at = null",
        "operations": f"(metric {metric} mean)",
    }


def kept(answer: Body, metric: str) -> dict[str, list[Mean]]:
    """Return what Gnocchi told of a metric, by server; what makes no sense is left out."""
    groups = answer.get("")
    told = {_inner(each, "group", "id"): each for each in groups or () if isinstance(each, dict)}
    return {
        uuid: list(_means(_inner(group, "measures", "measures", uuid, metric, "mean")))
        for uuid, group in told.items()
        if isinstance(uuid, str)
    }


def servers(cpu: Kept, memory: Kept, now: float) -> dict[str, Use]:
    """Return what servers use, by id."""
    return {
        uuid: Use(
            cpu_milli=_rate(_finest(cpu.get(uuid, ()), now)) / _NS_PER_MILLI,
            memory_mib=_last(_finest(memory.get(uuid, ()), now)),
        )
        for uuid in {**cpu, **memory}
    }


def _finest(means: Sequence[Mean], now: float) -> list[Mean]:
    """Return the shortest granules that are over, oldest first."""
    found = [mean for mean in means if mean.at + mean.long_s <= now]
    finest = min((mean.long_s for mean in found), default=math.nan)
    return sorted({mean.at: mean for mean in found if mean.long_s == finest}.values())


def _inner(found: object, *keys: str) -> object:
    """Return what lies below some keys; None where one of them is missing."""
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


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
