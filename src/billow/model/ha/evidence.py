# SPDX-License-Identifier: Apache-2.0
"""What is known of a host at one instant: its networks, its power, its hardware, its lease.

The agent imports this file, so it must stay light: the standard library only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final

from billow.model.kinds import Power


class Network(StrEnum):
    """A network over which a host is heard; each has switches of its own."""

    MANAGEMENT = "management"
    TENANT = "tenant"
    STORAGE = "storage"


NETWORKS: Final = tuple(Network)
"""All of them, in the order of every array's axis and of the table's columns."""


class Hardware(IntEnum):
    """How ill a host says that it is; the worst of its symptoms."""

    SOUND = 0
    PREDICTED = 1
    """It will fail, and works meanwhile: a drive's own forecast, corrected memory errors."""
    HURTING = 2
    """Its instances suffer now, and it can still send them away."""
    FATAL = 3
    """Its kernel is dying or dead: a panic, a last gasp."""


@dataclass(frozen=True, slots=True)
class Symptom:
    """One thing that a probe of an agent found.

    Attributes:
        probe: Which: `memory`, `kernel`, `drive`, `nic`, `gateway`, `storage`, `guest`, ...
        subject: On what: `sda`, `eth1`, a storage pool; empty for the host.
        grade: How bad it is.
        text: What was seen, one sentence.
        since: When it began, seconds since the epoch.
        network: The network whose path it breaks, though beats may still pass; None for none.
        instance: The one instance that it concerns; empty when it concerns the host.
    """

    probe: str
    subject: str
    grade: Hardware
    text: str
    since: float
    network: Network | None = None
    instance: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentReport:
    """What an agent said last of its host.

    Attributes:
        at: When it was heard, seconds since the epoch.
        boot: The id of the host's boot: another one means that nothing of before runs any more.
        machine: The machine's own identity (SMBIOS UUID); empty where it cannot be read.
        pools: The storage pools that it hangs on.
        lease_s: After so long without an acknowledged beat its watchdog resets it; 0 for none.
        lease_possible_s: What it could be armed with; 0 for nothing.
        lease_excused: Whether its peers may still let it live on then (`Sight`).
        peers: Whom it asks before it lets its watchdog act.
        asked_at: Where its own peers ask it, `ADDRESS:PORT`.
        acked: Controller -> network -> age in seconds of the last acknowledged send.
        guests: The instances that run there.
        quarantined: Whether it came back and was not cleaned since.
        gasped: Whether its kernel said that nothing runs any more.
        answers: Whether the controller got an answer from its kernel since the agent fell silent.
        clean_beats: Rounds of beats on all networks in a row without a symptom.
    """

    host: str
    at: float
    boot: str = ""
    machine: str = ""
    pools: tuple[str, ...] = ()
    lease_s: float = 0.0
    lease_possible_s: float = 0.0
    lease_excused: bool = False
    peers: tuple[str, ...] = ()
    asked_at: Mapping[Network, str] = field(default_factory=dict)
    symptoms: tuple[Symptom, ...] = ()
    acked: Mapping[str, Mapping[Network, float]] = field(default_factory=dict)
    guests: tuple[str, ...] = ()
    quarantined: bool = False
    gasped: bool = False
    answers: bool = False
    clean_beats: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What all controllers together know of one host at one instant.

    Attributes:
        lost: Networks on which it is agreed to be down, and since when, seconds since the epoch.
        heard_at: When any controller last heard it on any network; 0 for never.
        power: What its management controller says, read after the last change of `lost`.
        power_since: When the first of the readings in a row that say so was taken; 0 for not known.
            Beats that were heard long after "off" was first read prove that reading wrong.
        hardware: The worst of its symptoms.
        lease_s: After so long without an acknowledged beat its watchdog resets it; 0 for none.
        lease_excused: Its peers may still let it live on without a controller (so that the loss of
            all controllers stops nothing): until they refused, its lease proves nothing.
        gasped: Its kernel itself said that nothing runs any more (a panic's last message).
        answers: Its kernel answers, though no agent speaks: it hangs, or is frozen for a moment.
        clean_beats: Rounds of beats on all networks in a row without a symptom.
        boot: The id of the boot that its agent told of last; empty while that is not known.
        guests: The instances that its agent told of last.
        quarantined: Whether its agent has come, or come back, and was not admitted since.
        rebooted: Whether it came back under another boot than the one that was known of it, though
            nobody had missed it: a reset that was quicker than the time after which it is missed.
    """

    host: str
    lost: Mapping[Network, float] = field(default_factory=dict)
    heard_at: float = 0.0
    power: Power = Power.UNKNOWN
    power_since: float = 0.0
    hardware: Hardware = Hardware.SOUND
    lease_s: float = 0.0
    lease_excused: bool = False
    gasped: bool = False
    answers: bool = False
    clean_beats: int = 0
    boot: str = ""
    guests: tuple[str, ...] = ()
    quarantined: bool = False
    rebooted: bool = False
    symptoms: tuple[Symptom, ...] = ()

    @property
    def silent(self) -> bool:
        """Whether it is heard on no network at all."""
        return len(self.lost) == len(NETWORKS)

    @property
    def reachable(self) -> tuple[Network, ...]:
        """The networks over which its agent can be commanded, best first."""
        return tuple(each for each in NETWORKS if each not in self.lost)
