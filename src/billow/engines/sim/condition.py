# SPDX-License-Identifier: Apache-2.0
"""What is true of one host of a simulated world, whatever anybody believes of it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from billow.model.ha.evidence import NETWORKS, Hardware, Network

BEAT_S: Final = 0.2
LEASE_S: Final = 10.0
BOOT_S: Final = 60.0


class Kernel(StrEnum):
    """What a host's kernel does."""

    ALIVE = "alive"
    FROZEN = "frozen"
    """Nothing moves, and all of it may go on at any instant."""
    DEAD = "dead"
    BOOTING = "booting"


class Bmc(StrEnum):
    """What a host's management controller does."""

    HONEST = "honest"
    DEAD = "dead"
    LYING = "lying"
    SWAPPED = "swapped"


@dataclass(frozen=True, slots=True)
class Told:
    """What an agent said of its host with a beat."""

    at: float = 0.0
    hardware: Hardware = Hardware.SOUND
    ill_since: float = 0.0
    lease_s: float = LEASE_S
    boot: int = 1
    quarantined: bool = False
    gasped: bool = False


@dataclass(slots=True)
class Condition:
    """A host of which something was ever out of the ordinary; times are the world's seconds.

    Attributes:
        lost: Networks on which nothing of it passes.
        heard: When it was heard last on each network that is silent now.
        agent, hung: Whether its agent speaks; if not, whether it is there and says nothing.
        told: What was heard of it last before it fell silent.
        clean_since: Since when nothing is wrong with it.
        silent_since: Since when no beat of it is acknowledged; None while one is.
        armed: Whether its watchdog is fed: from the first acknowledged beat after a boot on.
        obeyed: The highest fence that its agent has obeyed.
        retired: Whether a plan has turned it off: nobody misses it.
        version: Rises when its lease or its boot is to be forgotten.
    """

    lost: frozenset[Network] = frozenset()
    powered: bool = True
    kernel: Kernel = Kernel.ALIVE
    agent: bool = True
    hung: bool = False
    bmc: Bmc = Bmc.HONEST
    bmc_s: float = 0.1
    hardware: Hardware = Hardware.SOUND
    ill_since: float = 0.0
    gasped: bool = False
    lease_s: float = LEASE_S
    boot: int = 1
    quarantined: bool = False
    heard: dict[Network, float] = field(default_factory=dict)
    told: Told = Told()
    clean_since: float = 0.0
    silent_since: float | None = None
    armed: bool = True
    obeyed: int = 0
    retired: bool = False
    version: int = 0

    @property
    def works(self) -> bool:
        """Whether its guests do."""
        return self.powered and self.kernel is Kernel.ALIVE

    @property
    def holds(self) -> bool:
        """Whether its guests are still there: they work, or may go on."""
        return self.powered and self.kernel in (Kernel.ALIVE, Kernel.FROZEN)

    @property
    def audible(self) -> tuple[Network, ...]:
        """The networks on which its beats pass."""
        speaks = self.works and self.agent
        return tuple(each for each in NETWORKS if each not in self.lost) if speaks else ()

    @property
    def answering(self) -> tuple[Network, ...]:
        """The networks on which its kernel answers."""
        return tuple(each for each in NETWORKS if each not in self.lost) if self.works else ()

    @property
    def noticed(self) -> tuple[Network, ...]:
        """The networks on which it is not missed: its kernel speaks for an agent that is gone."""
        return self.audible if self.hung else self.answering

    @property
    def clean(self) -> bool:
        """Whether its beats pass everywhere, and tell of nothing wrong."""
        return len(self.audible) == len(NETWORKS) and self.hardware is Hardware.SOUND

    @property
    def well(self) -> bool:
        """Whether it is as a host that nothing ever befell."""
        as_new = self.boot == 1 and not self.obeyed and not self.quarantined
        return self.clean and as_new and self.bmc is Bmc.HONEST and self.lease_s == LEASE_S

    def says(self, now: float) -> Told:
        """Return what its agent said last."""
        if not self.audible:
            return self.told
        ill = self.hardware, self.ill_since
        return Told(now, *ill, self.lease_s, self.boot, self.quarantined, self.gasped)
