# SPDX-License-Identifier: Apache-2.0
"""What this controller hears, and what the others heard: one look at all hosts.

Its own view is published before it is used, and the others' are read after the time was taken: so
nothing is older than it seems. This module must not decide anything.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from billow.ha.power import PowerWatch
from billow.ha.unjudged import Unjudged
from billow.model.ha.evidence import Sight
from billow.model.ha.view import VIEW_S, View
from billow.model.resources import BoolArray, FloatArray
from billow.plan.ha.agree import agree
from billow.plan.ha.fleet import Layout
from billow.plan.ha.sights import sight_of
from billow.ports import Board, Observer

PUBLISHED_EVERY_S: Final = 0.5
"""How often a view is published in which nobody is missed anew."""

ALONE_EVERY_S: Final = 1.0
"""How often a controller without others reads what is on the board."""

LATE_SHARE: Final = 0.5
"""Who was not heard anywhere for so much of the time after which it is missed is late."""

Watched = tuple[tuple[str, ...], ...]
"""The hosts that each view tells of."""


Hung = Mapping[str, tuple[str, ...]]
"""The storage pools that agents told of, by host."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One look.

    Attributes:
        sights: Of every host that is doubted, or cared for.
        present: How many controllers speak.
        faint: Hosts that are about to be missed.
        uneven: Whether of hosts that fell silent together some may be lost later.
    """

    sights: Mapping[str, Sight]
    present: int
    faint: tuple[str, ...] = ()
    uneven: bool = False


class Hearing:
    """All that this controller can know of hosts."""

    def __init__(
        self,
        ears: Sequence[Observer],
        board: Board,
        power: PowerWatch,
        published: Callable[[View], None],
        voters: int,
    ) -> None:
        """Take what to hear with.

        Args:
            ears: This controller's own sources.
            board: Where all controllers tell each other what they see.
            power: What management controllers say.
            published: Told of each view of this controller that all others can read.
            voters: How many observers there should be in all.
        """
        self._ears = ears
        self._board = board
        self._power = power
        self._published = published
        self._voters = voters
        self._views: Sequence[View] = ()
        self._read_at = 0.0
        self._told: dict[str, tuple[float, BoolArray]] = {}
        self._boots: dict[str, str] = {}
        self._unjudged = Unjudged()

    async def look(
        self, lay_out: Callable[[Watched, Hung], Layout], cared: Collection[str], now: float
    ) -> Heard:
        """Publish what is heard, read what others heard, and put it together.

        Args:
            lay_out: Says where watched hosts stand, given what storage they hang on.
            cared: Hosts that are looked at although nobody doubts them: those of open incidents.
            now: Seconds since the epoch, taken before this call.
        """
        own = [ear.view(now) for ear in self._ears]
        for view in own:
            await self._publish(view, now)
        others = await self._others({view.observer for view in own}, now)
        views = (*own, *others)
        reports = (each for view in own for each in view.reports.items())
        hung = {host: report.pools for host, report in reports if report.pools}
        layout = lay_out(tuple(view.hosts for view in views), hung)
        agreed = agree(views, layout, now, self._voters)
        self._unjudged.look(agreed, now)
        known = [each for each in cared if each in layout.row]  # of others nobody knows a thing
        doubted = {*agreed.lost, *_complaining(views), *known}
        self._power.watch(doubted & {*agreed.lost, *known}, _late(own))
        sights = {
            host: sight_of(host, agreed.lost.get(host, {}), views, self._power.reading, now)
            for host in sorted(doubted)
        }
        sights |= {
            host: replace(sights[host], rebooted=True) for host in self._rebooted(own, cared)
        }
        present = sum(view.age_s <= VIEW_S for view in others) + 1
        return Heard(sights, present, agreed.faint, agreed.uneven)

    async def aclose(self) -> None:
        """Listen to nobody any more."""
        await self._power.aclose()

    def _rebooted(self, own: Sequence[View], cared: Collection[str]) -> list[str]:
        """Return the hosts that came back under a boot of which no incident tells."""
        found = []
        for host, report in (each for view in own for each in view.reports.items()):
            known = self._boots.get(host, report.boot)
            if report.quarantined and host not in cared and known != report.boot:
                found.append(host)
            elif report.boot:
                self._boots[host] = report.boot
        return found

    async def _others(self, own: Collection[str], now: float) -> Sequence[View]:
        """Return what other controllers told; of a lone one's predecessors it is read seldom.

        A view that was read a while ago seems younger than it is, and so says no more than it may.
        """
        if self._voters > 1 or now - self._read_at >= ALONE_EVERY_S:
            self._read_at = now
            self._views = [each for each in await self._board.views() if each.observer not in own]
        return self._views

    async def _publish(self, view: View, now: float) -> None:
        """Publish a view when it says something new of who is missed, or it is time to."""
        missed = view.missed(view.at)
        at, before = self._told.get(view.observer, (0.0, missed[:0]))
        same = before.shape == missed.shape and bool((before == missed).all())
        if same and now - at < PUBLISHED_EVERY_S:
            return
        await self._board.publish(view)
        self._told[view.observer] = (now, missed)
        self._published(view)


def _late(own: Sequence[View]) -> list[str]:
    """Return the hosts that this controller did not hear for a while on any network."""
    late = [
        {view.hosts[row] for row in np.flatnonzero(_shares(view).min(axis=1) > LATE_SHARE)}
        for view in own
    ]
    return sorted(set[str].intersection(*late)) if late else []


def _shares(view: View) -> FloatArray:
    """Return for how much of the time after which it is missed each host was not heard."""
    return np.asarray((view.at - view.heard_at) / view.limit_s)


def _complaining(views: Sequence[View]) -> Iterator[str]:
    """Yield the hosts whose agents said that something is wrong."""
    for view in views:
        for host, report in view.reports.items():
            if report.symptoms or report.gasped or report.quarantined:
                yield host
