# SPDX-License-Identifier: Apache-2.0
"""One page of a table: filter, sort and cut, over columns.

A page ends with a cursor that names its last row by value and id, so that the next page is right
even when the pool has changed in between. Cost: linear in the table for each
filter, and a partial sort.
"""

import base64
import binascii
import json
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from operator import contains

import numpy as np
import numpy.typing as npt

from billow.api.columns import Grid, Json
from billow.errors import Invalid
from billow.model.resources import BoolArray, FloatArray

MOST_ROWS = 1000
"""Rows on one page."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of a table.

    Attributes:
        where: Filters by field name; a row must pass all.
        text: Part of the id, in any case; empty for all.
        sort: A field's name, with `-` before it for descending; ties go by id.
        cursor: Where the page before ended; empty for the first page.
    """

    where: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    sort: str = "id"
    limit: int = 50
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in order, how many match in all, and the cursor of the next page (empty at the end)."""

    rows: tuple[int, ...]
    total: int
    cursor: str


def find(grid: Grid, query: Query) -> Page:
    """Return one page. Raises Invalid: an unknown field, a malformed filter or cursor."""
    matching = _matching(grid, query)
    total = int(np.count_nonzero(matching))
    keys, descending = _keys(grid, query.sort)
    if query.cursor:
        matching &= _after(grid, query, keys, descending=descending)
    candidates = np.flatnonzero(matching)
    rows = _first(keys, candidates, query.limit)
    more = len(candidates) > len(rows)
    cursor = _cursor_at(grid, query.sort, rows[-1]) if more and rows else ""
    return Page(rows, total, cursor)


def chosen(grid: Grid, fields: str) -> Sequence[str]:
    """Return the names in a comma-separated list, all fields when it is empty. Raises Invalid."""
    names = list(dict.fromkeys(fields.split(","))) if fields else list(grid.makers)
    for name in names:
        grid.column(name)
    return names


def _matching(grid: Grid, query: Query) -> BoolArray:
    rows: BoolArray = np.ones(len(grid.id), dtype=np.bool_)
    for name, wanted in query.where.items():
        rows &= grid.column(name).where(wanted)
    if query.text:
        wanted = query.text.lower()
        ids = map(str.lower, grid.id)
        rows &= np.fromiter(map(contains, ids, repeat(wanted)), np.bool_, len(grid.id))
    return rows


def _keys(grid: Grid, sort: str) -> tuple[FloatArray, bool]:
    """Return keys that ascend in the wanted order, with unknown values last in either direction."""
    descending = sort.startswith("-")
    keys = grid.column(sort.removeprefix("-")).keys()
    return _unknown_last(-keys if descending else keys), descending


def _unknown_last(keys: FloatArray) -> FloatArray:
    return np.where(np.isnan(keys), math.inf, keys)


def _first(keys: FloatArray, candidates: npt.NDArray[np.intp], count: int) -> tuple[int, ...]:
    """Return the `count` candidates with the smallest keys; ties go by row, which is by id."""
    if len(candidates) > count:
        mine = keys[candidates]
        last = np.partition(mine, count - 1)[count - 1]
        below = candidates[mine < last]
        level = candidates[mine == last][: count - len(below)]
        candidates = np.sort(np.concatenate([below, level]))
    order = np.argsort(keys[candidates], kind="stable")
    return tuple(candidates[order].tolist())


def _after(grid: Grid, query: Query, keys: FloatArray, *, descending: bool) -> BoolArray:
    """Return the rows that come after the cursor's: `(rows,) bool`."""
    sort, value, name = _read(query.cursor)
    if sort != query.sort:
        raise _not_ours()
    key = grid.column(sort.removeprefix("-")).key(value)
    key = math.inf if math.isnan(key) else -key if descending else key
    later = np.arange(len(keys)) >= bisect_right(grid.id, name)
    after: BoolArray = (keys > key) | ((keys == key) & later)
    return after


def _cursor_at(grid: Grid, sort: str, row: int) -> str:
    value = grid.column(sort.removeprefix("-")).show(row)
    text = json.dumps([sort, value, grid.id[row]], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read(cursor: str) -> tuple[str, Json, str]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        parts = json.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise _not_ours() from error
    match parts:
        case [str(sort), None | str() | int() | float() as value, str(name)]:
            return sort, value, name
        case _:
            raise _not_ours()


def _not_ours() -> Invalid:
    return Invalid(
        "the cursor was not made by this list with this sort",
        fix="start again without cursor",
        code="invalid-cursor",
    )
