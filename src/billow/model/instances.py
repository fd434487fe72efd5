# SPDX-License-Identifier: Apache-2.0
"""The instance table: one row per instance, NumPy columns with stated units."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from billow.errors import Invalid
from billow.model.column import (
    AnyArray,
    Categorical,
    Digest,
    codes,
    frozen,
    measured,
    numbers,
    words,
)
from billow.model.cpu.models import check_cpu
from billow.model.hosts import Hosts, seen
from billow.model.instance import (
    MOST_LIMIT,
    MOST_PRIORITY,
    Instance,
    binds,
    mask_of,
    nodes_of,
)
from billow.model.kinds import Kind, MigrationPolicy, Service, State, Storage, value_of
from billow.model.names import check_optional_id, check_text
from billow.model.resources import BoolArray, CodeArray, MaskArray, RowArray
from billow.model.shape import Shape
from billow.model.table import Table, feed_column

NOWHERE = -1
"""The host row of an instance that is on no host."""


@dataclass(frozen=True, eq=False)
class Instances(Table):
    """Instances by row, sorted by id.

    Attributes:
        shape: Position in `Pool.shapes`, `(instances,) int32`.
        host: Host row or `NOWHERE`, `(instances,) int32`.
        nodes: Bit mask of the NUMA nodes that it is bound to, 0 when it floats,
            `(instances,) uint32`.
        kind, state: `(instances,) uint8`, codes of `Kind` and `State`.
        priority: `(instances,) int32`.
        migration: `(instances,) uint8`, codes of `MigrationPolicy`.
        cpu_model: What a host's CPUs must have for it (`cpu.models`); `""` when not known.
        disk: `(instances,) uint8`, codes of `Storage`.
        service: `(instances,) uint8`, codes of `Service`.
        cpu_limit: Most it may use now, thousandths of a CPU, 0 for no limit, `(instances,) int32`.
        dirty: Memory written, MiB/s, NaN when not seen, `(instances,) float32`.
        cpu_used, memory_used: Thousandths of a CPU and MiB, NaN when not seen,
            `(instances,) float32`.
        cpu_wait: Share of time in which it wanted a CPU and got none, likewise.
        ballooned: Memory that it gave back to its host for now, MiB, likewise.
        disk_used: What its disk takes, MiB, likewise.
    """

    shape: RowArray
    host: RowArray
    nodes: MaskArray
    kind: CodeArray = field(metadata=codes("kind", Kind.VM))
    state: CodeArray = field(metadata=codes("state", State.REQUESTED))
    priority: RowArray = field(
        metadata=numbers("priority", 0, np.int32, least=-MOST_PRIORITY, most=MOST_PRIORITY)
    )
    group: Categorical[str] = field(metadata=words("group", "", check_optional_id))
    tenant: Categorical[str] = field(metadata=words("tenant", "", check_optional_id))
    zone: Categorical[str] = field(metadata=words("zone", "", check_optional_id))
    image: Categorical[str] = field(metadata=words("image", "", check_optional_id))
    immovable: Categorical[str] = field(metadata=words("immovable", "", check_text))
    migration: CodeArray = field(metadata=codes("migration", MigrationPolicy.BALANCED))
    cpu_model: Categorical[str] = field(metadata=words("cpu_model", "", check_cpu))
    disk: CodeArray = field(metadata=codes("disk", Storage.SHARED))
    service: CodeArray = field(metadata=codes("service", Service.LATENCY))
    cpu_limit: RowArray = field(
        metadata=numbers("cpu_limit_milli", 0, np.int32, least=0, most=MOST_LIMIT)
    )
    dirty: npt.NDArray[np.float32] = field(metadata=measured("dirty_mib_s", np.float32))
    cpu_used: npt.NDArray[np.float32] = field(metadata=measured("cpu_used_milli", np.float32))
    memory_used: npt.NDArray[np.float32] = field(metadata=measured("memory_used_mib", np.float32))
    cpu_wait: npt.NDArray[np.float32] = field(metadata=measured("cpu_wait", np.float32))
    ballooned: npt.NDArray[np.float32] = field(metadata=measured("ballooned_mib", np.float32))
    disk_used: npt.NDArray[np.float32] = field(metadata=measured("disk_used_mib", np.float32))

    @classmethod
    def of(
        cls, instances: Iterable[Instance], shape: Mapping[str, int], host: Mapping[str, int]
    ) -> "Instances":
        """Build the table from row values, with the rows of shapes and hosts; the caller sorts.

        Raises:
            KeyError: a shape or a host that is not in the pool.
        """
        rows = list(instances)
        return cls(
            id=tuple(each.id for each in rows),
            shape=_column((shape[each.shape.name] for each in rows), np.int32),
            host=_column((host[each.host] if each.host else NOWHERE for each in rows), np.int32),
            nodes=_column((mask_of(each.nodes) for each in rows), np.uint32),
            **cls.declared_columns(rows),
        )

    @classmethod
    def of_columns(
        cls,
        id: Sequence[str],  # noqa: A002 (the column's name)
        shape: AnyArray,
        host: AnyArray,
        nodes: AnyArray | None = None,
        **columns: object,
    ) -> "Instances":
        """Build the table from columns in any order of rows; `Pool.of_columns` checks them.

        Args:
            id: One per instance.
            shape: Position in the shapes that are given with it, `(instances,)`.
            host: Row of the host in the hosts that are given with it, or `NOWHERE`, `(instances,)`.
            nodes: Mask of NUMA nodes, `(instances,)`; all float by default.
            columns: As for `Hosts.of_columns`, with the defaults of `Instance`.

        Raises:
            Invalid: a column is unknown, of another length, or cannot be kept.
        """
        masks = np.zeros(len(id), dtype=np.uint32) if nodes is None else nodes
        return cls(
            id=tuple(id),
            shape=frozen(shape.astype(np.int32, copy=False)),
            host=frozen(host.astype(np.int32, copy=False)),
            nodes=frozen(masks.astype(np.uint32, copy=False)),
            **cls.filled_columns(len(id), columns),
        )

    @property
    def bound(self) -> BoolArray:
        """Which can run on no other host, for reasons that do not pass: `(rows,) bool`."""
        why = np.array([binds(each) for each in self.immovable.categories], dtype=np.bool_)
        return why[self.immovable.codes] if len(why) else np.zeros(len(self), dtype=np.bool_)

    def view(self, row: int, shapes: Sequence[Shape], hosts: Sequence[str]) -> Instance:
        """Return one row as a value."""
        host = int(self.host[row])
        return Instance(
            id=self.id[row],
            shape=shapes[self.shape[row]],
            kind=value_of(Kind, self.kind[row]),
            host="" if host == NOWHERE else hosts[host],
            nodes=nodes_of(int(self.nodes[row])),
            state=value_of(State, self.state[row]),
            priority=int(self.priority[row]),
            group=self.group[row],
            tenant=self.tenant[row],
            zone=self.zone[row],
            image=self.image[row],
            immovable=self.immovable[row],
            migration=value_of(MigrationPolicy, self.migration[row]),
            cpu_model=self.cpu_model[row],
            disk=value_of(Storage, self.disk[row]),
            service=value_of(Service, self.service[row]),
            cpu_limit_milli=int(self.cpu_limit[row]),
            dirty_mib_s=seen(self.dirty[row]),
            cpu_used_milli=seen(self.cpu_used[row]),
            memory_used_mib=seen(self.memory_used[row]),
            cpu_wait=seen(self.cpu_wait[row]),
            ballooned_mib=seen(self.ballooned[row]),
            disk_used_mib=seen(self.disk_used[row]),
        )

    def feed_with(self, digest: Digest, shapes: tuple[Shape, ...]) -> None:
        """Add every column that is not a measurement to a digest; shapes by their meaning."""
        self.feed(digest)
        feed_column(self.host, digest)
        feed_column(self.nodes, digest)
        Categorical(self.shape, shapes).feed(digest, lambda shape: shape.canonical)

    def check_with(self, hosts: Hosts, shapes: Sequence[Shape]) -> None:
        """Check every column and what it points at. Raises Invalid that names a row."""
        self.check("instance")
        if not self.shape.shape == self.host.shape == self.nodes.shape == (len(self),):
            raise Invalid("shape, host and nodes must have one row per instance")
        wrong = (self.shape < 0) | (self.shape >= len(shapes))
        if wrong.any():
            raise self.broken_law("instance", "its shape is not in the pool", wrong)
        wrong = (self.host < NOWHERE) | (self.host >= len(hosts))
        if wrong.any():
            raise self.broken_law("instance", "its host is not in the pool", wrong)


def _column(values: Iterable[float], dtype: type[np.generic]) -> AnyArray:
    return frozen(np.array(list(values), dtype=dtype))
