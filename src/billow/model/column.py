# SPDX-License-Identifier: Apache-2.0
"""Columns: how a million values stay small, frozen and quick.

A column is a tuple of ids, a read-only NumPy array (rows along its first axis), or a `Categorical`:
codes into a short tuple of distinct values. How the column of a table is kept, what it holds when
nothing was said, and what is allowed in it stands in its declaration (`words`, `codes`, `numbers`)
and nowhere else, so that a new column is one line in its table.
"""

import math
from bisect import bisect_left, insort
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Generic, Protocol, Self, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from billow.errors import Invalid

Value = TypeVar("Value", bound=Hashable)
AnyArray: TypeAlias = npt.NDArray[Any]

FEW: Final = 64
"""Up to so many categories are looked up one by one, which is quicker than a table of all."""


class Digest(Protocol):
    """What `hashlib` calls a hash: bytes go in, in order."""

    def update(self, data: bytes, /) -> None:
        """Add bytes."""


def frozen(array: AnyArray) -> AnyArray:
    """Return the array, read-only from now on."""
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class Categorical(Generic[Value]):
    """A column of few distinct values: `categories[codes[row]]`.

    Categories are distinct and sorted by their text; codes are int32.
    """

    codes: npt.NDArray[np.int32]
    categories: tuple[Value, ...]

    @classmethod
    def of(cls, values: Iterable[Value]) -> Self:
        """Build from one value per row."""
        listed = list(values)
        categories = tuple(sorted(set(listed), key=text_of))
        code = {value: number for number, value in enumerate(categories)}
        codes = np.fromiter(map(code.__getitem__, listed), dtype=np.int32, count=len(listed))
        return cls(frozen(codes), categories)

    @classmethod
    def coded(cls, codes: AnyArray, categories: Sequence[Value]) -> Self:
        """Build from codes into categories of any order, which may repeat or be unused."""
        distinct = tuple(sorted(set(categories), key=text_of))
        code = {value: number for number, value in enumerate(distinct)}
        translation = np.array([code[value] for value in categories], dtype=np.int32)
        return cls(frozen(translation[codes] if len(translation) else codes), distinct)

    @classmethod
    def full(cls, value: Value, rows: int) -> Self:
        """Build a column in which every row holds `value`."""
        return cls(frozen(np.zeros(rows, dtype=np.int32)), (value,))

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, row: int) -> Value:
        return self.categories[int(self.codes[row])]

    def values(self) -> list[Value]:
        """Return one value per row."""
        return list(map(self.categories.__getitem__, self.codes.tolist()))

    def where(self, value: Value) -> npt.NDArray[np.bool_]:
        """Return which rows hold `value`: `(rows,) bool`."""
        if value not in self.categories:
            return np.zeros(len(self.codes), dtype=np.bool_)
        rows: npt.NDArray[np.bool_] = self.codes == self.categories.index(value)
        return rows

    def take(self, rows: npt.NDArray[np.intp]) -> Self:
        """Return the column with only these rows, in this order."""
        return type(self)(frozen(self.codes[rows]), self.categories)

    def recoded(self, categories: tuple[Value, ...]) -> npt.NDArray[np.int32]:
        """Return the codes of the same values in other categories, which hold all of them."""
        if self.categories == categories or not self.categories:
            return self.codes
        recoded: npt.NDArray[np.int32] = self._translation(categories)[self.codes]
        return recoded

    def _translation(self, categories: tuple[Value, ...]) -> npt.NDArray[np.int32]:
        """Return the new code of each category."""
        if len(self.categories) < FEW:
            places = [bisect_left(categories, text_of(v), key=text_of) for v in self.categories]
            return np.array(places, dtype=np.int32)
        if len(categories) - len(self.categories) < FEW:
            return np.delete(np.arange(len(categories), dtype=np.int32), self._lacking(categories))
        code = {value: number for number, value in enumerate(categories)}
        return np.array([code[value] for value in self.categories], dtype=np.int32)

    def _lacking(self, categories: tuple[Value, ...]) -> list[int]:
        """Return where in the others stands what these categories lack, ascending."""
        ours, lacking = self.categories, list[int]()
        while len(lacking) < len(categories) - len(ours):
            ahead = len(lacking)
            place = bisect_left(
                range(len(ours)), True, key=lambda row: ours[row] != categories[row + ahead]
            )
            lacking.append(place + ahead)
        return lacking

    def merged(self, other: Self) -> tuple[Value, ...]:
        """Return the categories of both columns. Quick when the other has few."""
        if len(other.categories) >= FEW:
            return tuple(sorted({*self.categories, *other.categories}, key=text_of))
        missing = [value for value in other.categories if not self._has(value)]
        if not missing:
            return self.categories
        categories = list(self.categories)
        for value in missing:
            insort(categories, value, key=text_of)
        return tuple(categories)

    def _has(self, value: Value) -> bool:
        place = bisect_left(self.categories, text_of(value), key=text_of)
        return self.categories[place : place + 1] == (value,)

    def extended(self, other: Self) -> Self:
        """Return this column followed by another."""
        categories = self.merged(other)
        codes = np.concatenate([self.recoded(categories), other.recoded(categories)])
        return type(self)(frozen(codes), categories)

    def feed(self, digest: Digest, text: Callable[[Value], str] | None = None) -> None:
        """Add the column's meaning to a digest, whatever unused categories it carries."""
        used = np.flatnonzero(np.bincount(self.codes, minlength=len(self.categories)))
        texts = [(text or text_of)(self.categories[code]) for code in used.tolist()]
        order = sorted(range(len(texts)), key=texts.__getitem__)
        dense = np.zeros(len(self.categories), dtype=np.int32)
        dense[used[order]] = np.arange(len(used), dtype=np.int32)
        feed_texts(digest, [texts[place] for place in order])
        digest.update(dense[self.codes].astype("<i4", copy=False).tobytes())


def text_of(value: object) -> str:
    """Return a text that orders the values of a column and tells them apart."""
    return "\2".join(sorted(value)) if isinstance(value, frozenset) else str(value)


def feed_texts(digest: Digest, texts: Sequence[str]) -> None:
    """Add texts to a digest so that no two lists of texts give the same bytes."""
    joined = "\0".join(texts)
    lengths = np.fromiter(map(len, texts), dtype="<u4", count=len(texts))
    digest.update(f"{len(texts)} {len(joined)} ".encode())
    digest.update(lengths.tobytes())
    digest.update(joined.encode())


@dataclass(frozen=True, slots=True)
class Declared:
    """How a column is kept and what it may hold.

    Attributes:
        attribute: What the row's value (`Host`, `Instance`) calls it.
        default: What every row holds when nothing was said.
        dtype: Of the array; None for a categorical column.
        vocabulary: Whose codes the array holds.
        least, most: The range of a number.
        unseen: Whether a number may be NaN.
        observed: Whether it is a measurement, which the digest leaves out.
        check: Raises Invalid for a category that may not be.
    """

    attribute: str
    default: Hashable
    dtype: type[np.generic] | None = None
    vocabulary: type[StrEnum] | None = None
    least: float = 0
    most: float = 0
    unseen: bool = False
    observed: bool = False
    check: Callable[[str, Any], object] | None = None

    def column(self, values: Sequence[Any]) -> AnyArray | Categorical[Any]:
        """Return the column of one plain value per row."""
        if self.dtype is None:
            return Categorical.of(values)
        if self.vocabulary is not None:
            code = {value: number for number, value in enumerate(self.vocabulary)}
            values = list(map(code.__getitem__, values))
        return frozen(np.array(values, dtype=self.dtype))

    def full(self, value: Any, rows: int) -> AnyArray | Categorical[Any]:  # noqa: ANN401 (any)
        """Return the column that holds one plain value in every row."""
        if self.dtype is None:
            return Categorical.full(value, rows)
        one = self.column([value])
        return frozen(np.repeat(one, rows))  # type: ignore[arg-type]  # an array: it has a dtype

    def cast(self, name: str, array: AnyArray) -> AnyArray:
        """Return an array as this column keeps it. Raises Invalid where that would change it."""
        if array.dtype == self.dtype:
            return frozen(array)
        with np.errstate(invalid="ignore"):
            kept = array.astype(self.dtype)
        if array.dtype.kind not in "iuf" or not np.array_equal(kept, array, equal_nan=True):
            raise Invalid(f"the column {name} holds values that it cannot keep", code=_CODE)
        return frozen(kept)

    def values(self, column: Any) -> list[Any]:  # noqa: ANN401 (any column)
        """Return one plain value per row; `math.nan` itself where nothing was seen."""
        if isinstance(column, Categorical):
            return column.values()
        plain: list[Any] = column.tolist()
        if self.unseen:
            for row in np.flatnonzero(np.isnan(column)).tolist():
                plain[row] = math.nan
        if self.vocabulary is not None:
            plain = list(map(tuple(self.vocabulary).__getitem__, plain))
        return plain

    def broken(self, column: Any) -> AnyArray | None:  # noqa: ANN401 (any column)
        """Return which rows hold what they may not, or None when all is well. Raises Invalid."""
        if isinstance(column, Categorical):
            for value in column.categories if self.check else ():
                self.check("a value of column " + self.attribute, value)  # type: ignore[misc]
            wrong = (column.codes < 0) | (column.codes >= len(column.categories))
        else:
            top = len(self.vocabulary) - 1 if self.vocabulary is not None else self.most
            wrong = ~((column >= self.least) & (column <= top))
            if self.unseen:
                wrong &= ~np.isnan(column)
        return wrong if wrong.any() else None


_CODE = "invalid-column"


def words(
    attribute: str, default: Hashable, check: Callable[[str, Any], object]
) -> dict[str, Declared]:
    """Declare a column of few distinct values, as a field's metadata."""
    return {"declared": Declared(attribute, default, check=check)}


def codes(attribute: str, default: StrEnum) -> dict[str, Declared]:
    """Declare a column of a closed vocabulary, one byte each."""
    return {"declared": Declared(attribute, default, np.uint8, vocabulary=type(default))}


def numbers(
    attribute: str, default: float, dtype: type[np.generic], *, least: float, most: float
) -> dict[str, Declared]:
    """Declare a column of numbers from `least` to `most`."""
    return {"declared": Declared(attribute, default, dtype, least=least, most=most)}


def measured(attribute: str, dtype: type[np.generic]) -> dict[str, Declared]:
    """Declare a measurement, NaN where not seen; the digest leaves it out: it changes always."""
    nan, most = float("nan"), MOST_MEASURED
    return {"declared": Declared(attribute, nan, dtype, most=most, unseen=True, observed=True)}


MOST_MEASURED = 1e12
"""The largest measurement that is believed."""
