# SPDX-License-Identifier: Apache-2.0
"""A host as a value: one row of the pool's host table, or the input to build one."""

import math
from dataclasses import dataclass, field

from billow.model.kinds import Arch, Health, Power
from billow.model.names import check_amount, check_id, check_measure

MOST_NODES = 32
"""NUMA nodes per host that a node mask can name."""


@dataclass(frozen=True, slots=True)
class Node:
    """One NUMA node: what it physically has."""

    cpu_milli: int
    memory_mib: int
    huge_mib: int = 0
    gpus: int = 0

    def __post_init__(self) -> None:
        for name in ("cpu_milli", "memory_mib", "huge_mib", "gpus"):
            check_amount(f"{name} of a NUMA node", getattr(self, name))

    @property
    def amounts(self) -> tuple[int, int, int, int]:
        """Its resources in the order of `RESOURCES`."""
        return self.cpu_milli, self.memory_mib, self.huge_mib, self.gpus


@dataclass(frozen=True, slots=True)
class Host:
    """A host: what it is, what it has, and how it was last seen.

    Attributes:
        nodes: Its NUMA nodes; a host without NUMA has one.
        cordon: Why nothing new may be placed on it; empty when it takes instances.
        cpu_ratio, memory_ratio: Sold per physical CPU and MiB (state of record, 1.0 = no overcommit).
        bandwidth_mib_s: What its link carries for migrations, MiB/s.
        cpu_used_milli, memory_used_mib: Real use (state of world); NaN when not seen.
    """

    id: str
    nodes: tuple[Node, ...]
    arch: Arch = Arch.X86_64
    sockets: int = 1
    zone: str = ""
    rack: str = ""
    traits: frozenset[str] = field(default_factory=frozenset)
    gpu_model: str = ""
    power: Power = Power.ON
    health: Health = Health.OK
    cordon: str = ""
    cpu_ratio: float = 1.0
    memory_ratio: float = 1.0
    bandwidth_mib_s: float = 1000.0
    cpu_used_milli: float = math.nan
    memory_used_mib: float = math.nan

    def __post_init__(self) -> None:
        check_id("host", self.id)
        check_amount(f"NUMA nodes of host {self.id}", len(self.nodes), least=1, most=MOST_NODES)
        check_amount(f"sockets of host {self.id}", self.sockets, least=1, most=4096)
        check_measure(f"cpu_ratio of host {self.id}", self.cpu_ratio, least=0.01, most=1000.0)
        check_measure(f"memory_ratio of host {self.id}", self.memory_ratio, least=0.01, most=100.0)
        for name in ("bandwidth_mib_s", "cpu_used_milli", "memory_used_mib"):
            check_measure(f"{name} of host {self.id}", getattr(self, name))
        for what, text in (("zone", self.zone), ("rack", self.rack), ("GPU", self.gpu_model)):
            if text:
                check_id(what, text)

    @property
    def cpu_milli(self) -> int:
        """Physical CPUs over all nodes, thousandths."""
        return sum(node.cpu_milli for node in self.nodes)

    @property
    def memory_mib(self) -> int:
        """Physical memory over all nodes, huge pages included, MiB."""
        return sum(node.memory_mib + node.huge_mib for node in self.nodes)

    @property
    def schedulable(self) -> bool:
        """Whether something new may be placed on it."""
        return not self.cordon and self.power is Power.ON and self.health is Health.OK
