# SPDX-License-Identifier: Apache-2.0
"""Hosts that are emptied by a small budget of live migrations, those first that pay best.

A host is emptied whole or left alone; what is on it goes to hosts in use, where placement itself
would put it. Pure: the same pool gives the same answer.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from billow.capabilities.placement.emptying import expected_emptying, price
from billow.capabilities.placement.lifetimes import AHEAD, expected_s
from billow.capabilities.placement.past import past_of
from billow.capabilities.placement.solve import Placer
from billow.model.action import Migrate
from billow.model.instance import nodes_of
from billow.model.instances import NOWHERE
from billow.model.kinds import Kind, State, code_of
from billow.model.pool import Pool
from billow.model.resources import CPU, MEMORY, BoolArray, FloatArray, IntArray

_RESOURCES: Final = [CPU, MEMORY]
_FORESEEN_H: Final = float(AHEAD[-1]) / 3600.0
"""For how long ahead anything is foretold, hours."""


class Vacating:
    """Empties hosts of a pool, after its requests are placed.

    Attributes:
        emptied: Rows of the hosts that are emptied, in order.
        moved: Rows of the instances that move, in order.
    """

    def __init__(self, pool: Pool, placer: Placer, budget: int) -> None:
        self.emptied: list[int] = []
        self.moved: list[int] = []
        self._pool = pool
        self._placer = placer
        self._left = budget
        self._count: IntArray = self._placed()
        self._stay_h: FloatArray = np.zeros(len(pool.hosts))

    def run(self) -> None:
        """Empty hosts while the budget lasts. Per host that is tried about its instances."""
        if not self._left:
            return
        taken = set[int]()
        prices = self._prices()
        for host in np.argsort(prices, kind="stable").tolist():
            if not self._left or not np.isfinite(prices[host]):
                return
            if host in taken or self._count[host] > self._left:
                continue
            moved = self._empty(host)
            taken.update(self._placer.scene.draft.where(row)[0] for row in moved)

    def actions(self) -> Iterator[Migrate]:
        """Yield the moves, host by host."""
        ours, hosts = self._pool.instances, self._pool.hosts.id
        for row in self.moved:
            source = int(ours.host[row])
            target, mask = self._placer.scene.draft.where(row)
            yield Migrate(
                instance=ours.id[row],
                source=hosts[source],
                target=hosts[target],
                source_nodes=nodes_of(int(ours.nodes[row])),
                target_nodes=nodes_of(mask),
                reason=self._why(source),
            )

    def gain(self) -> dict[str, float]:
        """Return what it comes to."""
        return {"hosts_emptied": float(len(self.emptied)), "moves": float(len(self.moved))}

    def _why(self, host: int) -> str:
        """Return why a host (row) is emptied; for how long it would stay when that is known."""
        hours = float(self._stay_h[host])
        known = f" for about {hours:.3g} hours" if hours < _FORESEEN_H else ""
        return f"empties {self._pool.hosts.id[host]}, which would stay in use{known}"

    def _placed(self) -> IntArray:
        host = self._placer.scene.draft.host
        return np.bincount(host[host != NOWHERE], minlength=len(self._pool.hosts)).astype(np.int64)

    def _prices(self) -> FloatArray:
        past = past_of(self._pool)
        empty = np.zeros((len(self._pool.hosts), len(AHEAD)))
        if past is not None:
            empty = np.nan_to_num(expected_emptying(self._pool, past))
        self._stay_h = expected_s(1.0 - empty) / 3600.0
        prices = price(self._count, self._idle(), empty)
        prices[~self._open()] = np.inf
        return prices

    def _idle(self) -> FloatArray:
        """Return the share that each host has idle of what the pool has least of: `(hosts,)`."""
        scene = self._placer.scene
        free, total = scene.draft.free_hosts[:, _RESOURCES], scene.sellable[:, _RESOURCES]
        scarce = int(np.argmin(free.sum(axis=0) / np.maximum(total.sum(axis=0), 1)))
        idle: FloatArray = free[:, scarce] / np.maximum(total[:, scarce], 1)
        return idle

    def _open(self) -> BoolArray:
        """Return which hosts may be emptied: in service, and with nothing new or bound on them."""
        ours, hosts = self._pool.instances, self._pool.hosts
        now = self._placer.scene.draft.host
        movable = (ours.state == code_of(State.RUNNING)) & ours.immovable.where("")
        movable &= (ours.host != NOWHERE) & (ours.kind != code_of(Kind.BARE_METAL))
        bound = now[(now != NOWHERE) & ~movable]
        may: BoolArray = hosts.schedulable & (np.bincount(bound, minlength=len(hosts)) == 0)
        return may

    def _empty(self, host: int) -> list[int]:
        """Move all that is on a host (row) to hosts in use; return what moves, none if not all."""
        draft = self._placer.scene.draft
        closed = {*np.flatnonzero(self._count == 0).tolist(), host}
        rows = np.flatnonzero(draft.host == host)
        size = self._pool.demand[draft.shape[rows], CPU]
        moved: list[int] = []
        for row in rows[np.argsort(-size, kind="stable")].tolist():
            if self._placer.place(row, closed) is None:
                for done in reversed(moved):
                    self._placer.take_back(done)
                return []
            moved.append(row)
        self._count = self._placed()
        self._left -= len(moved)
        self.emptied.append(host)
        self.moved += moved
        return moved
