# SPDX-License-Identifier: Apache-2.0
"""Where the instances of dead hosts would find room: a packing that is tried out and taken back.

The largest go first, each to the host that it fits tightest, on a draft, which has the last word on
capacity, NUMA nodes and group rules. Pure: no I/O, no clock, no dice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
import numpy.typing as npt

from billow.model.instances import NOWHERE
from billow.model.kinds import Kind, Rule, code_of
from billow.model.pool import Pool
from billow.model.resources import GPU, BoolArray, FloatArray, IntArray
from billow.model.shape import Shape
from billow.plan.draft import Draft
from billow.plan.peers import Circle
from billow.plan.reach import ANYWHERE, reach_of
from billow.plan.slots import Room, open_hosts

Rows = npt.NDArray[np.intp]
GANG_TRIES: Final = 8
"""Domains that are tried for an affinity group that lost all its members."""
_BARE_METAL: Final = code_of(Kind.BARE_METAL)


@dataclass(frozen=True, slots=True)
class Want:
    """All that decides which hosts could take an instance, but its group."""

    shape: int
    kind: int
    zone: int
    reach: int = ANYWHERE


class Refuge:
    """A pool in which hosts die, one guess after the other.

    Attributes:
        draft: The pool as it is now, or while a guess is worked on, as it would be.
        open: Which hosts take something new in this guess, `(hosts,) bool`.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.draft = Draft(pool)
        self.open = open_hosts(pool)
        self._open = self.open
        self._reach = reach_of(pool)
        self._kind_fits: dict[tuple[int, int, int], BoolArray] = {}
        total = np.maximum(pool.hosts.sellable.sum(axis=(0, 1)), 1)
        self._scale: FloatArray = len(pool.hosts) / total
        self._size: FloatArray = (pool.demand * self._scale).max(axis=1, initial=0.0)
        placed = pool.instances.host[pool.instances.host != NOWHERE]
        self._crowded = np.bincount(placed, minlength=len(pool.hosts))
        self._crowd = self._crowded

    def kill(self, hosts: Rows, instances: Rows) -> None:
        """Let hosts (rows) die, with the instances (rows) that are on them."""
        self.open = self._open.copy()
        self.open[hosts] = False
        self._crowd = self._crowded.copy()
        for row in instances.tolist():
            self.draft.assign(row, NOWHERE)

    def rehome(self, instances: Rows) -> tuple[int, ...]:
        """Place instances (rows) that lost their host; return those that find no room."""
        gangs = self.gangs(instances)
        homeless = [row for gang in gangs for row in self._place_gang(gang)]
        placed = {row for gang in gangs for row in gang}
        rest = (row for row in self._ordered(instances) if row not in placed)
        for _, batch in groupby(rest, self._batch_key):
            homeless += self._place_batch(list(batch))
        return tuple(homeless)

    def forget(self) -> None:
        """Bring all hosts back to life."""
        self.draft.rollback(0)
        self.open = self._open

    def want(self, row: int) -> Want:
        """Return what decides which hosts could take an instance (row)."""
        ours = self.pool.instances
        zone, reach = int(ours.zone.codes[row]), self._reach.code(row)
        return Want(int(ours.shape[row]), int(ours.kind[row]), zone, reach)

    def suits(self, want: Want) -> BoolArray:
        """Return which living hosts are of the right kind and zone, whatever is free there."""
        key = want.shape, want.zone, want.reach
        if key not in self._kind_fits:
            room = Room(self.pool.hosts, self.pool.free, self.pool.free_nodes, self._open)
            fits = room.suits(self.pool.shapes[want.shape])
            zone = self.pool.instances.zone.categories[want.zone]
            self._reach.narrow(fits, want.reach)
            self._kind_fits[key] = fits & self.pool.hosts.zone.where(zone) if zone else fits
        good: BoolArray = self._kind_fits[key] & self.open
        return good

    def roomy(self, want: Want) -> BoolArray:
        """Return which hosts that suit have room now, in total and on NUMA nodes."""
        shape, draft = self.pool.shapes[want.shape], self.draft
        good = self.suits(want)
        rows = np.flatnonzero(good)
        fine = (draft.free_hosts[rows] >= np.array(shape.demand)).all(axis=1)
        if shape.numa_nodes:
            nodes = (draft.free_nodes[rows] >= np.array(shape.share)).all(axis=2)
            nodes &= self.pool.hosts.present[rows]
            fine &= nodes.sum(axis=1) >= shape.numa_nodes
        if want.kind == _BARE_METAL:
            fine &= self._crowd[rows] == 0
        good[rows] = fine
        return good

    def allowed(self, row: int, circle: Circle) -> BoolArray:
        """Return on which hosts the group of an instance (row) lets it be, `(hosts,) bool`."""
        others = circle.others(row)
        if circle.group.rule is Rule.ANTI_AFFINITY:
            return ~np.isin(circle.domains, others)
        if len(others) > 1:
            return np.zeros(len(circle.domains), dtype=np.bool_)
        return np.isin(circle.domains, others) if others else np.ones(len(circle.domains), np.bool_)

    def _ordered(self, rows: Rows) -> list[int]:
        """Return instances (rows), the largest first, then the important, equal ones together."""
        ours = self.pool.instances
        shape = ours.shape[rows]
        order = np.lexsort(
            (
                rows,
                ours.group.codes[rows],
                self._reach.codes(rows),
                ours.zone.codes[rows],
                shape,
                -ours.priority[rows],
                -self._size[shape] - (ours.kind[rows] == _BARE_METAL) * 1e9,
            )
        )
        in_turn: list[int] = rows[order].tolist()
        return in_turn

    def _batch_key(self, row: int) -> tuple[Want, int]:
        """Return what instances that are placed at one go have in common."""
        bound = self.draft.circle(row) is not None
        return self.want(row), row if bound else NOWHERE

    def _place_batch(self, rows: Sequence[int]) -> list[int]:
        """Place equal instances (rows); return those without room."""
        circle = self.draft.circle(rows[0])
        want = self.want(rows[0])
        good = self.roomy(want)
        if circle is not None:
            good &= self.allowed(rows[0], circle)
        return self._fill(rows, self._tightest(want, good, len(rows)))

    def _fill(self, rows: Sequence[int], hosts: Sequence[int]) -> list[int]:
        """Fill hosts in turn, each as long as something fits; return who is left over."""
        left = list(reversed(rows))
        for host in hosts:
            while left and self._enter(left[-1], host):
                left.pop()
            if not left:
                break
        return left[::-1]

    def _tightest(self, want: Want, good: BoolArray, most: int) -> list[int]:
        """Return up to `most` of the hosts with the least left of what the shape takes."""
        shape = self.pool.shapes[want.shape]
        matters = np.array(shape.demand) > 0
        matters[GPU] = True  # whoever takes no GPU leaves the hosts that have some alone
        rows = np.flatnonzero(good)
        left = self.draft.free_hosts[rows] @ (self._scale * matters)
        if len(rows) > most:
            near = np.argpartition(left, most - 1)[:most]
            near.sort()
            rows, left = rows[near], left[near]
        tightest: list[int] = rows[np.argsort(left, kind="stable")].tolist()
        return tightest

    def _enter(self, row: int, host: int) -> bool:
        mask = self._nodes(self.pool.shapes[self.pool.instances.shape[row]], host)
        bare = self.pool.instances.kind[row] == _BARE_METAL
        if mask is None or (bare and self._crowd[host]):
            return False
        if not self.draft.assign(row, host, mask):
            return False
        self._crowd[host] += 1
        if bare:
            self.open[host] = False
        return True

    def _nodes(self, shape: Shape, host: int) -> int | None:
        """Return which NUMA nodes to take: the tightest one, or the roomiest of many."""
        if not shape.numa_nodes:
            return 0
        count = int(self.pool.hosts.node_count[host])
        free = self.draft.free_nodes[host, :count]
        fitting = np.flatnonzero((free >= np.array(shape.share)).all(axis=1))
        if len(fitting) < shape.numa_nodes:
            return None
        left = free[fitting] @ self._scale
        order = fitting[np.argsort(left if shape.numa_nodes == 1 else -left, kind="stable")]
        return sum(1 << int(node) for node in order[: shape.numa_nodes])

    def gangs(self, rows: Rows) -> list[list[int]]:
        """Return the affinity groups of which no member lives on, as rows, the largest first."""
        members: dict[int, list[int]] = {}
        codes = self.pool.instances.group.codes
        for row in self._ordered(rows):
            circle = self.draft.circle(row)
            if circle and circle.group.rule is Rule.AFFINITY and not circle.others(row):
                members.setdefault(int(codes[row]), []).append(row)
        return [gang for gang in members.values() if len(gang) > 1]

    def _place_gang(self, gang: list[int]) -> list[int]:
        """Place a group in one domain, or as many of it as fit in the best one tried."""
        circle = self.draft.circle(gang[0])
        assert circle is not None, "a gang has a group"  # noqa: S101 (how `_gangs` chose it)
        best: list[int] = gang
        best_domain = NOWHERE
        for domain in self._domains(circle, gang):
            mark, crowd, open_now = self.draft.checkpoint(), self._crowd.copy(), self.open.copy()
            left = self._place_in(gang, circle.domains == domain)
            if not left:
                return []
            if len(left) < len(best):
                best, best_domain = left, domain
            self.draft.rollback(mark)
            self._crowd, self.open = crowd, open_now
        if best_domain != NOWHERE:
            self._place_in(gang, circle.domains == best_domain)
        return best

    def _domains(self, circle: Circle, gang: list[int]) -> list[int]:
        """Return the domains to try: those with room for all in total, the tightest first.

        Where none has, the roomiest, so that some find a place.
        """
        total = self._left_by_domain(circle)
        left = total @ self._scale
        fine = np.flatnonzero(self._holds(total, gang))
        if not len(fine):
            roomiest: list[int] = np.argsort(-left, kind="stable")[:GANG_TRIES].tolist()
            return roomiest
        order = fine[np.argsort(left[fine], kind="stable")]
        half = GANG_TRIES // 2
        return list(dict.fromkeys([*order[:half].tolist(), *order[::-1][:half].tolist()]))

    def shuts_out(self, gang: list[int]) -> bool:
        """Return whether no domain has room in total for all of a group (rows)."""
        circle = self.draft.circle(gang[0])
        return circle is not None and not self._holds(self._left_by_domain(circle), gang).any()

    def _left_by_domain(self, circle: Circle) -> IntArray:
        room = np.maximum(self.draft.free_hosts, 0) * self.open[:, None]
        total = np.zeros((int(circle.domains.max(initial=0)) + 1, room.shape[1]), dtype=np.int64)
        np.add.at(total, circle.domains, room)
        return total

    def _holds(self, total: IntArray, gang: list[int]) -> BoolArray:
        need = self.pool.demand[self.pool.instances.shape[gang]].sum(axis=0)
        holds: BoolArray = (total >= need).all(axis=1)
        return holds

    def _place_in(self, rows: Sequence[int], inside: BoolArray) -> list[int]:
        """Place instances (rows) on some hosts only; return those without room."""
        left: list[int] = []
        for row in rows:
            want = self.want(row)
            left += self._fill([row], self._tightest(want, self.roomy(want) & inside, 1))
        return left
