# SPDX-License-Identifier: Apache-2.0
"""Where moves are tried: the draft guards rooms and rules, the board says what they do to risk."""

from billow.capabilities.power.board import Board, Rows
from billow.model.pool import Pool
from billow.model.resources import CPU, MEMORY, BoolArray, IntArray
from billow.plan.draft import Draft
from billow.plan.reach import reach_of
from billow.plan.suit import node_mask, roomy, suits


class Ground:
    """A pool in which instances are moved in memory.

    Attributes:
        board: Expected use and risk of hosts.
        open: Which hosts may get instances, `(hosts,) bool`; who empties a host closes it.
        movable: Which instances may be moved, `(instances,) bool`.
        sold: CPU and memory that each host may sell, added up, `(hosts,) int64`.
    """

    def __init__(self, pool: Pool, board: Board, movable: BoolArray, closed: BoolArray) -> None:
        self.pool = pool
        self.board = board
        self.movable = movable
        self.open: BoolArray = pool.hosts.schedulable & ~closed
        self.draft = Draft(pool)
        self.sold: IntArray = pool.hosts.sellable[:, :, [CPU, MEMORY]].sum(axis=(1, 2))
        self._reach = reach_of(pool)
        self._suits: dict[tuple[int, int, int], BoolArray] = {}
        self._done: list[tuple[int, int]] = []

    def targets(self, instance: int) -> BoolArray:
        """Return which hosts may take an instance as far as whole hosts can tell, `(hosts,)`."""
        zone, reach = self.pool.instances.zone.codes[instance], self._reach.code(instance)
        key = int(self.draft.shape[instance]), int(zone), reach
        if key not in self._suits:
            self._suits[key] = suits(self.pool, instance)
        return self._suits[key] & roomy(self.draft, instance) & self.open

    def take(self, instance: int, host: int) -> bool:
        """Move an instance to a host; False, with nothing changed, where the rules forbid it."""
        mask = node_mask(self.draft, instance, host)
        if mask is None:
            return False
        was = int(self.board.host[instance])
        if not self.draft.assign(instance, host, mask):
            return False
        self._done.append((instance, was))
        self.board.move(instance, host)
        return True

    def mark(self) -> int:
        """Return a mark to go back to."""
        return len(self._done)

    def back(self, mark: int) -> None:
        """Take back every move since the mark."""
        while len(self._done) > mark:
            instance, was = self._done.pop()
            self.draft.undo()
            self.board.move(instance, was)

    def movable_on(self, host: int) -> Rows:
        """Return the instances on a host that may be moved."""
        there = self.board.on(host)
        return there[self.movable[there]]
