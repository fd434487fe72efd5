# SPDX-License-Identifier: Apache-2.0
"""The host table: one row per host, NumPy columns with stated units."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from billow.model.column import Categorical, Table, frozen, observed
from billow.model.host import Host, Node
from billow.model.kinds import Arch, Health, Power, code_of, value_of
from billow.model.resources import (
    CPU,
    MEMORY,
    RESOURCES,
    BoolArray,
    CodeArray,
    FloatArray,
    IntArray,
)


@dataclass(frozen=True, eq=False)
class Hosts(Table):
    """Hosts by row, sorted by id.

    Attributes:
        capacity: What a node physically has, `(hosts, nodes, RESOURCES) int64`; rows of a host with fewer
            nodes are padded with zeros.
        node_count: `(hosts,) uint8`.
        arch, power, health: `(hosts,) uint8`, codes of `Arch`, `Power`, `Health`.
        cordon: Why nothing new may come; `""` when it takes instances.
        cpu_ratio, memory_ratio: Sold per physical unit, `(hosts,) float64`.
        bandwidth: For migrations, MiB/s, `(hosts,) float64`.
        cpu_used, memory_used: Real use, thousandths of a CPU and MiB, NaN when not seen, `(hosts,) float64`.
    """

    capacity: IntArray
    node_count: CodeArray
    arch: CodeArray
    sockets: npt.NDArray[np.int16]
    zone: Categorical[str]
    rack: Categorical[str]
    traits: Categorical[frozenset[str]]
    gpu_model: Categorical[str]
    power: CodeArray
    health: CodeArray
    cordon: Categorical[str]
    cpu_ratio: FloatArray
    memory_ratio: FloatArray
    bandwidth: FloatArray
    cpu_used: FloatArray = observed()
    memory_used: FloatArray = observed()

    @classmethod
    def of(cls, hosts: Iterable[Host]) -> "Hosts":
        """Build the table from row values; the caller sorts."""
        rows = list(hosts)
        most = max((len(host.nodes) for host in rows), default=1)
        capacity = np.zeros((len(rows), most, len(RESOURCES)), dtype=np.int64)
        for number, host in enumerate(rows):
            capacity[number, : len(host.nodes)] = [node.amounts for node in host.nodes]
        return cls(
            id=tuple(host.id for host in rows),
            capacity=frozen(capacity),
            node_count=_codes(len(host.nodes) for host in rows),
            arch=_codes(code_of(host.arch) for host in rows),
            sockets=frozen(np.array([host.sockets for host in rows], dtype=np.int16)),
            zone=Categorical.of(host.zone for host in rows),
            rack=Categorical.of(host.rack for host in rows),
            traits=Categorical.of(host.traits for host in rows),
            gpu_model=Categorical.of(host.gpu_model for host in rows),
            power=_codes(code_of(host.power) for host in rows),
            health=_codes(code_of(host.health) for host in rows),
            cordon=Categorical.of(host.cordon for host in rows),
            cpu_ratio=_measures(host.cpu_ratio for host in rows),
            memory_ratio=_measures(host.memory_ratio for host in rows),
            bandwidth=_measures(host.bandwidth_mib_s for host in rows),
            cpu_used=_measures(host.cpu_used_milli for host in rows),
            memory_used=_measures(host.memory_used_mib for host in rows),
        )

    @cached_property
    def sellable(self) -> IntArray:
        """What may be handed out per node: capacity times ratio, `(hosts, nodes, RESOURCES) int64`."""
        if np.all(self.cpu_ratio == 1.0) and np.all(self.memory_ratio == 1.0):
            return self.capacity
        scaled = self.capacity.copy()
        scaled[..., CPU] = (self.capacity[..., CPU] * self.cpu_ratio[:, None]).astype(np.int64)
        scaled[..., MEMORY] = (self.capacity[..., MEMORY] * self.memory_ratio[:, None]).astype(
            np.int64
        )
        frozen(scaled)
        return scaled

    @cached_property
    def schedulable(self) -> BoolArray:
        """Which hosts take something new: on, healthy, not cordoned, `(hosts,) bool`."""
        on = self.power == code_of(Power.ON)
        well = self.health == code_of(Health.OK)
        free: BoolArray = on & well & self.cordon.where("")
        return free

    def view(self, row: int) -> Host:
        """Return one row as a value."""
        count = int(self.node_count[row])
        nodes = tuple(Node(*map(int, amounts)) for amounts in self.capacity[row, :count])
        return Host(
            id=self.id[row],
            nodes=nodes,
            arch=value_of(Arch, self.arch[row]),
            sockets=int(self.sockets[row]),
            zone=self.zone[row],
            rack=self.rack[row],
            traits=self.traits[row],
            gpu_model=self.gpu_model[row],
            power=value_of(Power, self.power[row]),
            health=value_of(Health, self.health[row]),
            cordon=self.cordon[row],
            cpu_ratio=float(self.cpu_ratio[row]),
            memory_ratio=float(self.memory_ratio[row]),
            bandwidth_mib_s=float(self.bandwidth[row]),
            cpu_used_milli=float(self.cpu_used[row]),
            memory_used_mib=float(self.memory_used[row]),
        )


def _codes(values: Iterable[int]) -> CodeArray:
    array: CodeArray = frozen(np.array(list(values), dtype=np.uint8))
    return array


def _measures(values: Iterable[float]) -> FloatArray:
    array: FloatArray = frozen(np.array(list(values), dtype=np.float64))
    return array


def unseen(rows: int) -> FloatArray:
    """Return a measurement column in which nothing was seen: `(rows,) float64`, all NaN."""
    array: FloatArray = frozen(np.full(rows, math.nan))
    return array
