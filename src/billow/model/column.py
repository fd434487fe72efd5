# SPDX-License-Identifier: Apache-2.0
"""Columns and tables: how a million rows stay small, frozen and quick.

A table is a frozen dataclass whose fields are columns of equal length; the operations below walk the fields,
so that a new column is one line in a table and nothing else. A column is a tuple of ids, a read-only NumPy
array (rows along its first axis), or a `Categorical`: codes into a short tuple of distinct values.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

Value = TypeVar("Value", bound=Hashable)


class Digest(Protocol):
    """What `hashlib` calls a hash: bytes go in, in order."""

    def update(self, data: bytes, /) -> None:
        """Add bytes."""


def frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the array, read-only from now on."""
    array.setflags(write=False)
    return array


def observed() -> Any:
    """Declare a column that is a measurement: it is left out of the digest, since it changes all the time."""
    return field(metadata={"observed": True})


@dataclass(frozen=True, eq=False)
class Categorical(Generic[Value]):
    """A column of few distinct values: `categories[codes[row]]`.

    Categories are sorted by their text and all used or declared; codes are int32.
    """

    codes: npt.NDArray[np.int32]
    categories: tuple[Value, ...]

    @classmethod
    def of(cls, values: Iterable[Value]) -> Self:
        """Build from one value per row."""
        listed = list(values)
        categories = tuple(sorted(set(listed), key=_text))
        code = {value: number for number, value in enumerate(categories)}
        codes = np.fromiter((code[value] for value in listed), dtype=np.int32, count=len(listed))
        return cls(frozen(codes), categories)

    @classmethod
    def full(cls, value: Value, rows: int) -> Self:
        """Build a column in which every row holds `value`."""
        return cls(frozen(np.zeros(rows, dtype=np.int32)), (value,))

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, row: int) -> Value:
        return self.categories[int(self.codes[row])]

    def where(self, value: Value) -> npt.NDArray[np.bool_]:
        """Return which rows hold `value`: `(rows,) bool`."""
        if value not in self.categories:
            return np.zeros(len(self.codes), dtype=np.bool_)
        rows: npt.NDArray[np.bool_] = self.codes == self.categories.index(value)
        return rows

    def take(self, rows: npt.NDArray[np.intp]) -> Self:
        """Return the column with only these rows, in this order."""
        return type(self)(frozen(self.codes[rows]), self.categories)

    def extended(self, other: Self) -> Self:
        """Return this column followed by another."""
        categories = tuple(sorted({*self.categories, *other.categories}, key=_text))
        code = {value: number for number, value in enumerate(categories)}

        def recoded(column: Self) -> npt.NDArray[np.int32]:
            if column.categories == categories:
                return column.codes
            translation = np.array([code[v] for v in column.categories], dtype=np.int32)
            return translation[column.codes] if len(translation) else column.codes

        return type(self)(frozen(np.concatenate([recoded(self), recoded(other)])), categories)

    def feed(self, digest: Digest) -> None:
        """Add the column's meaning to a digest, whatever unused categories it carries."""
        used = np.unique(self.codes)
        dense = np.searchsorted(used, self.codes).astype(np.int32)
        digest.update("\0".join(_text(self.categories[code]) for code in used).encode())
        digest.update(b"\1")
        digest.update(dense.tobytes())


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of equal length whose rows are sorted by `id`; ids are unique."""

    id: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.id)

    @cached_property
    def row(self) -> dict[str, int]:
        """Row number by id."""
        return {name: number for number, name in enumerate(self.id)}

    def take(self, rows: npt.NDArray[np.intp]) -> Self:
        """Return the table with only these rows, in this order."""
        return self._map(lambda column: _take(column, rows))

    def extended(self, other: Self) -> Self:
        """Return this table followed by another; the caller restores the order of ids."""
        parts = {f.name: (getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        return type(self)(**{name: _extended(*pair) for name, pair in parts.items()})

    def feed(self, digest: Digest) -> None:
        """Add every column that is not a measurement to a digest."""
        for column in fields(self):
            if not column.metadata.get("observed"):
                digest.update(column.name.encode())
                _feed(getattr(self, column.name), digest)

    def _map(self, change: Any) -> Self:
        return type(self)(**{f.name: change(getattr(self, f.name)) for f in fields(self)})


def sorting(ids: Sequence[str]) -> npt.NDArray[np.intp] | None:
    """Return the row order that sorts the ids, or None when they are sorted already."""
    if all(first < second for first, second in zip(ids, ids[1:], strict=False)):
        return None
    return np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.intp)


def _text(value: object) -> str:
    return "\2".join(sorted(value)) if isinstance(value, frozenset) else str(value)


def _take(column: Any, rows: npt.NDArray[np.intp]) -> Any:
    if isinstance(column, tuple):
        return tuple(map(column.__getitem__, rows.tolist()))
    if isinstance(column, Categorical):
        return column.take(rows)
    return frozen(column[rows])


def _extended(first: Any, second: Any) -> Any:
    if isinstance(first, tuple):
        return first + second
    if isinstance(first, Categorical):
        return first.extended(second)
    return frozen(np.concatenate([first, second]))


def _feed(column: Any, digest: Digest) -> None:
    if isinstance(column, tuple):
        digest.update("\0".join(column).encode())
    elif isinstance(column, Categorical):
        column.feed(digest)
    else:
        digest.update(np.ascontiguousarray(column).tobytes())
