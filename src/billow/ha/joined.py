# SPDX-License-Identifier: Apache-2.0
"""Several sources of one controller as one voice: a host is missed when every source misses it.

A controller has one vote, however many sources it listens to. Who is heard by any of them is
heard; a source that is not sound on a network is not asked about it. This module must not do I/O.
"""

from collections.abc import Sequence

import numpy as np

from billow.model.ha.evidence import NETWORKS
from billow.model.ha.view import View
from billow.ports import Observer


class Joined:
    """An `Observer` over others; the first one's reports win where two tell of one host."""

    def __init__(self, observer: str, sources: Sequence[Observer]) -> None:
        self._observer, self._sources = observer, tuple(sources)

    def view(self, now: float) -> View:
        """Return what all sources together heard."""
        return joined(self._observer, [source.view(now) for source in self._sources])


def joined(observer: str, views: Sequence[View]) -> View:
    """Return several views of one controller as one.

    Limits differ: what a patient source heard counts as heard later by as much as it is more
    patient, so that nobody takes a host for longer unheard than it may be.
    """
    hosts = tuple(dict.fromkeys(host for view in views for host in view.hosts))
    row_of = {host: row for row, host in enumerate(hosts)}
    limit_s = np.min([view.limit_s for view in views], axis=0)
    heard = np.full((len(hosts), len(NETWORKS)), -np.inf)
    doubted = np.full_like(heard, -np.inf)
    for view in views:
        rows = [row_of[host] for host in view.hosts]
        told = view.heard_at + (view.limit_s - limit_s)
        sound = np.where(np.array(view.sound), told, -np.inf)
        heard[rows] = np.maximum(heard[rows], sound)
        doubted[rows] = np.maximum(doubted[rows], told)
    reports = {host: report for view in reversed(views) for host, report in view.reports.items()}
    watchdogs = {host: word for view in reversed(views) for host, word in view.watchdogs.items()}
    return View(
        observer=observer,
        at=views[0].at,
        hosts=hosts,
        heard_at=np.where(np.isneginf(heard), doubted, heard),
        limit_s=limit_s,
        reports=reports,
        sound=tuple(any(each) for each in zip(*(view.sound for view in views), strict=True)),
        woke_at=max(view.woke_at for view in views),
        told_watchdogs=watchdogs,
    )
