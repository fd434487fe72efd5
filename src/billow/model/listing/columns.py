# SPDX-License-Identifier: Apache-2.0
"""What a list can be filtered, sorted and shown by: one column per field, over the pool's arrays.

Why: a list of a million rows is filtered and sorted without building one object for a row that is
not on the page. Nothing here does I/O; a column is made of a pool once and kept with it.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from billow.errors import Invalid
from billow.model.column import Categorical
from billow.model.listing.order import Order, as_text, places, sorted_rows
from billow.model.resources import BoolArray, CodeArray, FloatArray

MOST = 1e300
"""No amount or measurement comes near."""

Json: TypeAlias = "str | int | float | bool | list[str] | list[int] | None"


class Column(Protocol):
    """One field of a table, over all rows."""

    def where(self, wanted: str, /) -> BoolArray:
        """Return the rows that a filter's text asks for: `(rows,) bool`. Raises Invalid."""

    def keys(self) -> FloatArray:
        """Return numbers in the order of the values, NaN for nothing: `(rows,) float64`."""

    def key(self, value: Json, /) -> float:
        """Return the key that a value has, or would have. Raises Invalid."""

    def show(self, row: int, /) -> Json:
        """Return the value of one row, ready for JSON."""


@dataclass(frozen=True, eq=False)
class Words:
    """Text from a vocabulary, which is sorted by `order`: `words[codes[row]]`."""

    codes: npt.NDArray[np.integer]
    words: Sequence[str]
    order: Order = as_text

    @classmethod
    def of(cls, column: Categorical[str]) -> "Words":
        """Wrap a categorical column; its categories are sorted already."""
        return cls(column.codes, column.categories)

    @classmethod
    def coded(cls, codes: CodeArray, vocabulary: type[StrEnum]) -> "Words":
        """Wrap codes of an enumeration; they are sorted as text."""
        words = tuple(map(str, vocabulary))
        order = np.array(sorted_rows(words, as_text), dtype=np.intp)
        return cls(places(order)[codes], tuple(words[place] for place in order.tolist()))

    @classmethod
    def ranked(cls, codes: CodeArray, words: tuple[str, ...]) -> "Words":
        """Wrap codes into words whose order has a meaning; a word that is not there comes last."""
        rank = {word: place for place, word in enumerate(words)}
        return cls(codes, words, lambda word: ((rank.get(word, len(words)),), word))

    def where(self, wanted: str) -> BoolArray:
        """Return the rows that hold any of the words, which commas separate."""
        found: BoolArray = np.zeros(len(self.codes), dtype=np.bool_)
        for word in wanted.split(","):
            place, known = self._place(word)
            if known:
                found |= self.codes == place
        return found

    def keys(self) -> FloatArray:
        """Return the codes: their order is the words' order."""
        return self.codes.astype(np.float64)

    def key(self, value: Json) -> float:
        """Return a word's place, or a place between two when no row can hold it."""
        place, known = self._place(str(value))
        return float(place) if known else place - 0.5

    def show(self, row: int) -> Json:
        """Return the word."""
        return self.words[int(self.codes[row])]

    def _place(self, word: str) -> tuple[int, bool]:
        """Return where a word stands, or would stand, and whether it does."""
        place = bisect_left(self.words, self.order(word), key=self.order)
        return place, place < len(self.words) and self.words[place] == word


@dataclass(frozen=True, eq=False)
class Numbers:
    """Amounts and measurements; NaN is shown as nothing."""

    name: str
    values: npt.NDArray[np.generic]

    def where(self, wanted: str) -> BoolArray:
        """Return the rows with exactly this number, or within `least..most`; an end may miss."""
        least, dots, most = wanted.partition("..")
        low = self._number(least, -math.inf) if least or not dots else -math.inf
        high = (self._number(most, math.inf) if most else math.inf) if dots else low
        values = self.keys()
        found: BoolArray = (values >= low) & (values <= high)
        return found

    def keys(self) -> FloatArray:
        """Return the numbers themselves."""
        return self.values.astype(np.float64)

    def key(self, value: Json) -> float:
        """Return the number, NaN for nothing."""
        if value is None:
            return math.nan
        if isinstance(value, int | float) and abs(value) <= MOST:
            return float(value)
        raise Invalid(f"{self.name} is a number, not {ascii(value)[:80]}", code="invalid-cursor")

    def show(self, row: int) -> Json:
        """Return the number as Python has it, or None."""
        value = self.values[row].item()
        if isinstance(value, float):
            return None if math.isnan(value) else value
        return int(value)

    def _number(self, text: str, default: float) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if math.isnan(number):
            raise Invalid(
                f"filter {self.name}={ascii(text)[:80]} is not a number",
                fix=f"use {self.name}=NUMBER, {self.name}=LEAST..MOST, LEAST.. or ..MOST",
                code="invalid-filter",
            )
        return number if math.isfinite(number) else default


@dataclass(frozen=True, eq=False)
class Flags:
    """Yes or no."""

    name: str
    values: BoolArray

    def where(self, wanted: str) -> BoolArray:
        """Return the rows that say `true`, or those that say `false`."""
        if wanted not in {"true", "false"}:
            raise Invalid(
                f"filter {self.name}={ascii(wanted)[:80]} is neither true nor false",
                fix=f"use {self.name}=true or {self.name}=false",
                code="invalid-filter",
            )
        found: BoolArray = self.values == (wanted == "true")
        return found

    def keys(self) -> FloatArray:
        """Return 0 and 1."""
        return self.values.astype(np.float64)

    def key(self, value: Json) -> float:
        """Return 0 or 1."""
        return float(bool(value))

    def show(self, row: int) -> Json:
        """Return the flag."""
        return bool(self.values[row])


@dataclass(frozen=True, eq=False)
class Lists:
    """A few words or numbers per row: filtered by what they hold, not sorted."""

    name: str
    codes: npt.NDArray[np.integer]
    lists: Sequence[list[str] | list[int]]

    def where(self, wanted: str) -> BoolArray:
        """Return the rows whose list holds every one of the words, which commas separate."""
        words = set(wanted.split(","))
        holds = np.array([words <= set(map(str, each)) for each in self.lists], dtype=np.bool_)
        found: BoolArray = holds[self.codes] if len(holds) else np.zeros(len(self.codes), np.bool_)
        return found

    def keys(self) -> FloatArray:
        """Refuse: a list has no place in an order."""
        raise Invalid(
            f"{self.name} cannot be sorted by", fix="sort by another field", code="invalid-sort"
        )

    def key(self, value: Json) -> float:
        """Refuse: a list has no place in an order."""
        raise Invalid(f"{self.name} cannot be sorted by, not even {ascii(value)[:80]}")

    def show(self, row: int) -> Json:
        """Return the list."""
        return self.lists[int(self.codes[row])]


Makers: TypeAlias = dict[str, Callable[[], Column]]


@dataclass(frozen=True, eq=False)
class Grid:
    """A table as columns that are made when they are first asked for.

    Attributes:
        id: The rows' ids, sorted.
        makers: How each column is made, by its field's name, in the order of showing.
    """

    id: Sequence[str]
    makers: Makers
    made: dict[str, Column]

    def column(self, name: str) -> Column:
        """Return one column. Raises Invalid with the known names."""
        if name not in self.made:
            if name not in self.makers:
                raise Invalid(
                    f"no field {ascii(name)[:80]}",
                    fix=f"known fields: {', '.join(self.makers)}",
                    code="unknown-field",
                )
            self.made[name] = self.makers[name]()
        return self.made[name]

    def show(self, row: int, fields: Sequence[str]) -> dict[str, Json]:
        """Return some fields of one row, ready for JSON."""
        return {name: self.column(name).show(row) for name in fields}
