# SPDX-License-Identifier: Apache-2.0
"""What one source of evidence heard of every host: what a controller publishes to the others."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from billow.model.ha.evidence import NETWORKS, AgentReport
from billow.model.resources import BoolArray, FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What a controller heard, as of one instant of its own clock.

    Attributes:
        observer: The controller, or another source (`consul@c1`); each counts as one voice.
        at: When it was written down, seconds since the epoch. Nobody is acknowledged by this
            controller later than `at + VIEW_S` on the strength of it.
        hosts: The rows of the array.
        heard_at: When it last heard each host on each network, `(hosts, 3) float64`, seconds since
            the epoch; the start of its watch where it never did.
        limit_s: A host is missed on a network after so long, `(3,) float64`.
        reports: What agents said last; in another controller's view, those that it told.
        sound: Per network, whether it reaches its witnesses there.
        woke_at: When it went on after it was held up last, by its own clock; 0 if it never was. Of
            whom it heard before it says that it hears them, until it missed them for `limit_s`.
        age_s: How long ago it was kept, by the store's clock, when it was read there.
        told_watchdogs: Hosts whose watchdog can hold a lease, and whether it does; of those that no
            report here tells of.
    """

    observer: str
    at: float
    hosts: tuple[str, ...]
    heard_at: FloatArray
    limit_s: FloatArray
    reports: Mapping[str, AgentReport] = field(default_factory=dict)
    sound: tuple[bool, ...] = (True,) * len(NETWORKS)
    woke_at: float = 0.0
    age_s: float = 0.0
    told_watchdogs: Mapping[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = (len(self.hosts), len(NETWORKS))
        if self.heard_at.shape != shape:
            raise ValueError(f"heard_at has shape {self.heard_at.shape}, not {shape}")

    def missed(self, now: float) -> BoolArray:
        """Return whom it misses on which network at an instant, `(hosts, 3) bool`."""
        return np.asarray(now - self.heard_at > self.limit_s)

    @property
    def watchdogs(self) -> dict[str, bool]:
        """Hosts whose watchdog can hold a lease, and whether it does."""
        others = {host: it for host, it in self.told_watchdogs.items() if host not in self.reports}
        return others | watchdogs_of(self.reports)

    def told(self) -> dict[str, AgentReport]:
        """Return the reports that the other controllers are told.

        Those of hosts that are missed somewhere, for others may not hear them, and of hosts that
        are not well, or not for long enough; of the rest each controller hears enough itself.
        """
        missed = {self.hosts[row] for row in np.flatnonzero(self.missed(self.at).any(axis=1))}
        known = self.reports.items()
        return {host: each for host, each in known if host in missed or _troubled(each)}


def watchdogs_of(reports: Mapping[str, AgentReport]) -> dict[str, bool]:
    """Return the hosts whose watchdog can hold a lease, and whether it does."""
    able = ((host, it) for host, it in reports.items() if it.lease_s or it.lease_possible_s)
    return {host: bool(it.lease_s) for host, it in able}


def _troubled(report: AgentReport) -> bool:
    said = report.symptoms or report.gasped or report.quarantined or report.answers
    return bool(said) or report.clean_beats < MOST_CLEAN


MOST_CLEAN = 100
"""Clean beats are counted so far."""
VIEW_S = 2.0
"""A view older than this says nothing any more, and its controller acknowledges nobody."""
