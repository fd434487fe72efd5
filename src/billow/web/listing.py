# SPDX-License-Identifier: Apache-2.0
"""A page of a long table: its address and its number.

Everything is in the URL, so that a view can be sent to somebody. Which rows match, and in which
order, is `billow.model.listing`'s; this module must not know what the rows are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from billow.errors import Invalid
from billow.model.listing.columns import Grid
from billow.model.listing.search import Query, find

SIZES = (50, 100, 200, 500)
DEFAULT_SIZE = 100
DEFAULT_SORT = "id"

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


def cut(at: Address, grid: Grid, filters: Sequence[str]) -> Page:
    """Return the asked page of a list; what makes no sense is read as the default."""
    where = {name: at[name] for name in filters if name != "q" and at[name]}
    found = find(grid, Query(where, at["q"], _sort(grid, at["sort"])))
    size = number_in(at["size"], DEFAULT_SIZE, most=SIZES[-1])
    number = number_in(at["page"], 1, most=max(1, -(-found.total // size)))
    return Page(found.page((number - 1) * size, size), found.total, number, size)


def number_in(text: str, default: int, *, most: int) -> int:
    """Return a whole number from 1 to `most`, or the default when the text is none."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        return min(default, most)
    return min(max(int(text), 1), most)


def _sort(grid: Grid, wanted: str) -> str:
    try:
        grid.column(wanted.removeprefix("-")).keys()
    except Invalid:
        return DEFAULT_SORT
    return wanted
