# SPDX-License-Identifier: Apache-2.0
"""What a pool's history says of its instances' lives: a learner fed, and a guest for each of them.

Without a history, or without lives in it, there is nothing to say: `past_of` gives None.
"""

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from billow.capabilities.placement.company import Company, Guest
from billow.capabilities.placement.lifetimes import Lifetimes, Traits, expected_s, traits_of
from billow.model.history import Lives
from billow.model.instances import NOWHERE
from billow.model.pool import Pool
from billow.model.resources import FloatArray, IntArray
from billow.plan.draft import Draft

TOGETHER_S: Final = 300.0
"""Instances of one tenant that are first seen within so many seconds are one batch."""

_Batch = tuple[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """What is known of lives.

    Attributes:
        lifetimes: What was learned.
        guests: What is known of each instance, by row; who came before anybody looked has none.
        groups: Of the guests, `(guests,) int64`, in the order of `guests`.
        now: When it was told, seconds since the epoch.
    """

    lifetimes: Lifetimes
    guests: dict[int, Guest]
    groups: IntArray
    now: float

    def company(self, draft: Draft) -> Company:
        """Return who is with whom on the hosts of a draft."""
        company = Company(len(draft.pool.hosts))
        for row, guest in self.guests.items():
            host = draft.where(row)[0]
            if host != NOWHERE:
                company.enter(host, guest)
        return company


def past_of(pool: Pool) -> Past | None:
    """Return what a pool's history says of lives; None when it says nothing.

    Linear in lives and instances.
    """
    history = pool.history
    if history is None or history.lives is None:
        return None
    lifetimes = learned(history.lives, history.until)
    born = history.born_of(pool.instances.id)
    waiting = pool.instances.host == NOWHERE
    born = np.where(waiting, history.until, born)
    rows = np.flatnonzero(~np.isnan(born))
    shapes, tenants = pool.instances.shape, pool.instances.tenant
    cpu = [pool.shapes[shapes[row]].cpu_milli for row in rows]
    memory = [pool.shapes[shapes[row]].memory_mib for row in rows]
    crowd = _Crowd(cpu, memory, [tenants[row] for row in rows.tolist()], born[rows])
    groups = np.array([lifetimes.group(each) for each in crowd.traits()], dtype=np.int64)
    lives = _doublings(lifetimes, groups)
    guests = dict(zip(rows.tolist(), crowd.guests(lives), strict=True))
    return Past(lifetimes, guests, groups, history.until)


def learned(lives: Lives, until: float) -> Lifetimes:
    """Return a learner that has seen these lives as they were at a time, seconds since the epoch.

    Linear in lives.
    """
    lifetimes = Lifetimes()
    crowd = _Crowd(lives.cpu_milli.tolist(), lives.memory_mib.tolist(), lives.tenant, lives.born)
    groups = np.array([lifetimes.group(each) for each in crowd.traits()], dtype=np.int64)
    over = ~np.isnan(lives.ended)
    for ended, rows in ((True, over), (False, ~over)):
        age = np.maximum(np.where(over, lives.ended, until)[rows] - lives.born[rows], 0.0)
        lifetimes.learn(groups[rows], np.zeros(len(age)), age, ended=ended)
    return lifetimes


class _Crowd:
    """Instances with their batches: who has one tenant and was born within `TOGETHER_S`."""

    def __init__(
        self,
        cpu_milli: Iterable[int],
        memory_mib: Iterable[int],
        tenants: Iterable[str],
        born: FloatArray,
    ) -> None:
        self._cpu = list(cpu_milli)
        self._memory = list(memory_mib)
        self._tenant = list(tenants)
        self._born: list[float] = born.tolist()
        self._batch: list[_Batch] = [
            (tenant, int(at // TOGETHER_S))
            for tenant, at in zip(self._tenant, self._born, strict=True)
        ]

    def traits(self) -> Iterable[Traits]:
        """Yield the traits of each."""
        size = Counter(self._batch)
        columns = (self._cpu, self._memory, self._tenant, self._born, self._batch)
        for cpu, memory, tenant, born, batch in zip(*columns, strict=True):
            yield traits_of((cpu, memory), size[batch], int(born // 3600 % 24), tenant)

    def guests(self, lives: FloatArray) -> Iterable[Guest]:
        """Yield each as a guest, with its expected life in doublings of an hour."""
        cpus: Counter[Hashable] = Counter()
        for cpu, batch in zip(self._cpu, self._batch, strict=True):
            cpus[batch] += cpu
        number = {batch: row for row, batch in enumerate(cpus)}
        columns = (self._cpu, self._born, self._batch, lives.tolist())
        for cpu, born, batch, life in zip(*columns, strict=True):
            size = float(np.log2(max(cpus[batch], 1) / 1000.0))
            yield Guest(cpu / 1000.0, life, size, born / 3600.0, number[batch])


def _doublings(lifetimes: Lifetimes, groups: IntArray) -> FloatArray:
    """Return the expected life at birth of groups, doublings of an hour."""
    known, which = np.unique(groups, return_inverse=True)
    survival = lifetimes.survival(known, np.zeros(len(known)))
    lives: FloatArray = np.log2(expected_s(survival) / 3600.0)[which]
    return lives
