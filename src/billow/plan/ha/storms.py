# SPDX-License-Identifier: Apache-2.0
"""Storms: hosts that share something and were suspected together; more of them than by accident."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from billow.plan.ha.fleet import Scope


@dataclass(frozen=True, slots=True)
class Storm:
    """Hosts that share something were suspected together.

    Attributes:
        began_at, ended_at: Seconds since the epoch; `inf` while it lasts.
    """

    scope: Scope
    began_at: float
    ended_at: float

    @property
    def key(self) -> str:
        """What tells it from other storms."""
        return f"{self.scope.kind}/{self.scope.name}/{self.began_at:.0f}"


class Span(NamedTuple):
    """One suspicion of a host.

    Attributes:
        begin, end: From when to when it counts, seconds since the epoch.
        became: When something had become of the host, if that is later: where a storm is on at
            `end`, it lasts for this host until then.
    """

    host: str
    begin: float
    end: float
    became: float


def last_storm(scope: Scope, spans: Iterable[Span], needed: float, now: float) -> Storm | None:
    """Return the last time in which as many hosts as needed were suspected at once.

    Args:
        scope: What the hosts share.
        spans: The suspicions.
        needed: So many hosts are no accident.
        now: Seconds since the epoch.
    """
    events = []
    for each in spans:
        events += [(each.begin, 1, each.host, 0.0), (each.end, -1, each.host, each.became)]
    heapify(events)
    count: dict[str, int] = defaultdict(int)
    suspects, began, last = 0, 0.0, None
    while events and events[0][0] <= now:
        at, change, host, became = heappop(events)
        was = suspects
        if became > at and was >= needed:
            heappush(events, (became, change, host, 0.0))
            continue
        suspects += _flips(count, host, change)
        if suspects >= needed > was:
            began, last = at, Storm(scope, at, float("inf"))
        elif was >= needed > suspects:
            last = Storm(scope, began, at)
    return last


def _flips(count: dict[str, int], host: str, change: int) -> int:
    """Return by how much the number of different suspects changes."""
    before = count[host] > 0
    count[host] += change
    return (count[host] > 0) - before
