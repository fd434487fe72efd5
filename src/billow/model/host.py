# SPDX-License-Identifier: Apache-2.0
"""A host as a value: one row of the pool's host table, or the input to build one."""

import math
from dataclasses import dataclass, field

from billow.model.cpu.models import check_cpu
from billow.model.kinds import Arch, Health, Power
from billow.model.names import (
    check_amount,
    check_curve,
    check_id,
    check_measure,
    check_optional_id,
    check_text,
    check_traits,
    check_word,
)

MOST_NODES = 32
"""NUMA nodes per host that a node mask can name."""

_RANGES = (
    ("cpu_ratio", 0.01, 1000.0),
    ("memory_ratio", 0.01, 100.0),
    ("bandwidth_mib_s", 0.0, 1e12),
)

_MEASURES = (
    "cpu_used_milli",
    "memory_used_mib",
    "load",
    "cpu_pressure",
    "memory_pressure",
    "swap_mib_s",
    "watts",
)


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
        cpu_model: What its CPUs have (`cpu.models`); empty when not known.
        cordon: Why nothing new may be placed on it; empty when it takes instances.
        cpu_ratio, memory_ratio: Sold per physical CPU and MiB (state of record, 1.0 = no
            overcommit).
        bandwidth_mib_s: What its link carries for migrations, MiB/s.
        cpu_used_milli, memory_used_mib: Real use (state of world); NaN when not seen.
        power_curve: Watts at 0, 10 .. 100 % load, `"86/89.4/../117"`; empty when not known.
        load: Processes that run or want to, averaged over a minute.
        cpu_pressure, memory_pressure: Share of time in which something waited (PSI "some", 10 s).
        swap_mib_s: To and from disk.
        watts: Drawn, as the host's management controller measures it.
    """

    id: str
    nodes: tuple[Node, ...]
    arch: Arch = Arch.X86_64
    cpu_model: str = ""
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
    power_curve: str = ""
    load: float = math.nan
    cpu_pressure: float = math.nan
    memory_pressure: float = math.nan
    swap_mib_s: float = math.nan
    watts: float = math.nan

    def __post_init__(self) -> None:
        name = check_id("host", self.id)
        check_amount(f"NUMA nodes of host {name}", len(self.nodes), least=1, most=MOST_NODES)
        check_amount(f"sockets of host {name}", self.sockets, least=1, most=4096)
        for field_name, vocabulary in (("arch", Arch), ("power", Power), ("health", Health)):
            check_word(f"{field_name} of host {name}", getattr(self, field_name), vocabulary)
        for field_name in ("zone", "rack", "gpu_model"):
            check_optional_id(field_name, getattr(self, field_name))
        check_cpu(f"cpu_model of host {name}", self.cpu_model)
        check_traits(f"traits of host {name}", self.traits)
        check_text(f"cordon of host {name}", self.cordon)
        self._check_measures()

    def _check_measures(self) -> None:
        for name, least, most in _RANGES:
            what = f"{name} of host {self.id}"
            check_measure(what, getattr(self, name), least=least, most=most, unseen=False)
        check_curve(f"power_curve of host {self.id}", self.power_curve)
        for name in _MEASURES:
            check_measure(f"{name} of host {self.id}", getattr(self, name))

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
