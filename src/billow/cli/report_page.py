# SPDX-License-Identifier: Apache-2.0
"""A report for people: figures with before and after, tables, pictures in text, findings."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from billow.cli.output import Column, Document, Output
from billow.cli.pictures import drawn
from billow.plan.amounts import UNKNOWN, amount, change, verdict

FIGURES = (Column("FIGURE", "label"), Column("VALUE", "value", right=True))
COMPARED = (
    Column("FIGURE", "label"),
    Column("BEFORE", "value", right=True),
    Column("AFTER", "after", right=True),
    Column("CHANGE", "change", right=True),
    Column("", "verdict"),
)
BOUND = Column("AT BEST", "bound", right=True)
NOTE = Column("", "note")


def print_page(output: Output, answer: Document) -> None:
    """Print a report, or two of them compared."""
    before, after = answer["report"], answer["after"]
    shown = after or before
    output.text(shown["title"])
    for word, each in (("before", before), ("after", after)) if after else (("", before),):
        output.text(f"{word}: {each['summary']}" if word else each["summary"])
    _print_measures(output, before, after)
    for grid in shown["grids"]:
        print_grid(output, grid, " after the plan" if after else "")
    for picture in shown["pictures"]:
        output.text("\n" + drawn(picture))
        if picture["note"]:
            output.text(picture["note"])
    if shown["findings"]:
        output.text("\n")
    for each in shown["findings"]:
        output.text(f"{each['severity']}: {each['subject']}: {each['text']}")


def _print_measures(output: Output, before: Document, after: Document) -> None:
    if not before["measures"]:
        return
    output.blank()
    rows = list(_compared(before, after))
    columns = list(COMPARED if after else FIGURES)
    columns += [each for each in (BOUND, NOTE) if any(row[each.name].strip() for row in rows)]
    output.table(columns, rows)


def _compared(before: Document, after: Document) -> Iterator[dict[str, Any]]:
    later = {each["key"]: each for each in after["measures"]} if after else {}
    for each in before["measures"]:
        unit, value = each["unit"], each["value"]
        then = later.get(each["key"], {})
        bound = then.get("bound", each["bound"]) if then else each["bound"]
        row = {
            "label": each["label"],
            "value": amount(value, unit),
            "after": amount(then.get("value"), unit),
            "change": change(value, then.get("value"), unit),
            "verdict": verdict(value, then.get("value"), each["better"]),
            "bound": "" if bound is None else amount(bound, unit),
            "note": then.get("note") or each["note"],
        }
        yield {name: text or " " for name, text in row.items()}


def print_grid(output: Output, grid: Document, when: str = "") -> None:
    """Print a table, a blank line before it."""
    output.blank()
    output.text(grid["title"] + when)
    columns = [
        Column(
            each["label"].upper(),
            str(place),
            partial(amount, unit=each["unit"], bare=True),
            right=_is_number(grid, place),
        )
        for place, each in enumerate(grid["columns"])
    ]
    output.table(columns, ({str(at): cell for at, cell in enumerate(row)} for row in grid["rows"]))
    if not grid["rows"]:
        output.text(UNKNOWN)
    if grid["left_out"]:
        output.text(f"and {grid['left_out']:,} more")
    if grid["note"]:
        output.text(grid["note"])


def _is_number(grid: Document, place: int) -> bool:
    cells = [row[place] for row in grid["rows"] if row[place] is not None]
    return bool(cells) and not any(isinstance(cell, str) for cell in cells)
