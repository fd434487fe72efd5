# SPDX-License-Identifier: Apache-2.0
"""Lines of the text form: words, options, quotes, comments and ranges, with their line number.

A line is words separated by white space. `key=value` is an option; a value, or a whole word, may
stand in double quotes with JSON's escapes; `#` at the start of a word begins a comment. This module
must not know what the words mean.
"""

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from billow.errors import Invalid

Value = TypeVar("Value")

_WORD = re.compile(r'(?:[^\s"]+|"(?:[^"\\]|\\.)*")+')
_RANGE = re.compile(r"\[([0-9]{1,9})-([0-9]{1,9})\]", re.ASCII)
MOST_IN_RANGE = 2_000_000
"""Rows that one line may stand for."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line with something on it.

    Attributes:
        number: From 1.
        words: What is no option, quotes taken off.
        options: By key, quotes taken off.
    """

    number: int
    words: tuple[str, ...]
    options: Mapping[str, str]

    @property
    def keyword(self) -> str:
        """What kind of line it is."""
        return self.words[0]

    def wrong(self, brief: str, fix: str) -> Invalid:
        """Return the error for this line."""
        return Invalid(f"line {self.number}: {brief}", fix=fix, code="invalid-text-form")

    def located(self, read: Callable[[], Value]) -> Value:
        """Return what `read` returns; its Invalid says this line's number."""
        try:
            return read()
        except Invalid as error:
            if error.brief.startswith(f"line {self.number}: "):
                raise
            brief = f"line {self.number}: {error.brief}"
            raise Invalid(brief, error.details, error.fix, error.code) from None

    def demand(self, least: int, most: int, form: str) -> None:
        """Check how many words there are, the keyword not counted. Raises Invalid."""
        if not least <= len(self.words) - 1 <= most:
            raise self.wrong(f"a {self.keyword} line has another form", f"write: {form}")


def lines_of(text: str, plain: frozenset[str]) -> Iterator[Line]:
    """Yield every line that is not empty; lines with a keyword in `plain` have no options.

    Raises:
        Invalid: a quote is not closed or an option stands twice.
    """
    for number, row in enumerate(text.split("\n"), start=1):
        words = _words_of(row, number)
        if words:
            yield _line(number, words, plain)


def ranged(line: Line, name: str) -> Sequence[str]:
    """Return every name that `h[1-3]` stands for; zeros in front are kept (`a[001-100]`).

    Raises:
        Invalid: a range runs backwards or stands for more rows than a line may have.
    """
    if "[" not in name:
        return (name,)
    parts = _RANGE.split(name)
    spans = [range(int(low), int(high) + 1) for low, high in zip(parts[1::3], parts[2::3])]  # noqa: B905 (one list)
    count = 1
    for span in spans:
        count *= len(span)
    if not 0 < count <= MOST_IN_RANGE:
        raise line.wrong(
            f"{name!a} stands for {count} rows", f"name 1 to {MOST_IN_RANGE} rows: h[1-87]"
        )
    widths = [len(low) for low in parts[1::3]]
    choices = [
        [f"{number:0{width}}" for number in span] for span, width in zip(spans, widths, strict=True)
    ]
    return [_interleaved(parts[::3], numbers) for numbers in itertools.product(*choices)]


def _interleaved(texts: Sequence[str], numbers: Sequence[str]) -> str:
    return texts[0] + "".join(
        number + text for number, text in zip(numbers, texts[1:], strict=True)
    )


def _words_of(row: str, number: int) -> list[str]:
    if '"' not in row and "#" not in row:
        return row.split()
    words: list[str] = []
    place = 0
    while True:
        place += len(row[place:]) - len(row[place:].lstrip())
        if place == len(row) or row[place] == "#":
            return words
        found = _WORD.match(row, place)
        if found is None:
            raise Invalid(
                f"line {number}: a quote is not closed",
                fix='close it with ", and write a quote in a text as \\"',
                code="invalid-text-form",
            )
        words.append(found[0])
        place = found.end()


def _line(number: int, raw: Sequence[str], plain: frozenset[str]) -> Line:
    words: list[str] = []
    options: dict[str, str] = {}
    line = Line(number, tuple(raw), options)
    for word in raw:
        key, equals, value = word.partition("=")
        if not equals or '"' in key or raw[0] in plain:
            words.append(_unquoted(word, line) if '"' in word else word)
        elif key in options:
            raise line.wrong(f"{key!a} stands twice", "write it once")
        else:
            options[key] = _unquoted(value, line) if '"' in value else value
    return Line(number, tuple(words), options)


def _unquoted(word: str, line: Line) -> str:
    try:
        text = json.loads(word)
    except ValueError:
        text = None
    if isinstance(text, str):
        return text
    raise line.wrong(f"{word[:60]!a} is not a text in quotes", 'write "text", with \\" for a quote')
