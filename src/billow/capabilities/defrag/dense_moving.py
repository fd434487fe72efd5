# SPDX-License-Identifier: Apache-2.0
"""From how many of a class leave and come to the instances that move, checked on a draft.

Groups have their say here: who may not go where its class is wanted changes with another of the
class, stays at home, or goes wherever there is room.
"""

from collections import defaultdict

import numpy as np

from billow.capabilities.defrag.compact import IN, SLOT, Compact
from billow.capabilities.defrag.dense import Crowd
from billow.capabilities.defrag.moving import move_costs
from billow.capabilities.defrag.problem import NO_CLASS
from billow.model.instances import NOWHERE
from billow.model.resources import CPU, IntArray
from billow.plan.draft import Draft
from billow.plan.suit import node_mask, roomy, suits

Spot = tuple[int, int]
"""Host row and node mask."""


def realised(compact: Compact, values: IntArray) -> Draft:
    """Return a draft in which instances are where an answer wants them, as far as they may."""
    return _Realising(compact.crowd).run(_net(compact, values))


def _net(compact: Compact, values: IntArray) -> IntArray:
    """Return how many more of each class are wanted in each place, `(n, 1 + nodes, classes)`."""
    net = np.zeros_like(compact.crowd.residents)
    ours = compact.sign != SLOT
    sign = np.where(compact.sign[ours] == IN, 1, -1)
    where = (compact.host[ours], compact.place[ours], compact.item[ours])
    np.add.at(net, where, sign * values[ours])
    return net


class _Realising:
    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._cost = move_costs(crowd.pool)
        self._draft = Draft(crowd.pool)
        self._home: dict[int, Spot] = {}

    def run(self, net: IntArray) -> Draft:
        """Let all go who should, then bring them to their spots, the largest first."""
        leaving = self._leaving(net)
        self._home = {row: self._draft.where(row) for rows in leaving.values() for row in rows}
        for row in self._home:
            self._draft.assign(row, NOWHERE)
        homeless: list[int] = []
        for number in sorted(leaving, key=lambda each: (-self._size(each), each)):
            homeless += self._settled(leaving[number], self._spots(net, number))
        if not all(self._elsewhere(row) for row in homeless):
            self._all_back()
        return self._draft

    def _leaving(self, net: IntArray) -> dict[int, list[int]]:
        """Return the instances that leave, by class: of equals those whose move costs least."""
        crowd, ours = self._crowd, self._crowd.pool.instances
        rows = np.flatnonzero(crowd.klass != NO_CLASS)
        host, place = crowd.position[ours.host[rows]], crowd.place(rows)
        good = net[host, place, crowd.klass[rows]] < 0
        by_spot: defaultdict[tuple[int, int, int], list[int]] = defaultdict(list)
        lines = zip(host[good], place[good], crowd.klass[rows][good], rows[good], strict=True)
        for at, node, number, row in lines:
            by_spot[int(at), int(node), int(number)].append(int(row))
        found: defaultdict[int, list[int]] = defaultdict(list)
        for (at, node, number), here in by_spot.items():
            here.sort(key=lambda row: (self._cost[row], row))
            found[number] += here[: -int(net[at, node, number])]
        return found

    def _spots(self, net: IntArray, number: int) -> list[Spot]:
        """Return the spots that a class is wanted in, one for each that should come."""
        crowd, found = self._crowd, list[Spot]()
        for at, place in np.argwhere(net[:, :, number] > 0).tolist():
            host = int(crowd.hosts[at])
            mask = 1 << (place - 1) if place else 0
            if not place and crowd.width[number]:
                mask = (1 << int(crowd.pool.hosts.node_count[host])) - 1
            found += [(host, mask)] * int(net[at, place, number])
        return found

    def _settled(self, rows: list[int], spots: list[Spot]) -> list[int]:
        """Bring instances of one class to spots; return who found none."""
        settled: list[int] = []
        left: list[int] = []
        for row in sorted(rows, key=lambda row: (-self._cost[row], row)):
            spot = next((spot for spot in spots if self._draft.assign(row, *spot)), None)
            if spot is None and not self._changed(row, settled, spots):
                left.append(row)
                continue
            if spot is not None:
                spots.remove(spot)
            settled.append(row)
        return left

    def _changed(self, row: int, settled: list[int], spots: list[Spot]) -> bool:
        """Let one of the same class go to a free spot, so that an instance can have its spot."""
        for other in settled:
            mark, was = self._draft.checkpoint(), self._draft.where(other)
            for spot in dict.fromkeys(spots):
                if self._draft.assign(other, *spot) and self._draft.assign(row, *was):
                    spots.remove(spot)
                    return True
                self._draft.rollback(mark)
        return False

    def _elsewhere(self, row: int) -> bool:
        """Bring an instance home, or where it fits tightest; return whether there is room."""
        if self._draft.assign(row, *self._home[row]):
            return True
        good = suits(self._crowd.pool, row) & roomy(self._draft, row)
        hosts = self._crowd.hosts[good[self._crowd.hosts]]
        tightest = hosts[np.argsort(self._draft.free_hosts[hosts, CPU], kind="stable")]
        for host in tightest.tolist():
            mask = node_mask(self._draft, row, host)
            if mask is not None and self._draft.assign(row, host, mask):
                return True
        return False

    def _all_back(self) -> None:
        self._draft.rollback(0)

    def _size(self, number: int) -> int:
        return int(self._crowd.demand[number, CPU])
