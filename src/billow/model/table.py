# SPDX-License-Identifier: Apache-2.0
"""Tables: columns of equal length whose rows are sorted by their unique ids.

The operations walk the fields of the table's dataclass; what a column is, it says itself
(`column`).
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, fields
from functools import cached_property
from itertools import islice
from operator import attrgetter, lt
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from billow.errors import Invalid
from billow.model.column import AnyArray, Categorical, Declared, Digest, feed_texts, frozen
from billow.model.names import check_ids

FEW = 64
"""Rows that are inserted one by one; more are merged in one go."""


class Rows(Mapping[str, int]):
    """Row number by id, found by halving: nothing to build, about a microsecond per question."""

    __slots__ = ("_ids",)

    def __init__(self, ids: tuple[str, ...]) -> None:
        self._ids = ids

    def __getitem__(self, name: str) -> int:
        row = bisect_left(self._ids, name)
        if row < len(self._ids) and self._ids[row] == name:
            return row
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of equal length whose rows are sorted by `id`; ids are unique."""

    id: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.id)

    @cached_property
    def row(self) -> Mapping[str, int]:
        """Row number by id."""
        return Rows(self.id)

    @classmethod
    def declared(cls) -> dict[str, Declared]:
        """Return the declaration of every column that has one, by the column's name."""
        found = ((each.name, declaration_of(each)) for each in fields(cls))
        return {name: declared for name, declared in found if declared is not None}

    @classmethod
    def declared_columns(cls, rows: Sequence[object]) -> dict[str, Any]:
        """Return the declared columns of row values."""
        return {
            name: declared.column(list(map(attrgetter(declared.attribute), rows)))
            for name, declared in cls.declared().items()
        }

    @classmethod
    def filled_columns(cls, rows: int, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return every declared column: as given, or full of its default.

        Raises:
            Invalid: a column is unknown, of another length, or cannot be kept.
        """
        declared = cls.declared()
        for name in given:
            if name not in declared:
                raise Invalid(
                    f"there is no column {name}", fix=f"known are {', '.join(declared)}", code=_CODE
                )
        return {
            name: _filled(name, each, given.get(name, each.default), rows)
            for name, each in declared.items()
        }

    def values(self) -> dict[str, list[Any]]:
        """Return the declared columns as plain values, by the row value's attribute."""
        return {
            declared.attribute: declared.values(getattr(self, name))
            for name, declared in self.declared().items()
        }

    def take(self, rows: npt.NDArray[np.intp]) -> Self:
        """Return the table with only these rows, in this order."""
        return type(self)(
            **{each.name: _take(getattr(self, each.name), rows) for each in fields(self)}
        )

    def extended(self, other: Self) -> Self:
        """Return this table followed by another; the caller restores the order of ids."""
        parts = {f.name: (getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        return type(self)(**{name: _extended(*pair) for name, pair in parts.items()})

    def inserted(self, other: Self) -> Self:
        """Return this table with the rows of another, sorted one at their places.

        Raises:
            Invalid: an id is in both.
        """
        places = [bisect_left(self.id, name) for name in other.id]
        for place, name in zip(places, other.id, strict=True):
            if self.id[place : place + 1] == (name,):
                raise Invalid(
                    f"{name} is in the pool already", fix="choose another name", code="duplicate-id"
                )
        if len(places) > FEW:
            ours, theirs = np.arange(len(self)), np.arange(len(self), len(self) + len(other))
            return self.extended(other).take(np.insert(ours, places, theirs))
        parts = {f.name: (getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        return type(self)(**{name: _inserted(*pair, places) for name, pair in parts.items()})

    def feed(self, digest: Digest) -> None:
        """Add every declared column that is not a measurement, and the ids, to a digest."""
        feed_texts(digest, self.id)
        for name, declared in self.declared().items():
            if not declared.observed:
                digest.update(name.encode())
                feed_column(getattr(self, name), digest)

    def check(self, what: str) -> None:
        """Check ids and declared columns. Raises Invalid that names a row."""
        check_ids(what, self.id)
        for name, declared in self.declared().items():
            column = getattr(self, name)
            array = column.codes if isinstance(column, Categorical) else column
            if array.shape != (len(self),):
                raise Invalid(
                    f"the column {name} has the shape {array.shape}, not ({len(self)},)", code=_CODE
                )
            wrong = declared.broken(column)
            if wrong is not None:
                raise self.broken_law(what, f"{declared.attribute} is out of range", wrong)

    def broken_law(self, what: str, law: str, wrong: AnyArray) -> Invalid:
        """Return the error for rows that break a law."""
        rows = np.flatnonzero(wrong)
        return Invalid(
            f"{what} {self.id[rows[0]]}: {law}",
            (f"{len(rows)} rows in all",) if len(rows) > 1 else (),
            fix="correct the value where the pool comes from",
            code=_CODE,
        )


_CODE = "invalid-column"


def declaration_of(column: Field[Any]) -> Declared | None:
    """Return how a table's field is declared; None for ids and columns of their own kind."""
    declared: Declared | None = column.metadata.get("declared")
    return declared


def sorting(ids: Sequence[str]) -> npt.NDArray[np.intp] | None:
    """Return the row order that sorts the ids, or None when they are sorted and unique already."""
    if all(map(lt, ids, islice(ids, 1, None))):
        return None
    return np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.intp)


def feed_column(column: AnyArray | Categorical[Any], digest: Digest) -> None:
    """Add a column to a digest, the same bytes on every machine."""
    if isinstance(column, Categorical):
        column.feed(digest)
    else:
        digest.update(column.astype(column.dtype.newbyteorder("<"), copy=False).tobytes())


def _filled(name: str, declared: Declared, given: Any, rows: int) -> Any:  # noqa: ANN401 (any column)
    if isinstance(given, Categorical):
        return given
    if isinstance(given, np.ndarray):
        return declared.cast(name, given)
    if isinstance(given, list | tuple):
        return declared.column(given)
    return declared.full(given, rows)


def _take(column: Any, rows: npt.NDArray[np.intp]) -> Any:  # noqa: ANN401 (any column)
    if isinstance(column, tuple):
        return tuple(map(column.__getitem__, rows.tolist()))
    if isinstance(column, Categorical):
        return column.take(rows)
    return frozen(column[rows])


def _extended(first: Any, second: Any) -> Any:  # noqa: ANN401 (any column)
    if isinstance(first, tuple):
        return first + second
    if isinstance(first, Categorical):
        return first.extended(second)
    return frozen(np.concatenate([first, second]))


def _inserted(first: Any, second: Any, places: list[int]) -> Any:  # noqa: ANN401 (any column)
    if isinstance(first, Categorical):
        categories = first.merged(second)
        ours, theirs = first.recoded(categories), second.recoded(categories)
        return Categorical(_inserted(ours, theirs, places), categories)
    if isinstance(first, tuple):
        return tuple(_woven_ids(first, second, places))
    return frozen(np.concatenate(list(_woven(first, second, places))))


def _woven(first: AnyArray, second: AnyArray, places: list[int]) -> Iterator[AnyArray]:
    start = 0
    for row, place in enumerate(places):
        yield first[start:place]
        yield second[row : row + 1]
        start = place
    yield first[start:]


def _woven_ids(first: tuple[str, ...], second: tuple[str, ...], places: list[int]) -> Iterable[str]:
    woven = list(first)
    for shift, (place, name) in enumerate(zip(places, second, strict=True)):
        woven.insert(place + shift, name)
    return woven
