# SPDX-License-Identifier: Apache-2.0
"""On which networks hosts are agreed to be down: many look, few are believed, a majority decides.

A controller speaks of a host's network only while it passes its own check there: it hears witnesses
on other switches, and does not miss alone what the others hear. Doubting oneself first is what
keeps one broken network card from condemning a fleet. Pure; when all is well, one comparison of
arrays is all that happens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

import numpy as np

from billow.model.ha.evidence import NETWORKS, Network
from billow.model.ha.view import VIEW_S, View
from billow.model.resources import BoolArray, FloatArray, IntArray
from billow.plan.ha.fleet import Layout

MOST_WITNESSES: Final = 2
"""So many hosts on other switches must be heard; half of them where there are fewer than four."""

FAINT_SHARES: Final = (0.5, 1.6)
"""Who was not heard for so much of the limit is faint; whoever is silent for longer was judged, or
is faint as long as too few judge."""

EVEN_SHARE: Final = 1.5
"""Who was held up misses hosts no later than others after so much of the limit; a round of beats is
in it."""

ALONE_SHARE: Final = 0.3
"""Who alone misses so many of the hosts is broken itself."""


@dataclass(frozen=True, slots=True)
class Fault:
    """An observer that is not believed on one network, and why."""

    observer: str
    network: Network
    why: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """What is agreed.

    Attributes:
        lost: Of each host that is down somewhere, on which networks, and since when nobody hears
            it there any more, seconds since the epoch: when the last who did began to miss it.
        faults: Who is not believed now.
        unjudged: Of each host that is missed where too few may judge, on which networks.
        torn: Of each host that a majority misses and another hears, on which networks: a network
            that is torn in part, and no fault of the host.
        faint: Whom nobody heard just now on some network, and who is not lost there: it is too
            early, or those who would miss it stand still themselves.
        uneven: Whether one who was held up just now hears hosts that others do not hear any more,
            by its own word: of hosts that fell silent together some are lost later than others.
    """

    lost: Mapping[str, Mapping[Network, float]] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    unjudged: Mapping[str, tuple[Network, ...]] = field(default_factory=dict)
    torn: Mapping[str, tuple[Network, ...]] = field(default_factory=dict)
    faint: tuple[str, ...] = ()
    uneven: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Silence:
    """For how long observers have not heard hosts.

    Attributes:
        of_view_s: When each view was written, `(observers, hosts, 3) float64`; infinite for hosts
            that it does not watch.
        by_now_s: Now, the same.
        limit_s: After so long a host is missed, `(observers, 1, 3) float64`.
    """

    of_view_s: FloatArray
    by_now_s: FloatArray
    limit_s: FloatArray

    @staticmethod
    def of(views: Sequence[View], layout: Layout) -> "Silence":
        """Return what views tell of the hosts of a layout."""
        silent_s = np.stack([_silent_s(view, layout) for view in views])
        ages_s = np.array([view.age_s for view in views])
        limit_s = np.stack([view.limit_s for view in views])
        return Silence(silent_s, silent_s + ages_s[:, None, None], limit_s[:, None])

    @property
    def watched(self) -> BoolArray:
        """Who watches whom, `(observers, hosts) bool`."""
        return np.isfinite(self.of_view_s[:, :, 0])

    @property
    def missed(self) -> BoolArray:
        """Who misses whom by its own view, `(observers, hosts, 3) bool`."""
        return np.asarray((self.of_view_s > self.limit_s) & self.watched[:, :, None])


@dataclass(frozen=True, slots=True, eq=False)
class Ballot:
    """Who misses whom, of the hosts that anybody misses (`doubted`).

    Attributes:
        rows: The doubted hosts' rows in the layout, `(doubted,) int64`.
        missed, may: Who misses whom, and who may say so, `(observers, doubted, 3) bool`.
        heard: Whom anybody heard within its limit from now, not from its view's own instant,
            `(doubted, 3) bool`; hearing needs no permission.
        sound: `(observers, 3) bool`.
    """

    rows: IntArray
    missed: BoolArray
    may: BoolArray
    heard: BoolArray
    sound: BoolArray

    @property
    def votes(self) -> IntArray:
        """How many that may say so miss each, `(doubted, 3) int64`."""
        return np.asarray((self.missed & self.may).sum(axis=0))


def agree(views: Sequence[View], layout: Layout, now: float, voters: int) -> Agreement:
    """Return on which networks which hosts are agreed to be down.

    Args:
        views: What each observer published last; one that is too old has no voice.
        layout: Where the hosts stand.
        now: Seconds since the epoch.
        voters: How many observers there should be; a majority of these decides.
    """
    speaking = [each for each in views if each.age_s <= VIEW_S]
    if not speaking or not layout.hosts:
        return Agreement()
    silence = Silence.of(speaking, layout)
    missed, watched = silence.missed, silence.watched
    rows = np.flatnonzero(missed.any(axis=(0, 2)))
    if not len(rows):
        return Agreement()
    sound = np.array([each.sound for each in speaking], dtype=bool)
    answered = _heard_elsewhere(missed, watched, layout, rows)
    may = answered & watched[:, rows, None] & sound[:, None]
    heard = np.asarray((silence.by_now_s[:, rows] <= silence.limit_s).any(axis=0))
    ballot = Ballot(rows, missed[:, rows], may, heard, sound)
    quorum = voters // 2 + 1
    lonely = _lonely(ballot, watched, quorum)
    sober = replace(ballot, may=may & ~lonely[:, None])
    few = np.asarray(sober.may.sum(axis=0) < quorum) & np.asarray(sober.missed.any(axis=0))
    down = (sober.votes >= quorum) & ~sober.heard
    return Agreement(
        lost=_lost(sober, silence, layout, down, now),
        faults=tuple(_faults(ballot, speaking, lonely)),
        unjudged=_named(few, sober, layout),
        faint=_faint(silence, layout, rows, down),
        torn=_named((sober.votes >= quorum) & sober.heard, sober, layout),
        uneven=any(map(_is_uneven, speaking)),
    )


def _is_uneven(view: View) -> bool:
    awake_s = view.at - view.woke_at + view.age_s
    return awake_s < EVEN_SHARE * float(view.limit_s.max())


def _faint(silence: Silence, layout: Layout, rows: IntArray, down: BoolArray) -> tuple[str, ...]:
    least, most = FAINT_SHARES
    share = (silence.by_now_s / silence.limit_s).min(axis=0)
    faint = np.asarray((share > least) & np.isfinite(share))
    faint[rows] &= (share[rows] <= most) | ~down
    return tuple(layout.hosts[row] for row in np.flatnonzero(faint.any(axis=1)))


@lru_cache(maxsize=32)
def _places(hosts: tuple[str, ...], wanted: tuple[str, ...]) -> IntArray:
    """Return the row of each wanted host, -1 for one that is not there."""
    row = {host: number for number, host in enumerate(hosts)}
    return np.array([row.get(host, -1) for host in wanted], dtype=np.int64)


def _heard_elsewhere(
    missed: BoolArray, watched: BoolArray, layout: Layout, rows: IntArray
) -> BoolArray:
    """Return who hears enough witnesses for whom, `(observers, doubted, 3) bool`.

    Witnesses are hosts on other switches; where all hang on one switch, in other racks; where all
    stand in one rack, other hosts.
    """
    others = _beside(np.repeat(watched[:, :, None], len(NETWORKS), axis=2), layout.groups, rows)
    answer = _beside(watched[:, :, None] & ~missed, layout.groups, rows)
    needed = np.minimum(np.maximum(others // 2, others > 0), MOST_WITNESSES)
    return np.asarray(answer >= needed)


def _beside(which: BoolArray, groups: IntArray, rows: IntArray) -> IntArray:
    """Count for some hosts those of other groups, network by network.

    Args:
        which: Who counts whom, `(observers, hosts, 3) bool`.
        groups: `Layout.groups`.
        rows: For which hosts, `(doubted,) int64`.

    Returns:
        `(observers, doubted, 3) int64`.
    """
    size = int(groups.max()) + 1
    who, hosts, networks = np.nonzero(which)
    at = who * size + groups[hosts, networks]
    of_group = np.bincount(at, minlength=len(which) * size).reshape(len(which), size)
    return np.asarray(which.sum(axis=1)[:, None] - of_group[:, groups[rows]])


def _lonely(ballot: Ballot, watched: BoolArray, quorum: int) -> BoolArray:
    """Return who misses many on a network that others hear, `(observers, 3) bool`."""
    alone = ballot.missed & ballot.may & (ballot.votes < quorum)
    limit = np.maximum(ALONE_SHARE * watched.sum(axis=1), MOST_WITNESSES)
    return np.asarray(alone.sum(axis=1) >= limit[:, None])


def _lost(
    ballot: Ballot, silence: Silence, layout: Layout, down: BoolArray, now: float
) -> dict[str, dict[Network, float]]:
    doubted, networks = np.nonzero(down)
    if not len(doubted):
        return {}
    heard_s = silence.by_now_s[:, ballot.rows].min(axis=0)
    agreed = now - heard_s + silence.limit_s.min(axis=0)
    lost: dict[str, dict[Network, float]] = {}
    for which, n in zip(doubted.tolist(), networks.tolist(), strict=True):
        host = layout.hosts[ballot.rows[which]]
        lost.setdefault(host, {})[NETWORKS[n]] = float(agreed[which, n])
    return lost


def _silent_s(view: View, layout: Layout) -> FloatArray:
    """Return for how long a view did not hear the hosts of a layout, `(hosts, 3) float64`.

    Infinite for those that it does not watch.
    """
    seen_s = view.at - view.heard_at
    if view.hosts == layout.hosts:
        return np.asarray(seen_s)
    places = _places(view.hosts, layout.hosts)
    silent_s = np.full((len(places), len(NETWORKS)), np.inf)
    silent_s[places >= 0] = seen_s[places[places >= 0]]
    return silent_s


def _faults(ballot: Ballot, views: Sequence[View], lonely: BoolArray) -> list[Fault]:
    dumb = np.asarray((ballot.missed & ~ballot.may).any(axis=1))
    found = []
    for who, view in enumerate(views):
        for n, network in enumerate(NETWORKS):
            if not ballot.sound[who, n]:
                found.append(Fault(view.observer, network, "it does not pass its own check"))
            elif lonely[who, n]:
                found.append(Fault(view.observer, network, "it misses many whom others hear"))
            elif dumb[who, n]:
                found.append(Fault(view.observer, network, "it hears too few witnesses"))
    return found


def _named(which: BoolArray, ballot: Ballot, layout: Layout) -> dict[str, tuple[Network, ...]]:
    """Return the hosts and networks of an array `(doubted, 3)`."""
    return {
        layout.hosts[row]: tuple(NETWORKS[n] for n in np.flatnonzero(which[place]))
        for place, row in enumerate(ballot.rows.tolist())
        if which[place].any()
    }
