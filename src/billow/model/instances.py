# SPDX-License-Identifier: Apache-2.0
"""The instance table: one row per instance, NumPy columns with stated units."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from billow.model.column import Categorical, Table, frozen, observed
from billow.model.instance import Instance, mask_of, nodes_of
from billow.model.kinds import Kind, State, code_of, value_of
from billow.model.resources import CodeArray, MaskArray, RowArray
from billow.model.shape import Shape

NOWHERE = -1
"""The host row of an instance that is on no host."""


@dataclass(frozen=True, eq=False)
class Instances(Table):
    """Instances by row, sorted by id.

    Attributes:
        kind, state: `(instances,) uint8`, codes of `Kind` and `State`.
        shape: Position in `Pool.shapes`, `(instances,) int32`.
        host: Host row or `NOWHERE`, `(instances,) int32`.
        nodes: Bit mask of the NUMA nodes that it is bound to, 0 when it floats, `(instances,) uint32`.
        priority: `(instances,) int32`.
        dirty: Memory written, MiB/s, NaN when not seen, `(instances,) float32`.
        cpu_used, memory_used: Thousandths of a CPU and MiB, NaN when not seen, `(instances,) float32`.
    """

    kind: CodeArray
    state: CodeArray
    shape: RowArray
    host: RowArray
    nodes: MaskArray
    priority: RowArray
    group: Categorical[str]
    tenant: Categorical[str]
    zone: Categorical[str]
    image: Categorical[str]
    immovable: Categorical[str]
    dirty: npt.NDArray[np.float32] = observed()
    cpu_used: npt.NDArray[np.float32] = observed()
    memory_used: npt.NDArray[np.float32] = observed()

    @classmethod
    def of(
        cls, instances: Iterable[Instance], shape: Mapping[str, int], host: Mapping[str, int]
    ) -> "Instances":
        """Build the table from row values, with the row numbers of shapes and hosts; the caller sorts.

        Raises:
            KeyError: a shape or a host that is not in the pool.
        """
        rows = list(instances)
        return cls(
            id=tuple(each.id for each in rows),
            kind=_column((code_of(each.kind) for each in rows), np.uint8),
            state=_column((code_of(each.state) for each in rows), np.uint8),
            shape=_column((shape[each.shape.name] for each in rows), np.int32),
            host=_column((host[each.host] if each.host else NOWHERE for each in rows), np.int32),
            nodes=_column((mask_of(each.nodes) for each in rows), np.uint32),
            priority=_column((each.priority for each in rows), np.int32),
            group=Categorical.of(each.group for each in rows),
            tenant=Categorical.of(each.tenant for each in rows),
            zone=Categorical.of(each.zone for each in rows),
            image=Categorical.of(each.image for each in rows),
            immovable=Categorical.of(each.immovable for each in rows),
            dirty=_column((each.dirty_mib_s for each in rows), np.float32),
            cpu_used=_column((each.cpu_used_milli for each in rows), np.float32),
            memory_used=_column((each.memory_used_mib for each in rows), np.float32),
        )

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
            dirty_mib_s=float(self.dirty[row]),
            cpu_used_milli=float(self.cpu_used[row]),
            memory_used_mib=float(self.memory_used[row]),
        )


def _column(values: Iterable[float], dtype: type[np.generic]) -> npt.NDArray[Any]:
    return frozen(np.array(list(values), dtype=dtype))
