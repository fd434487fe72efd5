# SPDX-License-Identifier: Apache-2.0
"""What an instance takes of a host: the cloud's flavour, as a value.

Equal instances share one `Shape`, so that a pool of a million instances holds a few hundred shapes
and a solver can treat equal instances as one class.
"""

from dataclasses import dataclass, field

from billow.model.kinds import Arch
from billow.model.names import check_amount, check_flag, check_id, check_traits, check_word
from billow.model.resources import CPU, GPU, HUGE, MEMORY


@dataclass(frozen=True, slots=True)
class Shape:
    """The resources and the needs of an instance.

    Attributes:
        name: Unique in a pool.
        cpu_milli: Thousandths of a CPU.
        memory_mib: MiB; taken from huge pages when `huge_pages`.
        numa_nodes: 0 floats over the whole host; n takes an equal share of exactly n NUMA nodes.
        huge_pages: Whether the memory comes from huge pages.
        gpus: Whole GPUs.
        arch: The instruction set that it needs; None runs on any.
        traits: What a host must have.
        dedicated: Whether its CPUs are pinned for it alone (never overcommitted).
    """

    name: str
    cpu_milli: int
    memory_mib: int
    numa_nodes: int = 0
    huge_pages: bool = False
    gpus: int = 0
    arch: Arch | None = None
    traits: frozenset[str] = field(default_factory=frozenset)
    dedicated: bool = False

    def __post_init__(self) -> None:
        check_id("shape", self.name)
        check_amount(f"cpu_milli of shape {self.name}", self.cpu_milli)
        check_amount(f"memory_mib of shape {self.name}", self.memory_mib)
        check_amount(f"numa_nodes of shape {self.name}", self.numa_nodes, most=32)
        check_amount(f"gpus of shape {self.name}", self.gpus, most=4096)
        check_traits(f"traits of shape {self.name}", self.traits)
        if self.arch is not None:
            check_word(f"arch of shape {self.name}", self.arch, Arch)
        check_flag(f"huge_pages of shape {self.name}", self.huge_pages)
        check_flag(f"dedicated of shape {self.name}", self.dedicated)

    @property
    def canonical(self) -> str:
        """All that it says, as one text for digests: equal for equal shapes on any machine."""
        words = (
            self.name,
            self.cpu_milli,
            self.memory_mib,
            self.numa_nodes,
            int(self.huge_pages),
            self.gpus,
            self.arch or "",
            int(self.dedicated),
            *sorted(self.traits),
        )
        return "\2".join(map(str, words))

    @property
    def demand(self) -> tuple[int, int, int, int]:
        """What it takes of its host in total, by resource."""
        row = [0, 0, 0, 0]
        row[CPU] = self.cpu_milli
        row[HUGE if self.huge_pages else MEMORY] = self.memory_mib
        row[GPU] = self.gpus
        return row[0], row[1], row[2], row[3]

    @property
    def share(self) -> tuple[int, int, int, int]:
        """What it takes of each of its NUMA nodes, rounded up; zeros when it floats."""
        if not self.numa_nodes:
            return 0, 0, 0, 0
        cpu, memory, huge, gpu = (-(-amount // self.numa_nodes) for amount in self.demand)
        return cpu, memory, huge, gpu
