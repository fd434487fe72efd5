# SPDX-License-Identifier: Apache-2.0
"""XDR (RFC 4506), as far as libvirt's protocol needs it. Pure: bytes in, values out."""

import struct
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, TypeVar

from billow.errors import Refused

Value: TypeAlias = int | float | bool | str
Item = TypeVar("Item")
_UINT: Final = struct.Struct(">I")
_INT: Final = struct.Struct(">i")
_UHYPER: Final = struct.Struct(">Q")
_DOUBLE: Final = struct.Struct(">d")
_INT_TYPE, _UINT_TYPE, _HYPER_TYPE, _UHYPER_TYPE, _DOUBLE_TYPE, _TRUTH_TYPE, _TEXT_TYPE = range(
    1, 8
)
_MOST_BYTES: Final = 64 * 2**20


class Writer:
    """Puts values one after the other."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    @property
    def data(self) -> bytes:
        """All that was put."""
        return b"".join(self._parts)

    def uint(self, value: int) -> "Writer":
        """Put an unsigned 32-bit integer."""
        return self._put(_UINT.pack(value))

    def sint(self, value: int) -> "Writer":
        """Put a signed 32-bit integer."""
        return self._put(_INT.pack(value))

    def uhyper(self, value: int) -> "Writer":
        """Put an unsigned 64-bit integer."""
        return self._put(_UHYPER.pack(value))

    def fixed(self, data: bytes) -> "Writer":
        """Put bytes whose number the other side knows."""
        return self._put(data + bytes(-len(data) % 4))

    def opaque(self, data: bytes) -> "Writer":
        """Put bytes, their number before them."""
        return self.uint(len(data)).fixed(data)

    def text(self, text: str) -> "Writer":
        """Put a string."""
        return self.opaque(text.encode())

    def maybe(self, text: str | None) -> "Writer":
        """Put a string that may be none."""
        return self.uint(0) if text is None else self.uint(1).text(text)

    def parameters(self, named: Mapping[str, Value]) -> "Writer":
        """Put libvirt's typed parameters; an `int` goes as unsigned 64 bits."""
        self.uint(len(named))
        for name, value in named.items():
            self.text(name)
            match value:
                case bool():
                    self.uint(_TRUTH_TYPE).sint(int(value))
                case int():
                    self.uint(_UHYPER_TYPE).uhyper(value)
                case float():
                    self.uint(_DOUBLE_TYPE)
                    self._put(_DOUBLE.pack(value))
                case str():
                    self.uint(_TEXT_TYPE).text(value)
        return self

    def _put(self, data: bytes) -> "Writer":
        self._parts.append(data)
        return self


class Reader:
    """Takes values one after the other. Raises Refused where there is something else."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._at = 0

    def uint(self) -> int:
        """Take an unsigned 32-bit integer."""
        return int.from_bytes(self._take(4))

    def sint(self) -> int:
        """Take a signed 32-bit integer."""
        return int.from_bytes(self._take(4), signed=True)

    def uhyper(self) -> int:
        """Take an unsigned 64-bit integer."""
        return int.from_bytes(self._take(8))

    def hyper(self) -> int:
        """Take a signed 64-bit integer."""
        return int.from_bytes(self._take(8), signed=True)

    def double(self) -> float:
        """Take a 64-bit floating-point number."""
        value: float = _DOUBLE.unpack(self._take(8))[0]
        return value

    def fixed(self, count: int) -> bytes:
        """Take so many bytes."""
        data = self._take(count)
        self._at += -count % 4
        return data

    def opaque(self) -> bytes:
        """Take bytes, their number before them."""
        return self.fixed(self.uint())

    def text(self) -> str:
        """Take a string."""
        return self.opaque().decode(errors="replace")

    def maybe(self) -> str | None:
        """Take a string that may be none."""
        return self.text() if self.uint() else None

    def many(self, take: Callable[[], Item]) -> list[Item]:
        """Take a list, its length before it."""
        return [take() for _ in range(self.uint())]

    def parameters(self) -> dict[str, Value]:
        """Take libvirt's typed parameters."""
        return dict(self.many(self._parameter))

    def _parameter(self) -> tuple[str, Value]:
        name, kind = self.text(), self.uint()
        takes: dict[int, Callable[[], Value]] = {
            1: self.sint,
            2: self.uint,
            3: self.hyper,
            _UHYPER_TYPE: self.uhyper,
            _DOUBLE_TYPE: self.double,
            _TRUTH_TYPE: lambda: bool(self.sint()),
            _TEXT_TYPE: self.text,
        }
        if kind not in takes:
            raise Refused(f"libvirt sent a value of type {kind}", code="bad-answer")
        return name, takes[kind]()

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if count > _MOST_BYTES or end > len(self._data):
            raise Refused("an answer of libvirt ends too early", code="bad-answer")
        data = bytes(self._data[self._at : end])
        self._at = end
        return data
