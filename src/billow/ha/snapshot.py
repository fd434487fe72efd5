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
from billow.model.resources import BoolArray, FloatArray
from billow.plan.ha.agree import MOST_WITNESSES

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
        return View(
            self._controller,
            at,
            snapshot.hosts,
            snapshot.heard - snapshot.looked + at,
            np.full(len(NETWORKS), self._limit_s),
            reports=snapshot.reports,
            sound=self._sound(snapshot),
            woke_at=max(0.0, snapshot.woke - snapshot.looked + at),
        )

    def acknowledgeable(self, view: View) -> tuple[list[str], float]:
        """Return whom one of the last views lets this controller acknowledge, and until when.

        A host that it misses everywhere is none of them: others count on that.
        """
        looked = self._looked.get(view.at, -math.inf)
        heard = np.flatnonzero(~view.missed(view.at).all(axis=1))
        return [view.hosts[row] for row in heard], looked + VIEW_S

    def _sound(self, snapshot: Snapshot) -> tuple[bool, ...]:
        """Return per network whether enough witnesses are heard there.

        As many as `agree` wants: two, or half of a lost host's neighbours where there are fewer
        than four, but one at least. A lone witness may be the agent of this controller's own
        machine, which is heard whatever becomes of the card; so one does not count that says
        itself that its path is broken.
        """
        heard = snapshot.looked - snapshot.heard <= self._limit_s
        needed = min(max((len(snapshot.hosts) - 1) // 2, 1), MOST_WITNESSES, len(snapshot.hosts))
        if needed < MOST_WITNESSES:
            heard &= ~_broken(snapshot)
        return tuple(bool(count >= needed) for count in heard.sum(axis=0))


def _broken(snapshot: Snapshot) -> BoolArray:
    """Return which hosts say on which networks that their own path is broken, `(hosts, 3) bool`."""
    broken = np.zeros(snapshot.heard.shape, bool)
    for row, host in enumerate(snapshot.hosts):
        report = snapshot.reports.get(host)
        for symptom in report.symptoms if report is not None else ():
            if symptom.network is not None:
                broken[row, NETWORKS.index(symptom.network)] = True
    return broken
