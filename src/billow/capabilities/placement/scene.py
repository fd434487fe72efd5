# SPDX-License-Identifier: Apache-2.0
"""The hosts as a batch fills them: a draft, who is in whose way, and what changed last.

It keeps what a `Draft` does not know (bare metal takes a host whole) and gives judges what hosts
have left, for all hosts, for some, or for one. It decides nothing.
"""

from functools import cached_property

import numpy as np
import numpy.typing as npt

from billow.capabilities.placement.judge import Left
from billow.model.instances import NOWHERE
from billow.model.kinds import Kind, code_of
from billow.model.pool import Pool
from billow.model.resources import CPU, GPU, RESOURCES, FloatArray, IntArray
from billow.plan.draft import Draft

Rows = npt.NDArray[np.intp]
_BARE_METAL = code_of(Kind.BARE_METAL)


class Scene:
    """A draft of a pool with what placement must know besides.

    Building it is linear in hosts and instances (array passes); every change is constant.

    Attributes:
        draft: The judge of capacity and group rules.
        sellable: What each host may sell in all, `(hosts, RESOURCES) int64`.
        changes: Rows of the hosts that changed, oldest first.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.draft = Draft(pool)
        self.changes: list[int] = []
        self.sellable: IntArray = pool.free + pool.reserved
        self._inverse = _inverse(self.sellable)
        self._has_gpu = (self.sellable[:, GPU] > 0).astype(np.float64)
        self._node_count: list[int] = pool.hosts.node_count.tolist()
        self._bare_metal = self._counts(bare_metal=True)
        self._everyone: IntArray | None = None

    @cached_property
    def _node_inverse(self) -> FloatArray:
        return _inverse(self.pool.hosts.sellable)

    @cached_property
    def _absent(self) -> npt.NDArray[np.bool_]:
        """Which nodes of the array a host does not have, `(hosts, nodes) bool`."""
        numbers = np.arange(self.pool.hosts.capacity.shape[1])
        absent: npt.NDArray[np.bool_] = numbers >= self.pool.hosts.node_count[:, None]
        return absent

    def assign(self, instance: int, host: int, nodes: int) -> bool:
        """Put an instance (row) on a host (row); False, with nothing changed, if refused."""
        was = self.draft.where(instance)[0]
        if not self.draft.assign(instance, host, nodes):
            return False
        self._moved(instance, was, host)
        return True

    def undo(self, instance: int) -> None:
        """Take back the last `assign`, which was of this instance (row)."""
        left = self.draft.where(instance)[0]
        self.draft.undo()
        self._moved(instance, left, self.draft.where(instance)[0])

    def left_by_all(self, *, numa: bool, whole: bool) -> Left[FloatArray]:
        """Return what every host has left; NUMA nodes only when asked for."""
        return self._left(slice(None), numa=numa, whole=whole)

    def left_by(self, rows: Rows, *, numa: bool, whole: bool) -> Left[FloatArray]:
        """Return what some hosts (rows) have left."""
        return self._left(rows, numa=numa, whole=whole)

    def left_on(self, host: int, *, numa: bool, whole: bool) -> Left[float]:
        """Return what one host (row) has left, as plain numbers."""
        nodes: list[list[float]] = []
        node_inverse: list[list[float]] = []
        if numa:
            count = self._node_count[host]
            nodes = self.draft.free_nodes[host, :count].tolist()
            node_inverse = self._node_inverse[host, :count].tolist()
        return Left(
            free=self.draft.free_hosts[host].tolist(),
            inverse=self._inverse[host].tolist(),
            nodes=nodes,
            node_inverse=node_inverse,
            in_the_way=float(self._in_the_way(whole=whole)[host]),
            has_gpu=float(self._has_gpu[host]),
        )

    def _left(self, rows: Rows | slice, *, numa: bool, whole: bool) -> Left[FloatArray]:
        nodes: list[list[FloatArray]] = []
        node_inverse: list[list[FloatArray]] = []
        if numa:
            free = self.draft.free_nodes[rows].astype(np.float64)
            free[self._absent[rows], CPU] = -1.0
            nodes = [_columns(free[:, node]) for node in range(free.shape[1])]
            inverse = self._node_inverse[rows]
            node_inverse = [_columns(inverse[:, node]) for node in range(free.shape[1])]
        return Left(
            free=_columns(self.draft.free_hosts[rows].astype(np.float64)),
            inverse=_columns(self._inverse[rows]),
            nodes=nodes,
            node_inverse=node_inverse,
            in_the_way=self._in_the_way(whole=whole)[rows].astype(np.float64),
            has_gpu=self._has_gpu[rows],
        )

    def _moved(self, instance: int, source: int, target: int) -> None:
        bare = self.pool.instances.kind[instance] == _BARE_METAL
        for host, change in ((source, -1), (target, 1)):
            if host != NOWHERE:
                self.changes.append(host)
                if self._everyone is not None:
                    self._everyone[host] += change
                if bare:
                    self._bare_metal[host] += change

    def _in_the_way(self, *, whole: bool) -> IntArray:
        """Return how many instances of each host keep a request from it, `(hosts,) int64`."""
        if not whole:
            return self._bare_metal
        if self._everyone is None:
            self._everyone = self._counts(bare_metal=False)
        return self._everyone

    def _counts(self, *, bare_metal: bool) -> IntArray:
        counted = self.draft.host != NOWHERE
        if bare_metal:
            counted &= self.pool.instances.kind == _BARE_METAL
        hosts = self.draft.host[counted]
        return np.bincount(hosts, minlength=len(self.pool.hosts)).astype(np.int64)


def _inverse(amounts: IntArray) -> FloatArray:
    """Return 1 / amount; 1 where there is none, since nothing of nothing is left there."""
    inverse: FloatArray = 1.0 / np.maximum(amounts, 1)
    return inverse


def _columns(table: FloatArray) -> list[FloatArray]:
    return [table[:, resource] for resource in range(len(RESOURCES))]
