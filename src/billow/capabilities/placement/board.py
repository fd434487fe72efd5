# SPDX-License-Identifier: Apache-2.0
"""The scores of all hosts for one class of requests, kept up to date host by host.

One vectorised pass fills the board; after that only hosts that changed are scored again, one by one
or in one pass when they are many. The best host is found by looking at the cells and then into one,
so that a pick costs about the square root of the number of hosts.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from billow.capabilities.placement.arithmetic import ARRAYS, NUMBERS
from billow.capabilities.placement.cells import Cells, Rows
from billow.capabilities.placement.fellows import Closed
from billow.capabilities.placement.judge import NO_ROOM, Judge, Left
from billow.capabilities.placement.scene import Scene
from billow.model.resources import BoolArray, FloatArray

_FEW: Final = 12
"""Up to so many changed hosts are scored one by one, which is quicker than a pass."""

Wish = Callable[[Rows | slice], FloatArray]
"""What hosts (rows) are worth for who is on them, `(hosts,) float64`."""


class Board:
    """What every host is worth to one class of requests now.

    Args:
        standing: What is added to each host's score for what it is, `(hosts,) float64`; `NO_ROOM`
            where the class must never go.
        wish: What else is added; it changes for hosts that change only.

    Attributes:
        scores: By position (see `Cells`), `(hosts,) float64`; `NO_ROOM` where the request must not
            go.
    """

    def __init__(
        self,
        scene: Scene,
        cells: Cells,
        judge: Judge,
        standing: FloatArray,
        wish: Wish | None = None,
    ) -> None:
        self._scene = scene
        self._wish = wish
        self._cells = cells
        self._judge = judge
        self._standing = standing
        self._left: Left[float] = Left([], [], [], [])
        self._seen = len(scene.changes)
        self._in_the_way = scene.in_the_way(whole=judge.whole)
        scores = judge.score(scene.left_by_all(judge), ARRAYS) + standing
        if wish is not None:
            scores += wish(slice(None))
        scores[self._in_the_way > 0] = NO_ROOM
        self.scores: FloatArray = scores[cells.order]
        self._best: FloatArray = np.maximum.reduceat(self.scores, cells.starts)

    def pick(self, term: FloatArray, closed: Closed) -> int | None:
        """Return the row of the best open host, or None.

        Args:
            term: What each cell adds to its hosts' scores, `(cells,) float64`.
            closed: Where the request must not go.

        Ties go to the first in the order of zone, rack and id.
        """
        self._refresh()
        if closed.only is not None:
            return self._if_open(closed.only, closed)
        total = self._best + term
        if closed.cells is not None:
            total[closed.cells] = NO_ROOM
        if closed.hosts:
            return self._pick_around(total, term, closed)
        cell = int(total.argmax())
        if total[cell] == NO_ROOM:
            return None
        start, end = self._cells.start[cell : cell + 2]
        return int(self._cells.order[start + int(self.scores[start:end].argmax())])

    def pick_among(self, term: FloatArray, open_hosts: BoolArray) -> int | None:
        """Return the row of the best of the hosts in `(hosts,) bool`, or None. Linear in hosts."""
        self._refresh()
        hosts = self._cells.order[open_hosts[self._cells.order]]
        if not len(hosts):
            return None
        total = self.scores[self._cells.position[hosts]] + term[self._cells.of[hosts]]
        best = int(total.argmax())
        return None if total[best] == NO_ROOM else int(hosts[best])

    def nodes_on(self, host: int) -> int:
        """Return the mask of the NUMA nodes to take on a host that fits; 0 when it floats."""
        self._left = self._scene.left_on(host, self._judge)
        return self._judge.choose_nodes(self._left, NUMBERS)

    def settle(self, host: int, nodes: int) -> None:
        """Score the host anew after a request of this class came to it as `nodes_on` said.

        A shortcut: what is left there is known without another look.
        """
        if self._seen == len(self._scene.changes) - 1:
            self._seen += 1
            self._judge.take(self._left, nodes)
            self._keep_score(host, self._left)

    def _if_open(self, host: int, closed: Closed) -> int | None:
        if host in closed.hosts or (
            closed.cells is not None and closed.cells[self._cells.of[host]]
        ):
            return None
        return host if self.scores[self._cells.position[host]] > NO_ROOM else None

    def _pick_around(self, total: FloatArray, term: FloatArray, closed: Closed) -> int | None:
        """Pick where single hosts are closed: what they hide is looked at only when a cell wins."""
        around: dict[int, FloatArray | None] = {}
        for host in closed.hosts:
            around[int(self._cells.of[host])] = None
        while True:
            cell = int(total.argmax())
            if total[cell] == NO_ROOM:
                return None
            start, end = self._cells.start[cell : cell + 2]
            if cell not in around:
                return int(self._cells.order[start + int(self.scores[start:end].argmax())])
            open_scores = around[cell]
            if open_scores is not None:
                return int(self._cells.order[start + int(open_scores.argmax())])
            around[cell] = open_scores = self._open_scores(start, end, closed)
            total[cell] = open_scores.max() + term[cell]

    def _open_scores(self, start: int, end: int, closed: Closed) -> FloatArray:
        scores = self.scores[start:end].copy()
        for offset, host in enumerate(self._cells.order[start:end].tolist()):
            if host in closed.hosts:
                scores[offset] = NO_ROOM
        return scores

    def _refresh(self) -> None:
        changes = self._scene.changes
        seen, self._seen = self._seen, len(changes)
        if seen == self._seen:
            return
        if seen == self._seen - 1:
            self._score_one(changes[seen])
            return
        changed = set(changes[seen:])
        if len(changed) <= _FEW:
            for host in changed:
                self._score_one(host)
        else:
            self._score_many(np.array(sorted(changed), dtype=np.intp))

    def _score_one(self, host: int) -> None:
        if self._standing[host] > NO_ROOM:
            self._keep_score(host, self._scene.left_on(host, self._judge))

    def _keep_score(self, host: int, left: Left[float]) -> None:
        score = self._standing[host] + self._judge.score(left, NUMBERS)
        if self._wish is not None:
            score += float(self._wish(np.array([host]))[0])
        if self._in_the_way[host]:
            score = NO_ROOM
        cell = int(self._cells.of[host])
        self.scores[self._cells.position[host]] = score
        start, end = self._cells.start[cell : cell + 2]
        scores = self.scores[start:end]
        self._best[cell] = scores[scores.argmax()]

    def _score_many(self, hosts: "np.typing.NDArray[np.intp]") -> None:
        scores = self._judge.score(self._scene.left_by(hosts, self._judge), ARRAYS)
        scores += self._standing[hosts]
        if self._wish is not None:
            scores += self._wish(hosts)
        scores[self._in_the_way[hosts] > 0] = NO_ROOM
        self.scores[self._cells.position[hosts]] = scores
        self._best = np.maximum.reduceat(self.scores, self._cells.starts)
