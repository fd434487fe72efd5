# SPDX-License-Identifier: Apache-2.0
"""Which rows of a list match, and in which order: filter, sort and cut, over columns.

Every face pages through what is found here, by number or by cursor. Cost: linear in the table for
each filter, and a partial sort per page.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from operator import contains

import numpy as np
import numpy.typing as npt

from billow.model.listing.columns import Grid, Json
from billow.model.resources import BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of a table.

    Attributes:
        where: Filters by field name; a row must pass all.
        text: Part of the id, in any case; empty for all.
        sort: A field's name, with `-` before it for descending; ties go by row.
    """

    where: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    sort: str = "id"


@dataclass(frozen=True, eq=False)
class Found:
    """Matching rows, not sorted yet.

    Attributes:
        keys: Of all rows of the table: ascending in the wanted order, `(rows,) float64`.
        rows: The rows that match, ascending.
    """

    grid: Grid
    sort: str
    keys: FloatArray
    rows: npt.NDArray[np.intp]

    @property
    def total(self) -> int:
        """How many rows match."""
        return len(self.rows)

    def page(self, start: int, count: int) -> tuple[int, ...]:
        """Return up to `count` row numbers from place `start`, in order; ties go by row."""
        rows = self._first(start + count)
        order = np.argsort(self.keys[rows], kind="stable")
        return tuple(rows[order[start:]].tolist())

    def after(self, value: Json, name: str) -> "Found":
        """Return what comes after a row that had this value and id when it was seen.

        The row may have changed or gone since. Raises Invalid: the field has no such value.
        """
        key = self.grid.column(self.sort.removeprefix("-")).key(value)
        key = math.inf if math.isnan(key) else -key if self.sort.startswith("-") else key
        keys = self.keys[self.rows]
        later = self.rows >= bisect_right(self.grid.id, name)
        return replace(self, rows=self.rows[(keys > key) | ((keys == key) & later)])

    def _first(self, count: int) -> npt.NDArray[np.intp]:
        """Return the `count` rows with the smallest keys, ascending by row."""
        if self.total <= count:
            return self.rows
        keys = self.keys[self.rows]
        last = np.partition(keys, count - 1)[count - 1]
        below = self.rows[keys < last]
        level = self.rows[keys == last][: count - len(below)]
        return np.sort(np.concatenate([below, level]))


def find(grid: Grid, query: Query) -> Found:
    """Return the rows that match. Raises Invalid: an unknown field or a malformed filter."""
    rows = containing(grid.id, query.text)
    for name, wanted in query.where.items():
        rows &= grid.column(name).where(wanted)
    return Found(grid, query.sort, _keys(grid, query.sort), np.flatnonzero(rows))


def containing(ids: Sequence[str], text: str) -> BoolArray:
    """Return which ids contain a text, in any case: `(ids,) bool`. Linear."""
    if not text:
        return np.ones(len(ids), dtype=np.bool_)
    hits = map(contains, map(str.lower, ids), repeat(text.lower()))
    return np.fromiter(hits, np.bool_, len(ids))


def _keys(grid: Grid, sort: str) -> FloatArray:
    """Return keys that ascend in the wanted order, with unknown values last in either direction."""
    keys = grid.column(sort.removeprefix("-")).keys()
    keys = -keys if sort.startswith("-") else keys
    return np.where(np.isnan(keys), math.inf, keys)
