# SPDX-License-Identifier: Apache-2.0
"""Tell people of hosts that somebody misses and that too few controllers may judge.

Nothing is ended or started for such a host, dead or not, so nobody else would ever speak of it.
This module only tells: by the log, once for each host and network, and by a metric.
"""

from collections.abc import Collection
from typing import Final

import structlog
from prometheus_client import Gauge

from billow.model.ha.evidence import Network
from billow.plan.ha.agree import Agreement
from billow.telemetry import REGISTRY

LASTS_S: Final = 30.0
"""What is over sooner is told to nobody: a controller that is restarted is back by then."""
MOST_NAMED: Final = 20
UNJUDGED: Final = Gauge(
    "billow_hosts_unjudged",
    f"Hosts that somebody misses and that could not be judged for {LASTS_S:g} s.",
    registry=REGISTRY,
)
Path = tuple[str, Network]
"""A host and a network of its."""
log = structlog.get_logger()


class Unjudged:
    """Remembers since when hosts cannot be judged, and what was told of it."""

    def __init__(self) -> None:
        self._since: dict[Path, float] = {}
        self._told: frozenset[Path] = frozenset()

    def look(self, agreed: Agreement, now: float) -> None:
        """Tell what is new in what controllers agree on; `now` is seconds since the epoch."""
        paths = [(host, each) for host, on in agreed.unjudged.items() for each in on]
        self._since = {path: self._since.get(path, now) for path in paths}
        due = frozenset(path for path, since in self._since.items() if now - since >= LASTS_S)
        UNJUDGED.set(len({host for host, _ in due}))
        if fresh := due - self._told:
            why = [f"{each.observer}, {each.network}: {each.why}" for each in agreed.faults]
            log.warning(
                "hosts are missed and cannot be judged: nothing is done for them, dead or not",
                **_named(fresh),
                why=why or ["too few controllers speak"],
                fix="see `billow ha status`, and docs/how-to/recover-hosts.md",
            )
        if over := self._told - due:
            log.info("hosts can be judged again, or are heard", **_named(over))
        self._told = due


def _named(paths: Collection[Path]) -> dict[str, object]:
    """Return how a log line names hosts: how many, the first of them, and the networks."""
    hosts = sorted({host for host, _ in paths})
    networks = sorted({network.value for _, network in paths})
    return {"count": len(hosts), "hosts": hosts[:MOST_NAMED], "networks": networks}
