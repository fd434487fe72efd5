# SPDX-License-Identifier: Apache-2.0
"""What an ear had heard when it looked last, and the view that a controller publishes of it.

Times are by the monotonic clock, which all processes of a machine share.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from billow.model.ha.evidence import NETWORKS, AgentReport
from billow.model.ha.view import VIEW_S, View
from billow.model.resources import FloatArray
from billow.plan.ha.watch import sound_on

_REMEMBERED: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """What was heard.

    Attributes:
        looked: When it was looked; nobody was missed for what came later.
        woke: When the ear went on after it was held up last; negative infinity if it never was.
        heard: When each host was heard last on each network, `(hosts, 3) float64`; later than the
            truth where an ear was held up, or a kernel answered in its agent's place.
    """

    looked: float
    hosts: tuple[str, ...]
    heard: FloatArray
    reports: Mapping[str, AgentReport]
    woke: float = -math.inf


class Views:
    """Makes views of snapshots, and knows until when one lets agents be acknowledged."""

    def __init__(
        self, controller: str, limit_s: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Take the controller's name among others, and after how long a host is missed."""
        self._controller, self._limit_s, self._monotonic = controller, limit_s, monotonic
        self._looked: dict[float, float] = {}

    def view(self, snapshot: Snapshot, now: float) -> View:
        """Return the view of a snapshot; one of an ear that is held up is old.

        Args:
            snapshot: What was heard.
            now: Seconds since the epoch. Ages are by the monotonic clock, so that a jump of the
                one on the wall changes none.
        """
        at = now - (self._monotonic() - snapshot.looked)
        self._looked[at] = snapshot.looked
        while len(self._looked) > _REMEMBERED:
            del self._looked[next(iter(self._looked))]
        heard = snapshot.looked - snapshot.heard <= self._limit_s
        return View(
            self._controller,
            at,
            snapshot.hosts,
            snapshot.heard - snapshot.looked + at,
            np.full(len(NETWORKS), self._limit_s),
            reports=snapshot.reports,
            sound=sound_on(heard, snapshot.hosts, snapshot.reports),
            woke_at=max(0.0, snapshot.woke - snapshot.looked + at),
        )

    def acknowledgeable(self, view: View) -> tuple[list[str], float]:
        """Return whom one of the last views lets this controller acknowledge, and until when.

        A host that it misses everywhere is none of them: others count on that.
        """
        looked = self._looked.get(view.at, -math.inf)
        heard = np.flatnonzero(~view.missed(view.at).all(axis=1))
        return [view.hosts[row] for row in heard], looked + VIEW_S
