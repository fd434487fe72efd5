# SPDX-License-Identifier: Apache-2.0
"""What is written down of instances and hosts, so that any crash can be resolved from it.

The law of a move: at every instant exactly one residence is the home of an instance. A move is
known on both sides by its number before anything is started, and it is done at the one write that
makes the target the home. Where the disk is the host's own, the home's disk is the true one.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from billow.engines.qemu.machine import Machine
from billow.model.group import Group
from billow.model.host import Node
from billow.model.kinds import MigrationPolicy, Power, Service, State
from billow.model.shape import Shape

LINK_MIB_S: Final = 1000.0
"""What a link carries where nothing else is said: that of 10 Gbit/s, about."""


class Stage(StrEnum):
    """Where the making or unmaking of an instance stands."""

    CREATING = "creating"
    READY = "ready"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What the pool says of an instance and QEMU does not need to know."""

    shape: Shape
    priority: int = 0
    group: Group | None = None
    tenant: str = ""
    zone: str = ""
    image: str = ""
    immovable: str = ""
    migration: MigrationPolicy = MigrationPolicy.BALANCED
    service: Service = Service.LATENCY
    cpu_limit_milli: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRecord:
    """An instance, wherever it is."""

    machine: Machine
    description: Description
    stage: Stage


class Role(StrEnum):
    """What a residence is to its instance."""

    HOME = "home"
    SOURCE = "source"
    """The home while a move leads away from it."""
    TARGET = "target"
    """Where a move leads to; becomes the home, or vanishes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """What a host knows of an instance.

    Attributes:
        wanted: `running`, `paused` or `stopped`.
        nodes: NUMA nodes that the instance is bound to on this host.
        move: The number of the move that it is, or last was, part of.
        peer: The host at the other end of the move.
    """

    role: Role
    wanted: State
    nodes: tuple[int, ...] = ()
    move: str = ""
    peer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRecord:
    """What changes of a host.

    Attributes:
        cpu_ratio, memory_ratio: What it sells per physical unit; None for as it was laid out.
    """

    power: Power = Power.ON
    cordon: str = ""
    cpu_ratio: float | None = None
    memory_ratio: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlan:
    """A host as it was set up.

    Attributes:
        number: From 1; gives its address.
        cpu_ratio: vCPUs sold per CPU.
        link_mib_s: What its link to the other hosts carries each way, MiB/s.
    """

    name: str
    number: int
    nodes: tuple[Node, ...]
    cpu_ratio: float = 1.0
    zone: str = ""
    rack: str = ""
    link_mib_s: float = LINK_MIB_S
