# SPDX-License-Identifier: Apache-2.0
"""The hosts as a batch fills them: a draft, who is in whose way, and what changed last.

It keeps what a `Draft` does not know (bare metal takes a host whole) and gives judges what hosts
have left, for all hosts, for some, or for one. It decides nothing.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from billow.capabilities.placement.judge import Judge, Left
from billow.model.instances import NOWHERE
from billow.model.kinds import Kind, code_of
from billow.model.pool import Pool
from billow.model.resources import RESOURCES, BoolArray, FloatArray, IntArray
from billow.plan.draft import Draft

Rows = npt.NDArray[np.intp]
MANY: Final = 256
"""After so many changes it is quicker to have what hosts sell as plain numbers, for all of them."""
_BARE_METAL = code_of(Kind.BARE_METAL)


class Scene:
    """A draft of a pool with what placement must know besides.

    Building it is linear in hosts and instances (array passes); every change is constant.

    Attributes:
        draft: The judge of capacity and group rules.
        sellable: What each host may sell in all, `(hosts, RESOURCES) int64`.
        oversold: Resources of which some host or node has less than nothing left.
        changes: Rows of the hosts that changed, oldest first.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.draft = Draft(pool)
        self.changes: list[int] = []
        self.sellable: IntArray = pool.free + pool.reserved
        self._inverse = _inverse(self.sellable)
        self._node_count: list[int] = pool.hosts.node_count.tolist()
        self.oversold = [
            resource for resource in range(len(RESOURCES)) if self._is_oversold(resource)
        ]
        self._bare_rows = frozenset(np.flatnonzero(pool.instances.kind == _BARE_METAL).tolist())
        self._bare_metal = self._counts(bare_metal=True)
        self._everyone: IntArray | None = None

    def _is_oversold(self, resource: int) -> bool:
        free = self.draft
        return bool(
            (free.free_hosts[:, resource] < 0).any() or (free.free_nodes[..., resource] < 0).any()
        )

    @cached_property
    def _node_inverse(self) -> FloatArray:
        return _inverse(self.pool.hosts.sellable)

    @cached_property
    def _absent(self) -> list[BoolArray]:
        """Which hosts do not have a node, by node number: `(hosts,) bool` each."""
        counts = self.pool.hosts.node_count
        return [counts <= node for node in range(self.pool.hosts.capacity.shape[1])]

    def assign(self, instance: int, host: int, nodes: int) -> bool:
        """Put an instance (row) on a host (row); False, with nothing changed, if refused."""
        was = self.draft.where(instance)[0]
        if not self.draft.assign(instance, host, nodes):
            return False
        if was != NOWHERE:
            self._count(instance, was, -1)
        self._count(instance, host, 1)
        return True

    def undo(self, instance: int) -> None:
        """Take back the last `assign`, which was of this instance (row)."""
        self._count(instance, self.draft.where(instance)[0], -1)
        self.draft.undo()
        back = self.draft.where(instance)[0]
        if back != NOWHERE:
            self._count(instance, back, 1)

    def left_by_all(self, judge: Judge) -> Left[FloatArray]:
        """Return what every host has left of what matters to a judge."""
        return self._left(slice(None), judge)

    def left_by(self, rows: Rows, judge: Judge) -> Left[FloatArray]:
        """Return what some hosts (rows) have left of what matters to a judge."""
        return self._left(rows, judge)

    def left_on(self, host: int, judge: Judge) -> Left[float]:
        """Return what one host (row) has left of what matters to a judge, as plain numbers."""
        pick = judge.pick
        nodes: list[Sequence[float]] = []
        node_inverse: list[Sequence[float]] = []
        if judge.width:
            count = self._node_count[host]
            nodes = [pick(free) for free in self.draft.free_nodes[host, :count].tolist()]
            node_inverse = [pick(inverse) for inverse in self._node_inverse_on(host)]
        return Left(
            pick(self.draft.free_hosts[host].tolist()),
            pick(self._inverse_on(host)),
            nodes,
            node_inverse,
        )

    def _inverse_on(self, host: int) -> list[float]:
        """Return 1 / what one host sells, by resource."""
        if len(self.changes) > MANY:
            return self._inverse_rows[host]
        inverse: list[float] = self._inverse[:, host].tolist()
        return inverse

    def _node_inverse_on(self, host: int) -> list[list[float]]:
        """Return 1 / what each node of one host sells, by resource; absent nodes too."""
        if len(self.changes) > MANY:
            return self._node_inverse_rows[host]
        inverse: list[list[float]] = self._node_inverse[:, host].T.tolist()
        return inverse

    @cached_property
    def _inverse_rows(self) -> list[list[float]]:
        rows: list[list[float]] = self._inverse.T.tolist()
        return rows

    @cached_property
    def _node_inverse_rows(self) -> list[list[list[float]]]:
        rows: list[list[list[float]]] = np.moveaxis(self._node_inverse, 0, -1).tolist()
        return rows

    def _left(self, rows: Rows | slice, judge: Judge) -> Left[FloatArray]:
        nodes: list[Sequence[FloatArray]] = []
        node_inverse: list[Sequence[FloatArray]] = []
        for node, absent in enumerate(self._absent if judge.width else ()):
            columns = _columns(self.draft.free_nodes[:, node], rows, judge)
            columns[0][absent[rows]] = -1.0
            nodes.append(columns)
            inverse = self._node_inverse[:, :, node]
            node_inverse.append([inverse[resource][rows] for resource in judge.resources])
        return Left(
            _columns(self.draft.free_hosts, rows, judge),
            [self._inverse[resource][rows] for resource in judge.resources],
            nodes,
            node_inverse,
        )

    def _count(self, instance: int, host: int, change: int) -> None:
        self.changes.append(host)
        if self._everyone is not None:
            self._everyone[host] += change
        if instance in self._bare_rows:
            self._bare_metal[host] += change

    def in_the_way(self, *, whole: bool) -> IntArray:
        """Return how many instances of each host keep a request from it, `(hosts,) int64`.

        Any instance keeps a request for a whole host away, and bare metal keeps away any request.
        The array is kept up to date.
        """
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
    """Return 1 / amount, resources first; 1 where there is none, as nothing of nothing is left."""
    resources_first = np.ascontiguousarray(np.moveaxis(amounts, -1, 0))
    inverse: FloatArray = 1.0 / np.maximum(resources_first, 1)
    return inverse


def _columns(table: IntArray, rows: Rows | slice, judge: Judge) -> list[FloatArray]:
    """Return the columns that matter, each a copy."""
    return [table[rows, resource].astype(np.float64) for resource in judge.resources]
