# SPDX-License-Identifier: Apache-2.0
"""One page of a list as JSON, with a cursor.

A page ends with a cursor that names its last row by value and id, so that the next page is right
even when the pool has changed in between. Which rows match, and in which order, is
`billow.model.listing`'s.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass

from billow.errors import Invalid
from billow.model.listing.columns import Grid, Json
from billow.model.listing.search import Query, find

MOST_ROWS = 1000
"""Rows on one page."""


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in order, how many match in all, and the cursor of the next page (empty at the end)."""

    rows: tuple[int, ...]
    total: int
    cursor: str


def page_of(grid: Grid, query: Query, limit: int = 50, cursor: str = "") -> Page:
    """Return one page; `cursor` is where the page before ended, empty for the first.

    Raises Invalid: an unknown field, a malformed filter or cursor.
    """
    found = find(grid, query)
    rest = found.after(*_read(cursor, query.sort)) if cursor else found
    rows = rest.page(0, limit)
    more = rest.total > len(rows)
    return Page(rows, found.total, _cursor_at(grid, query.sort, rows[-1]) if more else "")


def chosen(grid: Grid, fields: str) -> Sequence[str]:
    """Return the names in a comma-separated list, all fields when it is empty. Raises Invalid."""
    names = list(dict.fromkeys(fields.split(","))) if fields else list(grid.makers)
    for name in names:
        grid.column(name)
    return names


def _cursor_at(grid: Grid, sort: str, row: int) -> str:
    value = grid.column(sort.removeprefix("-")).show(row)
    text = json.dumps([sort, value, grid.id[row]], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read(cursor: str, sort: str) -> tuple[Json, str]:
    """Return the value and the id of the row at which a page with this sort ended."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        parts = json.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise _not_ours() from error
    match parts:
        case [str(made_with), None | str() | int() | float() as value, str(name)]:
            if made_with == sort:
                return value, name
    raise _not_ours()


def _not_ours() -> Invalid:
    return Invalid(
        "the cursor was not made by this list with this sort",
        fix="start again without cursor",
        code="invalid-cursor",
    )
