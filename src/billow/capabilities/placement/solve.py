# SPDX-License-Identifier: Apache-2.0
"""Which request goes where: important and large ones first, each on the best host left.

Greedy, so a batch is placed in one pass: per class of equal requests one vectorised pass over the
hosts, per request one pick and one re-scored host. Every placement is made on a draft, which has
the last word on room and groups.
Pure: no I/O, no clock, no dice; ties are broken by order, so the same pool gives the same answer.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from billow.capabilities.placement.balance import Balance
from billow.capabilities.placement.board import Board
from billow.capabilities.placement.cells import cells_of
from billow.capabilities.placement.company import Guest
from billow.capabilities.placement.ends import Ends
from billow.capabilities.placement.fellows import NOTHING_CLOSED, Closed, closed_by
from billow.capabilities.placement.filters import standing
from billow.capabilities.placement.judge import Judge
from billow.capabilities.placement.need import need_of
from billow.capabilities.placement.policy import PlacementPolicy
from billow.capabilities.placement.scene import Scene
from billow.model.instances import NOWHERE
from billow.model.kinds import Kind, Rule, State, code_of
from billow.model.pool import Pool
from billow.model.resources import BoolArray, FloatArray, IntArray, RowArray
from billow.plan.draft import Draft
from billow.plan.peers import Circle
from billow.plan.reach import reach_of

GANG_TRIES: Final = 8
"""Hosts, racks or zones that are tried for an affinity group before its members go one by one."""


class Spot(NamedTuple):
    """A host (row) and the mask of its NUMA nodes, 0 when floating."""

    host: int
    nodes: int


class Placer:
    """Puts instances of a pool on hosts, one by one, each where it is best now.

    Attributes:
        scene: The pool as placed so far.
        swayed: Rows of the instances that are elsewhere for the wish that hosts empty together.
    """

    def __init__(self, pool: Pool, policy: PlacementPolicy) -> None:
        self.scene = Scene(pool)
        self.swayed: set[int] = set()
        self._ends = Ends.of(self.scene.draft, policy.lifetime_weight)
        self._policy = policy
        self._cells = cells_of(pool.hosts)
        self._balance = Balance(self.scene, self._cells, policy)
        self._reach = reach_of(pool)
        self._boards: dict[tuple[int, int, int, Guest | None], Board] = {}
        self._zones: dict[int, Closed] = {}

    def place(self, instance: int, exclude: Collection[int] = ()) -> Spot | None:
        """Put an instance (row) on the best open host and return where; None when there is none.

        Args:
            instance: A request, or an instance that is to move to another host.
            exclude: Rows of hosts that are closed to it.
        """
        return self._place(instance, self.scene.draft.circle(instance), exclude)

    def place_all(self, instances: Sequence[int]) -> list[Spot | None]:
        """Put instances (rows) on hosts in this order; members of a new affinity group together."""
        spots: list[Spot | None] = []
        gang: list[int] = []
        bond: Circle | None = None
        for instance in instances:
            circle = self.scene.draft.circle(instance)
            if gang and circle is not bond:
                spots += self._place_gang(gang) or map(self.place, gang)
                gang = []
            if circle is not None and _is_open(circle, instance):
                gang.append(instance)
                bond = circle
            else:
                spots.append(self._place(instance, circle))
        return spots + (self._place_gang(gang) or list(map(self.place, gang)))

    def _place(
        self, instance: int, circle: Circle | None, exclude: Collection[int] = ()
    ) -> Spot | None:
        if not len(self._cells):
            return None
        board = self._board(instance)
        closed = self._closed(instance, circle, exclude)
        while (host := board.pick(self._balance.term, closed)) is not None:
            spot = Spot(host, board.nodes_on(host))
            otherwise = self._plain(instance, closed) if self._ends is not None else host
            if self._assign(instance, spot):
                board.settle(host, spot.nodes)
                if otherwise != host:
                    self.swayed.add(instance)
                return spot
            closed = closed.also(Closed(frozenset([host])))
        return None

    def _place_gang(self, gang: list[int]) -> list[Spot | None] | None:
        """Put all members in one domain; None, with nothing changed, when none has room for all."""
        circle = self.scene.draft.circle(gang[0]) if gang[1:] else None
        if circle is None or not len(self._cells):
            return None
        open_hosts = self._roomy(circle.domains, gang)
        elsewhere = self._closed_by_zone(gang[0]).cells
        if elsewhere is not None:
            open_hosts &= ~elsewhere[self._cells.of]
        for _ in range(GANG_TRIES):
            host = self._board(gang[0]).pick_among(self._balance.term, open_hosts)
            if host is None:
                return None
            spots = self._place_beside(gang, host)
            if spots is not None:
                return spots
            open_hosts &= circle.domains != circle.domains[host]
        return None

    def _place_beside(self, gang: list[int], host: int) -> list[Spot | None] | None:
        """Put the first member on a host and the others where its rule lets them; all or none."""
        spot = Spot(host, self._board(gang[0]).nodes_on(host))
        spots: list[Spot | None] = []
        placed = self._assign(gang[0], spot)
        while placed:
            spots.append(spot)
            if len(spots) == len(gang):
                return spots
            found = self.place(gang[len(spots)])
            placed, spot = found is not None, found or spot
        for member in reversed(gang[: len(spots)]):
            self.take_back(member)
        return None

    def _roomy(self, domains: RowArray, gang: list[int]) -> BoolArray:
        """Return the hosts in whose domain is room in total for a gang: `(hosts,) bool`."""
        ours = self.scene.pool
        total = ours.demand[ours.instances.shape[gang]].sum(axis=0)
        free = self.scene.draft.free_hosts
        roomy = np.ones(len(domains), dtype=np.bool_)
        for resource, amount in enumerate(total.tolist()):
            if amount:
                left = np.maximum(free[:, resource], 0)
                roomy &= np.bincount(domains, weights=left)[domains] >= amount
        return roomy

    def _assign(self, instance: int, spot: Spot) -> bool:
        was = self.scene.draft.where(instance)[0]
        if not self.scene.assign(instance, spot.host, spot.nodes):
            return False
        shape = self.scene.pool.shapes[self.scene.pool.instances.shape[instance]]
        self._balance.enter(self._cell(spot.host), shape)
        if was != NOWHERE:
            self._balance.enter(self._cell(was), shape, -1)
        if self._ends is not None:
            self._ends.move(instance, was, spot.host)
        return True

    def take_back(self, instance: int) -> None:
        """Undo the last placement, which was of this instance (row)."""
        host = self.scene.draft.where(instance)[0]
        self.scene.undo(instance)
        shape = self.scene.pool.shapes[self.scene.pool.instances.shape[instance]]
        self._balance.enter(self._cell(host), shape, -1)
        if self._ends is not None:
            self._ends.move(instance, host, self.scene.draft.where(instance)[0])

    def _cell(self, host: int) -> int:
        return int(self._cells.of[host])

    def _closed(self, instance: int, circle: Circle | None, exclude: Collection[int]) -> Closed:
        closed = self._closed_by_zone(instance)
        if circle is not None:
            closed = closed.also(closed_by(circle, instance, self._cells))
        return closed.also(Closed(frozenset(exclude))) if exclude else closed

    def _closed_by_zone(self, instance: int) -> Closed:
        """Return what the zone that an instance (row) asks for closes."""
        ours = self.scene.pool.instances.zone
        code = int(ours.codes[instance])
        if code not in self._zones:
            zone, zones = ours.categories[code], self.scene.pool.hosts.zone.categories
            there = zones.index(zone) if zone in zones else NOWHERE
            cells = self._cells.zone != there
            self._zones[code] = Closed(cells=cells) if zone else NOTHING_CLOSED
        return self._zones[code]

    def _plain(self, instance: int, closed: Closed) -> int | None:
        """Return the host (row) that would be best if nobody cared for ends."""
        return self._board(instance, plain=True).pick(self._balance.term, closed)

    def _board(self, instance: int, *, plain: bool = False) -> Board:
        """Return the board of a shape, kind and reach, and unless it is plain of a company.

        Zones and groups close cells of it.
        """
        guest = None if plain or self._ends is None else self._ends.guest(instance)
        ours = self.scene.pool.instances
        reach = self._reach.code(instance)
        key = int(ours.shape[instance]), int(ours.kind[instance]), reach, guest
        board = self._boards.get(key)
        if board is None:
            need = replace(need_of(self.scene.pool, instance), zone="")
            judge = Judge(need, self._policy, self.scene.oversold)
            worth = standing(self.scene, need, self._policy)
            wish = self._ends.wish(guest) if self._ends is not None and guest is not None else None
            board = Board(self.scene, self._cells, judge, worth, wish)
            self._boards[key] = board
        return board


def _is_open(circle: Circle, instance: int) -> bool:
    """Return whether a group's affinity is not bound to a place yet."""
    return circle.group.rule is Rule.AFFINITY and not circle.others(instance)


def requests(pool: Pool) -> IntArray:
    """Return the rows of the instances that are requested and on no host, in row order."""
    ours = pool.instances
    wanted = (ours.host == NOWHERE) & (ours.state == code_of(State.REQUESTED))
    return np.flatnonzero(wanted).astype(np.int64)


def ordered(draft: Draft, rows: IntArray) -> Sequence[int]:
    """Return requests (rows) in the order in which they are placed.

    By priority, then by size; equal ones side by side, and the members of an affinity group where
    its first member stands. Their order in the pool decides only between equals.
    """
    pool, ours = draft.pool, draft.pool.instances
    shape, kind = ours.shape[rows], ours.kind[rows]
    group, zone = ours.group.codes[rows], ours.zone.codes[rows]
    priority = ours.priority[rows].astype(np.float64)
    size = _sizes(pool)[shape] + (kind == code_of(Kind.BARE_METAL))
    gang = np.where(_affine(draft, rows), group, -1)
    _raise_to_first(gang, priority)
    _raise_to_first(gang, size)
    order = np.lexsort((rows, group, zone, kind, shape, gang, -size, -priority))
    placed_in_turn: list[int] = rows[order].tolist()
    return placed_in_turn


def _sizes(pool: Pool) -> FloatArray:
    """Return the largest share of the pool that each shape takes, `(shapes,) float64`, below 1."""
    total = np.maximum((pool.free + pool.reserved).sum(axis=0), 1)
    shares: FloatArray = (pool.demand / total).max(axis=1, initial=0.0)
    return np.minimum(shares, 1.0)


def _affine(draft: Draft, rows: IntArray) -> BoolArray:
    """Return which requests (rows) are in an affinity group, `(requests,) bool`."""
    _, first, inverse = np.unique(
        draft.pool.instances.group.codes[rows], return_index=True, return_inverse=True
    )
    circles = map(draft.circle, rows[first].tolist())
    affine = [circle is not None and circle.group.rule is Rule.AFFINITY for circle in circles]
    return np.array(affine, dtype=np.bool_)[inverse]


def _raise_to_first(gang: RowArray, value: FloatArray) -> None:
    """Give every member of a gang (code, -1 for none) the highest value among them."""
    members = gang >= 0
    if members.any():
        highest = np.full(int(gang.max()) + 1, -np.inf)
        np.maximum.at(highest, gang[members], value[members])
        value[members] = highest[gang[members]]
