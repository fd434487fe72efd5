# SPDX-License-Identifier: Apache-2.0
"""The host table: one row per host, NumPy columns with stated units."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from billow.errors import Invalid
from billow.model.column import Categorical, Digest, codes, frozen, measured, numbers, words
from billow.model.cpu.models import check_cpu
from billow.model.host import MOST_NODES, Host, Node
from billow.model.kinds import Arch, Health, Power, code_of, value_of
from billow.model.names import check_curve, check_optional_id, check_text, check_traits
from billow.model.resources import (
    CPU,
    LARGEST,
    MEMORY,
    RESOURCES,
    BoolArray,
    CodeArray,
    FloatArray,
    IntArray,
)
from billow.model.table import Table, feed_column


@dataclass(frozen=True, eq=False)
class Hosts(Table):
    """Hosts by row, sorted by id.

    Attributes:
        capacity: What a node physically has, `(hosts, nodes, RESOURCES) int64`; rows of a host with
            fewer nodes are padded with zeros.
        node_count: `(hosts,) uint8`.
        arch, power, health: `(hosts,) uint8`, codes of `Arch`, `Power`, `Health`.
        cpu_model: What its CPUs have (`cpu.models`); `""` when not known.
        cordon: Why nothing new may come; `""` when it takes instances.
        cpu_ratio, memory_ratio: Sold per physical unit, `(hosts,) float64`.
        bandwidth: For migrations, MiB/s, `(hosts,) float64`.
        cpu_used, memory_used: Real use, thousandths of a CPU and MiB, NaN when not seen,
            `(hosts,) float64`.
        power_curve: Watts at 0, 10 .. 100 % load, `"86/89.4/../117"`; `""` when not known.
        load: Processes that run or want to, averaged over a minute; NaN when not seen, as all here.
        cpu_pressure, memory_pressure: Share of time in which something waited (PSI "some", 10 s).
        swap: To and from disk, MiB/s.
        watts: Drawn, as the host's management controller measures it.
    """

    capacity: IntArray
    node_count: CodeArray
    arch: CodeArray = field(metadata=codes("arch", Arch.X86_64))
    cpu_model: Categorical[str] = field(metadata=words("cpu_model", "", check_cpu))
    sockets: npt.NDArray[np.int16] = field(
        metadata=numbers("sockets", 1, np.int16, least=1, most=4096)
    )
    zone: Categorical[str] = field(metadata=words("zone", "", check_optional_id))
    rack: Categorical[str] = field(metadata=words("rack", "", check_optional_id))
    traits: Categorical[frozenset[str]] = field(metadata=words("traits", frozenset(), check_traits))
    gpu_model: Categorical[str] = field(metadata=words("gpu_model", "", check_optional_id))
    power: CodeArray = field(metadata=codes("power", Power.ON))
    health: CodeArray = field(metadata=codes("health", Health.OK))
    cordon: Categorical[str] = field(metadata=words("cordon", "", check_text))
    cpu_ratio: FloatArray = field(
        metadata=numbers("cpu_ratio", 1.0, np.float64, least=0.01, most=1000.0)
    )
    memory_ratio: FloatArray = field(
        metadata=numbers("memory_ratio", 1.0, np.float64, least=0.01, most=100.0)
    )
    bandwidth: FloatArray = field(
        metadata=numbers("bandwidth_mib_s", 1000.0, np.float64, least=0.0, most=1e12)
    )
    cpu_used: FloatArray = field(metadata=measured("cpu_used_milli", np.float64))
    memory_used: FloatArray = field(metadata=measured("memory_used_mib", np.float64))
    power_curve: Categorical[str] = field(metadata=words("power_curve", "", check_curve))
    load: FloatArray = field(metadata=measured("load", np.float64))
    cpu_pressure: FloatArray = field(metadata=measured("cpu_pressure", np.float64))
    memory_pressure: FloatArray = field(metadata=measured("memory_pressure", np.float64))
    swap: FloatArray = field(metadata=measured("swap_mib_s", np.float64))
    watts: FloatArray = field(metadata=measured("watts", np.float64))

    @classmethod
    def of(cls, hosts: Iterable[Host]) -> "Hosts":
        """Build the table from row values; the caller sorts."""
        rows = list(hosts)
        counts = np.fromiter((len(host.nodes) for host in rows), dtype=np.uint8, count=len(rows))
        amounts = [node.amounts for host in rows for node in host.nodes]
        return cls(
            id=tuple(host.id for host in rows),
            capacity=_padded(counts, np.array(amounts, dtype=np.int64).reshape(-1, len(RESOURCES))),
            node_count=frozen(counts),
            **cls.declared_columns(rows),
        )

    @classmethod
    def of_columns(
        cls,
        id: Sequence[str],  # noqa: A002 (the column's name)
        capacity: IntArray,
        node_count: CodeArray | None = None,
        **columns: object,
    ) -> "Hosts":
        """Build the table from columns in any order of rows; `Pool.of_columns` checks them.

        Args:
            id: One per host.
            capacity: `(hosts, nodes, RESOURCES)`, whole numbers.
            node_count: `(hosts,)`; all nodes of `capacity` by default.
            columns: An array (codes for a vocabulary), a `Categorical`, a list of plain values, or
                one plain value for all rows; what is left out has the default of `Host`.

        Raises:
            Invalid: a column is unknown, of another length, or cannot be kept.
        """
        shape = (len(id), capacity.shape[1] if capacity.ndim == 3 else 0, len(RESOURCES))
        if capacity.shape != shape or capacity.dtype.kind not in "iu" or not 0 < shape[1] <= 32:
            raise Invalid(
                f"capacity must be whole numbers of shape (hosts, nodes, {len(RESOURCES)})",
                fix=f"give one row per host and at most {MOST_NODES} nodes",
                code="invalid-column",
            )
        count = np.full(len(id), shape[1]) if node_count is None else node_count
        return cls(
            id=tuple(id),
            capacity=frozen(capacity.astype(np.int64, copy=False)),
            node_count=frozen(count.astype(np.uint8, copy=False)),
            **cls.filled_columns(len(id), columns),
        )

    @cached_property
    def present(self) -> BoolArray:
        """Which entries of the node axis are nodes and not padding, `(hosts, nodes) bool`."""
        there: BoolArray = np.arange(self.capacity.shape[1]) < self.node_count[:, None]
        return there

    @cached_property
    def sellable(self) -> IntArray:
        """What may be handed out per node, `(hosts, nodes, RESOURCES) int64`: capacity * ratio."""
        if np.all(self.cpu_ratio == 1.0) and np.all(self.memory_ratio == 1.0):
            return self.capacity
        scaled = sold(self.capacity, self.cpu_ratio[:, None], self.memory_ratio[:, None])
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
        return Host(
            id=self.id[row],
            nodes=self._nodes(row),
            arch=value_of(Arch, self.arch[row]),
            cpu_model=self.cpu_model[row],
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
            cpu_used_milli=seen(self.cpu_used[row]),
            memory_used_mib=seen(self.memory_used[row]),
            power_curve=self.power_curve[row],
            load=seen(self.load[row]),
            cpu_pressure=seen(self.cpu_pressure[row]),
            memory_pressure=seen(self.memory_pressure[row]),
            swap_mib_s=seen(self.swap[row]),
            watts=seen(self.watts[row]),
        )

    def extended(self, other: "Hosts") -> "Hosts":
        """Return this table followed by another, whatever the most nodes of each."""
        width = max(self.capacity.shape[1], other.capacity.shape[1])
        return super(Hosts, _widened(self, width)).extended(_widened(other, width))

    def feed(self, digest: Digest) -> None:
        """Add every column that is not a measurement to a digest."""
        super().feed(digest)
        feed_column(self.node_count, digest)
        feed_column(self.capacity[self.present], digest)

    def check(self, what: str) -> None:
        """Check every column. Raises Invalid that names a row."""
        super().check(what)
        if len(self.capacity) != len(self) or self.node_count.shape != (len(self),):
            raise Invalid("capacity and node_count must have one row per host")
        width = self.capacity.shape[1]
        counts = (self.node_count < 1) | (self.node_count > width)
        if counts.any():
            raise self.broken_law(what, f"it must have 1 to {width} NUMA nodes", counts)
        wrong = (self.capacity < 0) | (self.capacity > LARGEST)
        if wrong.any():
            law = f"its nodes must have from 0 to {LARGEST} of everything"
            raise self.broken_law(what, law, np.any(wrong, axis=(1, 2)))
        padding = self.capacity.any(axis=2) & ~self.present
        if padding.any():
            raise self.broken_law(what, "it has capacity without a node", np.any(padding, axis=1))

    def _nodes(self, row: int) -> tuple[Node, ...]:
        return tuple(
            Node(*amounts) for amounts in self.capacity[row, : self.node_count[row]].tolist()
        )


def sold(
    capacity: IntArray, cpu_ratio: float | FloatArray, memory_ratio: float | FloatArray
) -> IntArray:
    """Return what may be handed out of a capacity, `(..., RESOURCES) int64`, rounded down.

    Huge pages and GPUs are never sold twice.
    """
    scaled = capacity.copy()
    scaled[..., CPU] = (capacity[..., CPU] * cpu_ratio).astype(np.int64)
    scaled[..., MEMORY] = (capacity[..., MEMORY] * memory_ratio).astype(np.int64)
    return scaled


def seen(measure: float) -> float:
    """Return a measurement as a plain number; the one `math.nan` when it was not seen."""
    return math.nan if math.isnan(measure) else float(measure)


def _widened(hosts: Hosts, width: int) -> Hosts:
    missing = width - hosts.capacity.shape[1]
    if not missing:
        return hosts
    return replace(hosts, capacity=frozen(np.pad(hosts.capacity, ((0, 0), (0, missing), (0, 0)))))


def _padded(counts: CodeArray, amounts: IntArray) -> IntArray:
    width = max(int(counts.max(initial=1)), 1)
    capacity = np.zeros((len(counts), width, len(RESOURCES)), dtype=np.int64)
    capacity[np.arange(width) < counts[:, None]] = amounts
    frozen(capacity)
    return capacity
