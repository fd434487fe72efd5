# SPDX-License-Identifier: Apache-2.0
"""What a pool's history says of its instances' lives: a learner fed, and a guest for each of them.

Without a history, or without lives in it, there is nothing to say: `past_of` gives None.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from billow.capabilities.placement.company import Company, Guest
from billow.capabilities.placement.lifetimes import Lifetimes, batch_class, expected_s, traits_of
from billow.model.history import Lives
from billow.model.instances import NOWHERE
from billow.model.pool import Pool
from billow.model.resources import CPU, MEMORY, FloatArray, IntArray
from billow.plan.draft import Draft

TOGETHER_S: Final = 300.0
"""Instances of one tenant that are first seen within so many seconds are one batch."""
_LARGEST_TABLE: Final = 2**22
"""Up to so many possible keys a table finds equal ones, quicker than sorting them."""


@dataclass(frozen=True, eq=False)
class Past:
    """What is known of lives.

    Attributes:
        lifetimes: What was learned.
        rows: Of the instances of which something is known, `(known,) int64`, ascending; who came
            before anybody looked is none of them.
        born: When each came, seconds since the epoch, `(known,) float64`.
        batch: With whom: equal for those that came together, `(known,) int64`.
        groups: Of the instances, among what was learned, `(known,) int64`.
        cpu_milli: What each takes, `(known,) int64`.
        now: When it was told, seconds since the epoch.
    """

    lifetimes: Lifetimes
    rows: IntArray
    born: FloatArray
    batch: IntArray
    groups: IntArray
    cpu_milli: IntArray
    now: float

    @cached_property
    def guests(self) -> dict[int, Guest]:
        """What is known of each instance, by row; made when it is first asked for."""
        cpus = np.bincount(self.batch, weights=self.cpu_milli)[self.batch]
        columns = (
            self.cpu_milli / 1000.0,
            _doublings(self.lifetimes, self.groups),
            np.log2(np.maximum(cpus, 1.0) / 1000.0),
            self.born / 3600.0,
            self.batch,
        )
        guests = map(Guest, *(column.tolist() for column in columns))
        return dict(zip(self.rows.tolist(), guests, strict=True))

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

    Linear in lives and instances, and in Python only in the kinds of them that differ.
    """
    history = pool.history
    if history is None or history.lives is None:
        return None
    lifetimes = learned(history.lives, history.until)
    born = history.born_of(pool.instances.id)
    born = np.where(pool.instances.host == NOWHERE, history.until, born)
    rows = np.flatnonzero(~np.isnan(born)).astype(np.int64)
    demand, tenant = pool.demand[pool.instances.shape[rows]], pool.instances.tenant
    crowd = _Crowd(demand, tenant.codes[rows].astype(np.int64), tenant.categories, born[rows])
    groups = crowd.groups(lifetimes)
    return Past(lifetimes, rows, born[rows], crowd.batch, groups, demand[:, CPU], history.until)


def learned(lives: Lives, until: float) -> Lifetimes:
    """Return a learner that has seen these lives as they were at a time, seconds since the epoch.

    Linear in lives.
    """
    lifetimes = Lifetimes()
    names: dict[str, int] = {}
    tenants = (names.setdefault(name, len(names)) for name in lives.tenant)
    codes = np.fromiter(tenants, np.int64, len(lives.tenant))
    shape = np.stack([lives.cpu_milli, lives.memory_mib], axis=1)
    groups = _Crowd(shape, codes, tuple(names), lives.born).groups(lifetimes)
    over = ~np.isnan(lives.ended)
    for ended, rows in ((True, over), (False, ~over)):
        age = np.maximum(np.where(over, lives.ended, until)[rows] - lives.born[rows], 0.0)
        lifetimes.learn(groups[rows], np.zeros(len(age)), age, ended=ended)
    return lifetimes


class _Crowd:
    """Instances with their batches: who has one tenant and was born within `TOGETHER_S`.

    Attributes:
        batch: The number of each one's batch, in the order in which they appear, `(crowd,) int64`.
    """

    def __init__(
        self, shape: IntArray, tenant: IntArray, tenants: Sequence[str], born: FloatArray
    ) -> None:
        self._shape = shape[:, [CPU, MEMORY]]
        self._tenant = tenant
        self._tenants = tenants
        self._hour = (born // 3600 % 24).astype(np.int64)
        self.batch, _ = numbered(self._tenant, (born // TOGETHER_S).astype(np.int64))

    def groups(self, lifetimes: Lifetimes) -> IntArray:
        """Return the group of each, made where it is new; Python only for kinds that differ."""
        size = np.bincount(self.batch)
        sizes, which = np.unique(size, return_inverse=True)
        classes = np.array([batch_class(each) for each in sizes.tolist()], dtype=np.int64)
        size_class = classes[which][self.batch]
        cpu, memory = self._shape.T
        kinds, first = numbered(cpu, memory, self._tenant, size_class, self._hour // 3)
        shapes, sizes_of = self._shape[first].tolist(), size[self.batch[first]].tolist()
        names = map(self._tenants.__getitem__, self._tenant[first].tolist())
        traits = map(traits_of, shapes, sizes_of, self._hour[first].tolist(), names)
        found = list(map(lifetimes.group, traits))
        return np.array(found, dtype=np.int64)[kinds]


def numbered(*columns: IntArray) -> tuple[IntArray, IntArray]:
    """Number rows so that equal ones share a number, in order of appearance.

    Returns:
        The number of each row, and where each number appears first.
    """
    key = first = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns if len(key) else ():
        steps = column - column.min()
        steps //= max(int(np.gcd.reduce(steps)), 1)
        key, first = _in_order(key * (int(steps.max()) + 1) + steps)
    return key, first


def _in_order(key: IntArray) -> tuple[IntArray, IntArray]:
    """Number keys of zero and more in the order in which they appear; as `numbered`."""
    count, most = len(key), int(key.max()) + 1
    if most > _LARGEST_TABLE:
        key = np.unique(key, return_inverse=True)[1]
        most = int(key.max()) + 1
    at = np.full(most, count, dtype=np.int64)
    at[key[::-1]] = np.arange(count - 1, -1, -1)  # the last to write is the first to appear
    there = np.flatnonzero(at < count)
    there = there[np.argsort(at[there])]
    first = at[there]
    at[there] = np.arange(len(there))
    return at[key], first


def _doublings(lifetimes: Lifetimes, groups: IntArray) -> FloatArray:
    """Return the expected life at birth of groups, doublings of an hour."""
    known, which = np.unique(groups, return_inverse=True)
    survival = lifetimes.survival(known, np.zeros(len(known)))
    lives: FloatArray = np.log2(expected_s(survival) / 3600.0)[which]
    return lives
