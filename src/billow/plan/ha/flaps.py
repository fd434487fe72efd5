# SPDX-License-Identifier: Apache-2.0
"""Which hosts failed again and again of late, each by itself and as many as share something."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from billow.model.ha.incident import Incident
from billow.model.ha.policy import HaPolicy
from billow.plan.ha.fleet import Scope


@dataclass(slots=True)
class Flaps:
    """Failures of late by host; only hosts that failed anew are looked at again.

    Attributes:
        scopes: What a host shares with others.
    """

    policy: HaPolicy
    now: float
    scopes: Callable[[str], tuple[Scope, ...]]
    _past: dict[str, dict[str, float]] = field(init=False)
    _often: set[str] = field(init=False, default_factory=set)
    _together: Counter[Scope] = field(init=False, default_factory=Counter)
    _stale: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self._past = defaultdict(dict)

    def take(self, incident: Incident) -> None:
        """Count a failure, or count it with another time."""
        self._past[incident.host][incident.id] = incident.suspected_at
        self._stale.add(incident.host)

    def drop(self, incident: Incident) -> None:
        """Count a failure no more."""
        if self._past[incident.host].pop(incident.id, 0.0):
            self._stale.add(incident.host)

    def often(self, host: str) -> bool:
        """Whether a host failed too often, of late."""
        self._refresh()
        return host in self._often

    def together(self, scope: Scope) -> int:
        """Return how many hosts of a scope failed too often, of late."""
        self._refresh()
        return self._together[scope]

    def count(self, host: str) -> int:
        """Return how often a host failed within `flap_s`."""
        return sum(at > self.now - self.policy.flap_s for at in self._past[host].values())

    def _refresh(self) -> None:
        stale, self._stale = self._stale, set()
        for host in stale:
            change = self._fails_often(host) - (host in self._often)
            if change:
                self._often ^= {host}
                for scope in set(self.scopes(host)):
                    self._together[scope] += change

    def _fails_often(self, host: str) -> bool:
        times = sorted(self._past[host].values())
        bursts = zip(times, times[self.policy.flaps - 1 :], strict=False)
        return any(
            last - first <= self.policy.flap_s and self.now - last < self.policy.quarantine_s
            for first, last in bursts
        )
