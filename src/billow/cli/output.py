# SPDX-License-Identifier: Apache-2.0
"""How answers are printed: a table on a terminal, tab-separated values in a pipe, JSON on demand.

Data goes to stdout, talk to stderr. Whatever comes from elsewhere is stripped of control
characters, so that no name or reason can steer a terminal or break a line of a table.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO, TypeAlias

Document: TypeAlias = Any
"""What JSON holds; the server's schemas say what."""
Row = Mapping[str, Any]
MARK = "\N{REPLACEMENT CHARACTER}"
TIMES = frozenset(
    {
        *("at", "closed_at", "created_at", "ended_at", "expires_at", "last_used_at", "opened_at"),
        *("started_at", "taken_at", "until"),
    }
)
"""Fields that hold seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes:
        title: Its head on a terminal.
        name: The field of the document that it shows.
        shown: How a value reads on a terminal; in a pipe it is always exact.
        right: Whether it stands on the right, as numbers do.
    """

    title: str
    name: str
    shown: Callable[[Any], str] | None = None
    right: bool = False


class Output:
    """Where data and talk go."""

    def __init__(self, out: TextIO, talk: TextIO, *, as_json: bool = False) -> None:
        self._out = out
        self._talk = talk
        self.as_json = as_json
        self.for_people = out.isatty() and not as_json

    def document(self, document: object) -> None:
        """Print an answer as JSON: indented on a terminal, one line in a pipe."""
        indent = 2 if self._out.isatty() else None
        text = json.dumps(document, indent=indent, ensure_ascii=False, allow_nan=False)
        self._out.write(text + "\n")

    def table(self, columns: Sequence[Column], rows: Iterable[Row]) -> None:
        """Print rows: as a table for people, else as tab-separated values without a head."""
        if self.for_people:
            self._rich_table(columns, rows)
            return
        for row in rows:
            cells = (clean(exact(row.get(column.name), column)) for column in columns)
            self._out.write("\t".join(cells) + "\n")

    def record(self, columns: Sequence[Column], row: Row) -> None:
        """Print one thing, a line per field."""
        for column in columns:
            value = row.get(column.name)
            text = clean(_for_people(value, column) if self.for_people else exact(value, column))
            gap = f"{column.title + ':':<16} " if self.for_people else f"{column.name}\t"
            self._out.write(f"{gap}{text}\n")

    def lines(self, lines: Iterable[Sequence[str]]) -> None:
        """Print lines of tab-separated cells, as many as each has."""
        for cells in lines:
            self._out.write("\t".join(map(clean, cells)) + "\n")

    def blank(self) -> None:
        """Print an empty line between two parts."""
        self._out.write("\n")

    def text(self, text: str) -> None:
        """Print text, line by line."""
        for line in text.splitlines():
            self._out.write(clean(line) + "\n")

    def flush(self) -> None:
        """Let what was printed be seen now."""
        self._out.flush()

    def say(self, text: str) -> None:
        """Say something to the person, beside the data."""
        for line in text.splitlines():
            self._talk.write(clean(line) + "\n")
        self._talk.flush()

    def _rich_table(self, columns: Sequence[Column], rows: Iterable[Row]) -> None:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column.title, justify="right" if column.right else "left")
        for row in rows:
            cells = (clean(_for_people(row.get(column.name), column)) for column in columns)
            table.add_row(*map(Text, cells))
        Console(file=self._out, highlight=False).print(table)


def standard(*, as_json: bool = False) -> Output:
    """Return the output that a command has."""
    return Output(sys.stdout, sys.stderr, as_json=as_json)


def clean(text: str) -> str:
    """Return text without control characters; what was one is shown as a mark."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else MARK for c in text)


def exact(value: object, column: Column | None = None) -> str:
    """Return a value as a program wants it: times in UTC, nothing for null."""
    if isinstance(value, float) and column is not None and column.name in TIMES:
        return utc(value) if value else ""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ",".join(map(exact, value))
        case dict():
            return " ".join(f"{key}={exact(each)}" for key, each in value.items())
        case _:
            return f"{value:g}" if isinstance(value, float) else str(value)


def _for_people(value: object, column: Column) -> str:
    if value in (None, "", [], {}):
        return "-"
    return column.shown(value) if column.shown else exact(value, column)


def utc(seconds: float) -> str:
    """Return a time exactly, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def when(seconds: float) -> str:
    """Return a time as people here say it, with UTC where that differs; `-` for never."""
    if not seconds:
        return "-"
    world = datetime.fromtimestamp(seconds, UTC)
    here = world.astimezone()
    if not here.utcoffset():
        return f"{world:%Y-%m-%d %H:%M:%S}Z"
    return f"{here:%Y-%m-%d %H:%M:%S} ({world:%H:%M}Z)"
