# SPDX-License-Identifier: Apache-2.0
"""A page of a long table, cut on the server: filter by mask, sort by column, number the pages.

Everything is in the URL, so that a view can be sent to somebody. This module must not know what
the rows are.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import numpy as np
import numpy.typing as npt

from billow.model.column import Categorical
from billow.model.resources import BoolArray

SIZES = (50, 100, 200, 500)
DEFAULT_SIZE = 100

Keys = npt.NDArray[np.generic]
Parameters = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Page:
    """What is shown of a table, and how to get to the rest.

    Attributes:
        rows: Row numbers, in order.
        total: How many rows pass the filters.
        number: Of this page, from 1.
    """

    rows: tuple[int, ...]
    total: int
    number: int
    size: int

    @property
    def count(self) -> int:
        """How many pages there are; 1 for an empty table."""
        return max(1, -(-self.total // self.size))

    @property
    def first(self) -> int:
        """The place of its first row, from 1; 0 when it is empty."""
        return (self.number - 1) * self.size + 1 if self.rows else 0

    @property
    def last(self) -> int:
        """The place of its last row; 0 when it is empty."""
        return self.first + len(self.rows) - 1 if self.rows else 0


@dataclass(frozen=True, slots=True)
class Address:
    """Where a view of a table is: its path and the parameters that are not defaults."""

    path: str
    parameters: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.parameters.get(name, "")

    def but(self, **changes: str | int) -> str:
        """Return the URL with some parameters changed; an empty value takes one away."""
        merged = {**self.parameters, **{name: str(value) for name, value in changes.items()}}
        query = urlencode({name: value for name, value in merged.items() if value})
        return f"{self.path}?{query}" if query else self.path

    def sorted_by(self, column: str, *, falling: bool) -> str:
        """Return the URL sorted by a column, the other way round when it already is."""
        first, second = (f"-{column}", column) if falling else (column, f"-{column}")
        return self.but(sort=second if self["sort"] == first else first, page="")

    def direction(self, column: str) -> str:
        """Return `ascending`, `descending` or `none` for a column's heading."""
        return {column: "ascending", f"-{column}": "descending"}.get(self["sort"], "none")


def address(path: str, asked: Parameters, known: Sequence[str]) -> Address:
    """Return the address of a view, with only the parameters that the table knows."""
    names = (*known, "sort", "page", "size")
    given = {name: asked[name].strip()[:300] for name in names if asked.get(name, "").strip()}
    return Address(path, given)


def cut(at: Address, matching: BoolArray, sorts: Mapping[str, Keys]) -> Page:
    """Return the asked page of the matching rows; what makes no sense is read as the default."""
    rows = np.flatnonzero(matching)
    sort = at["sort"]
    keys = sorts.get(sort.removeprefix("-"))
    if keys is not None:
        rows = rows[_order(keys[rows], falling=sort.startswith("-"))]
    size = number_in(at["size"], DEFAULT_SIZE, most=SIZES[-1])
    last = max(1, math.ceil(len(rows) / size))
    number = number_in(at["page"], 1, most=last)
    part = rows[(number - 1) * size : number * size]
    return Page(tuple(part.tolist()), len(rows), number, size)


def containing(ids: Sequence[str], text: str) -> BoolArray:
    """Return which ids contain a text, in any case: `(ids,) bool`. Linear."""
    if not text:
        return np.ones(len(ids), dtype=np.bool_)
    wanted = text.lower()
    hits = (wanted in name.lower() for name in ids)
    return np.fromiter(hits, dtype=np.bool_, count=len(ids))


def being(column: Categorical[str], value: str, rows: int) -> BoolArray:
    """Return which rows hold a value, all when it is empty and none when nobody does."""
    return column.where(value) if value else np.ones(rows, dtype=np.bool_)


def ranks(column: Categorical[str]) -> Keys:
    """Return sort keys of a column of words; its categories are sorted already."""
    return column.codes


def number_in(text: str, default: int, *, most: int) -> int:
    """Return a whole number from 1 to `most`, or the default when the text is none."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        return min(default, most)
    return min(max(int(text), 1), most)


def _order(keys: Keys, *, falling: bool) -> npt.NDArray[np.intp]:
    """Sort stably, what was not seen last in both directions."""
    figures = keys.astype(np.float64)
    figures = -figures if falling else figures
    return np.argsort(np.where(np.isnan(figures), np.inf, figures), kind="stable")
