# SPDX-License-Identifier: Apache-2.0
"""Rows and pages: how much of a list may be asked for at once, and what a statement gives back."""

from typing import Any, Final, TypeAlias

from sqlalchemy import CursorResult, Row

from billow.model.names import check_amount

AnyRow: TypeAlias = Row[*tuple[Any, ...]]

MOST: Final = 10_000
"""Rows in one page at most."""


def check_limit(limit: int) -> int:
    """Return the limit of a page if it is one. Raises Invalid."""
    return check_amount("limit", limit, least=1, most=MOST)


def new_number(added: CursorResult[*tuple[Any, ...]]) -> int:
    """Return the number that the database gave to a row just added."""
    key = added.inserted_primary_key
    return 0 if key is None else int(key[0])
