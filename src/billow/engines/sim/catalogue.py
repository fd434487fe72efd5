# SPDX-License-Identifier: Apache-2.0
"""The host generations and shapes of made-up pools: what a cloud of some years' growth holds.

Idle and full watts are SPECpower_ssj2008 results (Fujitsu RX2520 M5, Dell R7425, HPE DL385 Gen10;
2019); no result of an Arm or a GPU host is at hand, so their curves stay unknown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from billow.model.host import Host, Node
from billow.model.kinds import Arch
from billow.model.shape import Shape

GIB = 1024


@dataclass(frozen=True)
class Generation:
    """Hosts that were bought together.

    Attributes:
        weight: How many there are, beside the others.
        shapes: What runs on them, each with its weight.
    """

    name: str
    weight: int
    host: Host
    shapes: Sequence[tuple[Shape, int]]


def _shape(name: str, cpus: float, memory_gib: float, numa_nodes: int = 0) -> Shape:
    return Shape(name, int(cpus * 1000), int(memory_gib * GIB), numa_nodes, arch=Arch.X86_64)


_PUBLISHED = (58.4, 98.0, 109.0, 118.0, 128.0, 140.0, 153.0, 170.0, 189.0, 205.0, 222.0)
"""Watts at 0, 10 .. 100 % load of an IBM x3550 M3 (Xeon X5675), SPECpower_ssj2008."""

_SMALL = (
    (_shape("c1-m2", 1, 2), 20),
    (_shape("c2-m4", 2, 4), 25),
    (_shape("c2-m8", 2, 8), 15),
    (_shape("c4-m8", 4, 8), 15),
    (_shape("c4-m16", 4, 16), 12),
)
_LARGE = (
    (_shape("c8-m16", 8, 16, 1), 8),
    (_shape("c8-m32", 8, 32, 1), 8),
    (_shape("c16-m64", 16, 64, 1), 4),
    (_shape("c32-m128", 32, 128, 2), 1),
)
_ARM = tuple(
    (Shape(f"a{cpus}-m{memory}", cpus * 1000, memory * GIB, arch=Arch.AARCH64), weight)
    for cpus, memory, weight in ((1, 2, 20), (2, 4, 25), (4, 8, 20), (8, 32, 8), (16, 64, 3))
)
_GPU = (
    (Shape("g8-m64", 8000, 64 * GIB, 1, gpus=1, arch=Arch.X86_64), 6),
    (Shape("g16-m128", 16_000, 128 * GIB, 2, gpus=2, arch=Arch.X86_64), 2),
    (_shape("c4-m16", 4, 16), 4),
)


def _host(cpus: int, memory_gib: int, nodes: int = 2, gpus: int = 0) -> Host:
    """Return a host with all its amounts per node."""
    node = Node(cpus * 1000, memory_gib * GIB, gpus=gpus)
    return Host("h", (node,) * nodes, sockets=nodes)


def _curve(idle_w: float, full_w: float) -> str:
    """Return a power curve from the watts at both ends; between them it bends as `_PUBLISHED`."""
    low, high = _PUBLISHED[0], _PUBLISHED[-1]
    span = (full_w - idle_w) / (high - low)
    return "/".join(f"{idle_w + (watts - low) * span:.4g}" for watts in _PUBLISHED)


def _with(host: Host, **fields: object) -> Host:
    return replace(host, **fields)  # type: ignore[arg-type]  # fields of Host


GENERATIONS: Sequence[Generation] = (
    Generation(
        "2019",
        20,
        _with(
            _host(20, 96),
            cpu_model="Skylake-Server-v3",
            cpu_ratio=1.5,
            bandwidth_mib_s=1100.0,
            power_curve=_curve(61.5, 318.0),
        ),
        _SMALL,
    ),
    Generation(
        "2022",
        40,
        _with(
            _host(32, 256),
            cpu_model="Icelake-Server-v4",
            bandwidth_mib_s=2800.0,
            traits=frozenset({"ssd"}),
            power_curve=_curve(77.5, 268.0),
        ),
        (*_SMALL, *_LARGE),
    ),
    Generation(
        "2025",
        20,
        _with(
            _host(64, 384),
            cpu_model="SapphireRapids-v2",
            bandwidth_mib_s=11_000.0,
            traits=frozenset({"ssd", "amx"}),
            power_curve=_curve(111.0, 422.0),
        ),
        (*_SMALL, *_LARGE),
    ),
    Generation(
        "arm",
        15,
        _with(
            _host(80, 256, nodes=1),
            arch=Arch.AARCH64,
            cpu_model="neoverse-n1",
            bandwidth_mib_s=2800.0,
        ),
        _ARM,
    ),
    Generation(
        "gpu",
        5,
        _with(
            _host(32, 512, gpus=4),
            cpu_model="Cascadelake-Server-v4",
            gpu_model="a100",
            bandwidth_mib_s=11_000.0,
        ),
        _GPU,
    ),
)

COMMON_CPU: Mapping[Arch, str] = {
    Arch.X86_64: "Skylake-Server-v3",
    Arch.AARCH64: "neoverse-n1",
}
"""What guests see: the baseline of all generations, as a cloud does that moves its instances."""

METAL: Mapping[str, Shape] = {
    generation.name: Shape(
        f"metal-{generation.name}",
        int(generation.host.cpu_milli * generation.host.cpu_ratio),
        generation.host.memory_mib,
        gpus=sum(node.gpus for node in generation.host.nodes),
        arch=generation.host.arch,
    )
    for generation in GENERATIONS
}
"""A whole host of each generation."""
