# SPDX-License-Identifier: Apache-2.0
"""Pools in the vmr format that nobody has seen: drawn by a seed from the mix of real ones.

Sizes and their shares are those of the ByteDance VM rescheduling snapshots (Apache-2.0,
github.com/bytedance/DRL-based-VM-Rescheduling); who is where is drawn here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

HOST_NODES = 2
NODE_CPUS = 44
NODE_MEMORY_MIB = 184_388
WANTED_CPUS = 16

# NUMA nodes, CPUs on each, instances of that size
MEDIUM = (
    (1, 2, 337), (1, 4, 906), (1, 8, 311), (1, 16, 184), (1, 32, 61), (2, 2, 3), (2, 4, 57),
    (2, 8, 46), (2, 16, 50), (2, 32, 130), (2, 44, 4),
)  # fmt: skip
LARGE = (
    (1, 2, 31), (1, 4, 16), (1, 8, 28), (1, 16, 93), (1, 32, 10), (2, 16, 126), (2, 32, 52),
    (2, 42, 2), (2, 44, 146),
)  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """What a pool is drawn from.

    Attributes:
        ratios: GiB per CPU; each instance draws one.
        mix: How much of the sizes is from the medium pool, the rest from the large one.
        small: How much of the sizes is from the small ones of the medium pool alone.
        churn: Share of instances that were placed tightly first and have left since.
    """

    hosts: int
    instances: int
    seed: int
    clusters: int = 1
    ratios: Sequence[int] = (2,)
    mix: float = 1.0
    small: float = 0.0
    churn: float = 0.15


def document(recipe: Recipe) -> dict[str, Any]:
    """Return a vmr document."""
    return _Drawing(recipe).document()


class _Drawing:
    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._random = Random(recipe.seed)
        self._cpu = [[NODE_CPUS] * HOST_NODES for _ in range(recipe.hosts)]
        self._memory = [[NODE_MEMORY_MIB] * HOST_NODES for _ in range(recipe.hosts)]
        self._placed: list[tuple[int, list[int], int, int]] = []

    def document(self) -> dict[str, Any]:
        self._fill()
        per_cluster = -(-self._recipe.hosts // self._recipe.clusters)
        clusters = []
        for number in range(self._recipe.clusters):
            hosts = range(number * per_cluster, min((number + 1) * per_cluster, self._recipe.hosts))
            clusters.append(self._cluster(f"cluster{number + 1}", hosts))
        return {"cluster_list": clusters, "vm_type_list": self._types()}

    def _fill(self) -> None:
        """Place more than are wanted, then let a share of them leave again."""
        wanted = self._recipe.instances
        to_place = int(wanted / (1.0 - self._recipe.churn))
        misses = 0
        while len(self._placed) < to_place and misses < 2000:
            misses = 0 if self._place(*self._size()) else misses + 1
        self._random.shuffle(self._placed)
        wanted = min(wanted, int(len(self._placed) * (1.0 - self._recipe.churn)))
        for host, nodes, cpus, memory in self._placed[wanted:]:
            for node in nodes:
                self._cpu[host][node] += cpus
                self._memory[host][node] += memory
        del self._placed[wanted:]

    def _size(self) -> tuple[int, int, int]:
        sizes: Sequence[tuple[int, int, int]] = (
            MEDIUM if self._random.random() < self._recipe.mix else LARGE
        )
        if self._random.random() < self._recipe.small:
            sizes = MEDIUM[:3]
        width, cpus, _ = self._random.choices(sizes, [count for _, _, count in sizes])[0]
        return width, cpus, cpus * self._random.choice(self._recipe.ratios) * 1024

    def _place(self, width: int, cpus: int, memory: int) -> bool:
        """Put an instance on one of a few hosts that are looked at, the fullest that fits."""
        best: tuple[int, int, list[int]] | None = None
        for host in self._random.sample(range(self._recipe.hosts), min(12, self._recipe.hosts)):
            able = [
                node
                for node in range(HOST_NODES)
                if self._cpu[host][node] >= cpus and self._memory[host][node] >= memory
            ]
            if len(able) >= width:
                nodes = self._random.sample(able, width)
                left = sum(self._cpu[host])
                if best is None or left < best[0]:
                    best = left, host, nodes
        if best is None:
            return False
        _, host, nodes = best
        for node in nodes:
            self._cpu[host][node] -= cpus
            self._memory[host][node] -= memory
        self._placed.append((host, nodes, cpus, memory))
        return True

    def _cluster(self, name: str, hosts: range) -> dict[str, Any]:
        rows = [
            {
                "instance_id": f"vm_{number}",
                "instance_type": _type(len(nodes), cpus, memory),
                "host_id": f"pm_{host}",
                "allow_migration": True,
                "numa": [{"node": n, "cpu": cpus, "mem_mb": memory} for n in sorted(nodes)],
            }
            for number, (host, nodes, cpus, memory) in enumerate(self._placed)
            if host in hosts
        ]
        return {
            "cluster_name": name,
            "host_info": [self._host(host) for host in hosts],
            "vm_instance": rows,
            "other_requirement": {"deployment_set": []},
        }

    def _host(self, host: int) -> dict[str, Any]:
        return {
            "node_id": f"pm_{host}",
            "status": "ACTIVE",
            "node_cpu": HOST_NODES * NODE_CPUS,
            "node_mem_mb": HOST_NODES * NODE_MEMORY_MIB,
            "rack_id": host // 24,
            "numa": [
                {
                    "node": node,
                    "total_cpu": NODE_CPUS,
                    "free_cpu": self._cpu[host][node],
                    "memory_huge_total_mb": NODE_MEMORY_MIB,
                    "memory_huge_free_mb": self._memory[host][node],
                }
                for node in range(HOST_NODES)
            ],
        }

    def _types(self) -> list[dict[str, Any]]:
        memory = WANTED_CPUS * min(self._recipe.ratios) * 1024
        return [
            {
                "vm_type": _type(1, WANTED_CPUS, memory),
                "request_cpu": WANTED_CPUS,
                "request_mem_mb": memory,
                "numa": 1,
                "weight": 1.0,
            }
        ]


def _type(width: int, cpus: int, memory: int) -> str:
    return f"c{width * cpus}m{width * memory // 1024}"
