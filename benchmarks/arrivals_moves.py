# SPDX-License-Identifier: Apache-2.0
"""Placement with a small budget of live migrations: every hour, empties the hosts that pay best.

What pays is told by the placement capability: few instances, much idle, and not about to end by
themselves. A host is emptied whole or left alone, never into an empty one, within the budget so
far; what was not spent is kept for a day at most.
"""

from collections.abc import Iterator

import numpy as np

from benchmarks.arrivals_replay import CORES, Hosts, Move, Together
from benchmarks.arrivals_trace import Trace
from billow.capabilities.placement.emptying import emptying, price
from billow.model.resources import FloatArray, IntArray

HOUR_S = 3600.0
NOWHERE = -1


class Moving(Together):
    """Places like `Together` and moves what is in the way of an empty host."""

    def __init__(self, trace: Trace, moves_a_day: float) -> None:
        super().__init__(trace)
        self._where: IntArray = np.full(len(trace), NOWHERE, dtype=np.int64)
        self._a_day = moves_a_day
        self._budget = 0.0
        self._planned_at = float(trace.arrival_s[0]) if len(trace) else 0.0

    def placed(self, arrival: int, host: int) -> None:
        """Count it in."""
        super().placed(arrival, host)
        self._where[arrival] = host

    def ended(self, arrival: int, host: int) -> None:
        """Count it out."""
        super().ended(arrival, host)
        self._where[arrival] = NOWHERE

    def moves(self, now: float, hosts: Hosts) -> Iterator[Move]:
        """Yield what moves now; each is done before the next is asked for."""
        passed = now - self._planned_at
        if passed < HOUR_S:
            return
        self._planned_at = now
        self._budget = min(self._budget + self._a_day * passed / 86_400, self._a_day)
        taken = set[int]()
        prices = self._prices(now, hosts)
        for host in np.argsort(prices, kind="stable").tolist():
            if self._budget < 1 or not np.isfinite(prices[host]):
                return
            if host in taken or hosts.count[host] > self._budget:
                continue
            for move in self._emptied(host, hosts):
                taken.add(move.target)
                self._budget -= 1
                yield self._done(move)

    def _prices(self, now: float, hosts: Hosts) -> FloatArray:
        here = np.flatnonzero(self._where != NOWHERE)
        age = now - self._trace.arrival_s[here]
        survival = self._lifetimes.survival(self._group[here], age)
        batch, count = self._trace.batch[here], len(hosts.count)
        empty = emptying(self._where[here], batch, survival, count)
        return price(hosts.count, hosts.cores / CORES, empty)

    def _emptied(self, host: int, hosts: Hosts) -> list[Move]:
        """Return the moves that empty a host (row); none when not all of it fits elsewhere."""
        cores, memory_gb = hosts.cores.copy(), hosts.memory_gb.copy()
        open_hosts = hosts.count > 0
        open_hosts[host] = False
        moves = list[Move]()
        rows = np.flatnonzero(self._where == host)
        for row in rows[np.argsort(-self._trace.cores[rows], kind="stable")].tolist():
            takes = self._trace.cores[row], self._trace.memory_gb[row]
            fits = np.flatnonzero(open_hosts & (cores >= takes[0]) & (memory_gb >= takes[1]))
            if not len(fits):
                return []
            target = int(fits[self._company.misfit(self._guests[row], fits).argmin()])
            cores[target] -= takes[0]
            memory_gb[target] -= takes[1]
            moves.append(Move(row, host, target))
        return moves

    def _done(self, move: Move) -> Move:
        guest = self._guests[move.arrival]
        self._company.leave(move.source, guest)
        self._company.enter(move.target, guest)
        self._where[move.arrival] = move.target
        return move
