# SPDX-License-Identifier: Apache-2.0
"""A report for programs: a line per figure, row, value and finding, the kind of line first.

    summary   TEXT                          once, and again for the one after a plan
    measure   KEY UNIT VALUE [AFTER]
    row       GRID CELL ...                 the cells of what is shown, exact
    value     PICTURE LABEL SERIES VALUE
    finding   SEVERITY SUBJECT TEXT

With a plan, grids, pictures and findings are those after it.
"""

from collections.abc import Iterator

from billow.cli.output import Document

Cells = list[str]


def lines(answer: Document) -> Iterator[Cells]:
    """Yield the cells of each line."""
    before, after = answer["report"], answer["after"]
    yield from (["summary", each["summary"]] for each in (before, after) if each)
    yield from _measures(before, after)
    shown = after or before
    for grid in shown["grids"]:
        yield from (["row", grid["key"], *map(_exact, row)] for row in grid["rows"])
    for picture in shown["pictures"]:
        yield from _values(picture)
    for finding in shown["findings"]:
        yield ["finding", finding["severity"], finding["subject"], finding["text"]]


def _measures(before: Document, after: Document) -> Iterator[Cells]:
    later = {each["key"]: each["value"] for each in after["measures"]} if after else {}
    for each in before["measures"]:
        more = [_exact(later.get(each["key"]))] if after else []
        yield ["measure", each["key"], each["unit"], _exact(each["value"]), *more]


def _values(picture: Document) -> Iterator[Cells]:
    for place, label in enumerate(picture["labels"]):
        for series in picture["series"]:
            value = _exact(series["values"][place])
            yield ["value", picture["key"], _exact(label), series["name"], value]


def _exact(value: object) -> str:
    """Return a cell with all digits that count; nothing for null."""
    return f"{value:.12g}" if isinstance(value, float) else "" if value is None else str(value)
