# SPDX-License-Identifier: Apache-2.0
"""What a form said, read without trust: every field by name, typed, with an error that names it."""

from collections.abc import Sequence
from enum import StrEnum
from typing import TypeVar
from urllib.parse import parse_qsl

from starlette.requests import Request

from billow.errors import Invalid
from billow.model.names import check_amount

MOST_BYTES = 1024 * 1024
MOST_FIELDS = 12_000

Word = TypeVar("Word", bound=StrEnum)


class Form:
    """The fields of one form; a field that was not sent reads as empty."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self.pairs = pairs
        self._fields = dict(pairs)

    @classmethod
    async def read(cls, request: Request) -> "Form":
        """Read a form from a request's body. Raises Invalid."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise Invalid("this is not a form", fix="send application/x-www-form-urlencoded")
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                raise Invalid(
                    f"the form is larger than {MOST_BYTES // 2**20} MiB", code="too-large"
                )
        return cls(_pairs_of(bytes(body)))

    def text(self, name: str, default: str = "") -> str:
        """Return a field without white space around it."""
        return self._fields.get(name, default).strip()

    def each(self, name: str) -> list[str]:
        """Return all values of a field that may be sent several times, each once."""
        return list(dict.fromkeys(value for key, value in self.pairs if key == name))

    def ticked(self, name: str) -> bool:
        """Return whether a box was ticked."""
        return name in self._fields

    def amount(self, name: str, default: int, *, least: int = 0, most: int) -> int:
        """Return a whole number. Raises Invalid."""
        text = self.text(name)
        if not text:
            return default
        digits = text.removeprefix("-")
        whole = digits.isascii() and digits.isdigit() and len(digits) <= 18
        return check_amount(name, int(text) if whole else most + 1, least=least, most=most)

    def measure(self, name: str, default: float, *, most: float) -> float:
        """Return a number from 0 to `most`. Raises Invalid."""
        text = self.text(name)
        try:
            number = float(text) if text else default
        except ValueError:
            number = -1.0
        if not 0 <= number <= most:
            raise Invalid(f"{name} must be a number from 0 to {most:g}", code="invalid-amount")
        return number

    def word(self, name: str, vocabulary: type[Word], default: Word) -> Word:
        """Return one of a closed set of words. Raises Invalid."""
        text = self.text(name)
        if not text:
            return default
        if text not in set(vocabulary):
            raise Invalid(
                f"{name} cannot be {ascii(text)[:60]}", fix=f"use one of {', '.join(vocabulary)}"
            )
        return vocabulary(text)


def _pairs_of(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=False,
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError as error:
        raise Invalid("the form cannot be read", fix="load the page again") from error
