# SPDX-License-Identifier: Apache-2.0
"""How high availability itself is: who watches, what is left alone, whose death could be proved."""

from dataclasses import dataclass

from billow.model.ha.care import Maintenance
from billow.model.ha.evidence import Network
from billow.model.ha.incident import Method


@dataclass(frozen=True, slots=True, kw_only=True)
class Observer:
    """One source of evidence, as it told last.

    Attributes:
        age_s: How long ago it told, by the store's clock.
        fresh: Whether it still counts.
        hosts: How many it listens for.
        missed: Per network, how many of them it misses.
        sound: Networks on which it reaches its witnesses.
    """

    name: str
    age_s: float
    fresh: bool
    hosts: int
    missed: dict[str, int]
    sound: tuple[Network, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Whether the death of one host could be proved now.

    Attributes:
        heard: Networks on which some observer hears it.
        proofs: Ways to a proof that would work, as far as is known.
        lacking: What keeps the others from it, one sentence each.
    """

    host: str
    heard: tuple[Network, ...]
    proofs: tuple[Method, ...]
    lacking: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether two ways do not depend on each other."""
        return len(self.proofs) >= 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """High availability at one instant.

    Attributes:
        failing: Why this controller cannot decide anything now; empty while it can.
    """

    observers: tuple[Observer, ...]
    maintenances: tuple[Maintenance, ...]
    hosts: tuple[Readiness, ...]
    incidents: int
    held: int
    failing: str = ""

    @property
    def disarmed(self) -> Maintenance | None:
        """By what nothing is ended or started at all; None while it is armed."""
        whole = (each for each in self.maintenances if each.reach == "pool")
        return next(whole, None)

    @property
    def armed(self) -> bool:
        """Whether it acts."""
        return self.disarmed is None

    @property
    def watching(self) -> bool:
        """Whether anybody listens to hosts."""
        return any(each.fresh for each in self.observers)

    @property
    def silent(self) -> int:
        """How many watched hosts nobody hears on any network."""
        return sum(not each.heard for each in self.hosts)

    @property
    def ready_share(self) -> float:
        """The share of watched hosts whose death two ways could prove; 1 without any host."""
        ready = sum(1 for each in self.hosts if each.ready)
        return ready / len(self.hosts) if self.hosts else 1.0
