# SPDX-License-Identifier: Apache-2.0
"""How words are ordered: as text, as people count (h2 before h10), or by a rank of their own."""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Rank: TypeAlias = tuple[tuple[str | int, ...], str]
"""Compares within one order; the word itself comes last, so that no two words are level."""
Order: TypeAlias = Callable[[str], Rank]
RowOrder: TypeAlias = npt.NDArray[np.intp]

_DIGITS = re.compile(r"(\d+)")


def as_text(word: str) -> Rank:
    """Return the rank that puts h10 before h2."""
    return (), word


def natural(word: str) -> Rank:
    """Return the rank that puts h2 before h10."""
    parts = _DIGITS.split(word)
    return tuple(int(part) if place % 2 else part for place, part in enumerate(parts)), word


@lru_cache(maxsize=4)
def by_name(ids: tuple[str, ...]) -> RowOrder:
    """Return the rows in natural order of their ids: `(ids,) intp`. About 20 ms for 10,000."""
    order = np.array(sorted_rows(ids, natural), dtype=np.intp)
    order.setflags(write=False)
    return order


def sorted_rows(words: Sequence[str], order: Order) -> list[int]:
    """Return the places of the words, in order."""
    ranks = [order(word) for word in words]
    return sorted(range(len(words)), key=ranks.__getitem__)


def places(order: RowOrder) -> RowOrder:
    """Return the place of each row in an order of rows: its inverse, `(rows,) intp`."""
    place = np.empty(len(order), dtype=np.intp)
    place[order] = np.arange(len(order))
    return place
