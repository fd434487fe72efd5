# SPDX-License-Identifier: Apache-2.0
"""How long instances live, learned from those that lived: survival by group, with back-off.

Who was alive and who ended is counted by group and class of age (Kaplan and Meier's estimator): an
instance that still runs counts for the ages that it has reached, so that long lives are not
underrated while they last. A group that has seen little
leans on its parent. Nothing here knows hosts; `outlook.py` does.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from billow.model.resources import FloatArray, IntArray

EDGES: Final[FloatArray] = np.concatenate([[0.0], 300.0 * 2.0 ** (np.arange(22) / 2.0)])
"""Where one class of ages ends and the next begins, seconds: 5 minutes to 5 days, by root two."""
WIDTHS: Final[FloatArray] = np.diff(EDGES)
AHEAD: Final[FloatArray] = EDGES[1:]
"""How far ahead survival is told, seconds."""
_LEAN: Final = 4.0
"""A group leans on its parent as if so many more had lived, and ended as they do there."""
_MOST: Final = 0.999
"""The largest share of a class of ages that is taken to end in it."""
_NONE: Final = -1

Traits = tuple[int | str, ...]
"""What tells instances apart: prefixes of it are its coarser groups."""


class Lifetimes:
    """Learns how long instances live, group by group."""

    def __init__(self) -> None:
        self._row: dict[Traits, int] = {(): 0}
        self._parent: list[int] = [_NONE]
        self._depth: list[int] = [0]
        self._deaths: FloatArray = np.zeros((64, len(WIDTHS)))
        self._risk: FloatArray = np.zeros((64, len(WIDTHS)))
        self._hazard: FloatArray = np.zeros((64, len(WIDTHS)))
        self._total: FloatArray = np.zeros((64, len(WIDTHS)))
        self._fresh = False

    def group(self, traits: Traits) -> int:
        """Return the number of the group with these traits; a new one knows what its parent knows.

        Constant; the coarser groups are made with it.
        """
        found = self._row.get(traits)
        if found is not None:
            return found
        parent = self.group(traits[:-1])
        row = self._row[traits] = len(self._parent)
        self._parent.append(parent)
        self._depth.append(len(traits))
        if row == len(self._deaths):
            self._deaths, self._risk = _twice(self._deaths), _twice(self._risk)
            self._hazard, self._total = _twice(self._hazard), _twice(self._total)
        self._hazard[row], self._total[row] = self._hazard[parent], self._total[parent]
        return row

    def learn(
        self, groups: IntArray, since_s: FloatArray, until_s: FloatArray, *, ended: bool
    ) -> None:
        """Count instances that were alive from one age to another, and whether they then ended.

        Args:
            groups: By instance, `(lives,) int64`.
            since_s: From which age, seconds, `(lives,) float64`; what was counted before ends here.
            until_s: To which age, likewise.
            ended: Whether that was their end.
        """
        if not len(groups):
            return
        risk = (_within(until_s) - _within(since_s)) / WIDTHS
        last = np.minimum(np.searchsorted(EDGES, until_s, side="left") - 1, len(WIDTHS) - 1)
        last = np.maximum(last, 0)
        deaths = np.zeros_like(risk)
        if ended:  # whoever ends in a class of ages was at risk in the whole of it
            each = np.arange(len(last))
            spent = (until_s - EDGES[last]) / WIDTHS[last]
            risk[each, last] += np.maximum(1.0 - spent, 0.0)
            deaths[each, last] = 1.0
        parents, rows = np.array(self._parent), groups
        while len(rows):
            rows, risk, deaths = _summed(rows, risk, deaths)
            self._risk[rows] += risk
            self._deaths[rows] += deaths
            kept = parents[rows] != _NONE
            rows, risk, deaths = parents[rows][kept], risk[kept], deaths[kept]
        self._fresh = False

    def survival(self, groups: IntArray, age_s: FloatArray) -> FloatArray:
        """Return the chance that instances of an age live `AHEAD` longer, `(lives, ahead)`.

        Args:
            groups: By instance, `(lives,) int64`.
            age_s: How old it is, seconds, `(lives,) float64`.
        """
        table, rate = self._tables()
        then = age_s[:, None] + np.concatenate([[0.0], AHEAD])
        place = np.minimum(np.searchsorted(EDGES, then, side="right") - 1, len(WIDTHS) - 1)
        rows = groups[:, None]
        gone = table[rows, place] + rate[rows, place] * (then - EDGES[place])
        chance: FloatArray = np.exp(gone[:, :1] - gone[:, 1:])
        return chance

    def seen(self, group: int) -> float:
        """Return how many ends of this group were seen."""
        return float(self._deaths[group].sum())

    def _tables(self) -> tuple[FloatArray, FloatArray]:
        """Return the hazard up to each edge and the rate after it, by group and age."""
        if not self._fresh:
            rates = self._rates()
            steps = rates * WIDTHS
            self._hazard[: len(rates)] = rates
            self._total[: len(rates)] = np.cumsum(steps, axis=1) - steps
            self._fresh = True
        return self._total, self._hazard

    def _rates(self) -> FloatArray:
        """Return deaths per second by group and age: `(groups, ages) float64`."""
        count = len(self._parent)
        share = np.empty((count, len(WIDTHS)))
        first = -np.expm1(-WIDTHS / (EDGES[1:] + EDGES[:-1]))  # the older, the longer to live
        share[0] = (self._deaths[0] + first) / (self._risk[0] + 1.0)
        depth, parent = np.array(self._depth), np.array(self._parent)
        for level in range(1, int(depth.max()) + 1):
            rows = np.flatnonzero(depth == level)
            leaning = self._deaths[rows] + _LEAN * share[parent[rows]]
            share[rows] = leaning / (self._risk[rows] + _LEAN)
        rate: FloatArray = -np.log1p(-np.minimum(share, _MOST)) / WIDTHS
        return rate


def _twice(rows: FloatArray) -> FloatArray:
    return np.concatenate([rows, np.zeros_like(rows)])


def _summed(
    rows: IntArray, risk: FloatArray, deaths: FloatArray
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return each row once, with the sums of what belongs to it."""
    order = np.argsort(rows, kind="stable")
    found = rows[order]
    starts = np.flatnonzero(np.concatenate([[True], found[1:] != found[:-1]]))
    risks, ends = (np.add.reduceat(each[order], starts, axis=0) for each in (risk, deaths))
    return found[starts], risks, ends


def _within(age_s: FloatArray) -> FloatArray:
    """Return how much of each class of ages was lived through by an age, seconds."""
    lived = np.clip(age_s[:, None] - EDGES[:-1], 0.0, None)
    lived[:, :-1] = np.minimum(lived[:, :-1], WIDTHS[:-1])
    return lived


def expected_s(survival: FloatArray) -> FloatArray:
    """Return the expected time left of rows of survival, seconds, as far as is told."""
    before = np.concatenate([np.ones((len(survival), 1)), survival[:, :-1]], axis=1)
    left: FloatArray = ((before + survival) / 2 * np.diff(np.concatenate([[0.0], AHEAD]))).sum(1)
    return left


def batch_class(size: int) -> int:
    """Return the class of a batch's size: by root two."""
    return int(np.floor(2.0 * np.log2(max(size, 1))))


def traits_of(shape: Sequence[int], batch_size: int, hour: int, tenant: str = "") -> Traits:
    """Return the traits of an instance.

    Args:
        shape: What it takes, by resource.
        batch_size: How many came with it, itself included.
        hour: Of the day, 0 to 23.
        tenant: Whose it is; empty when unknown, and then it says nothing.
    """
    known = (tenant,) if tenant else ()
    return (*shape, *known, batch_class(batch_size), hour // 3)
