# SPDX-License-Identifier: Apache-2.0
"""The one-minute report of a cloud in text: the map, the answers, then what they rest on."""

from collections.abc import Iterator

from billow.cli.output import Document, Output
from billow.cli.report_lines import lines
from billow.cli.report_page import print_grid, print_page
from billow.model.counting import extent
from billow.plan.amounts import amount

ACROSS = 64
"""Hosts in a line of the map."""
ROWS = 5
"""Rows of a table where not everything is asked for."""
LEVELS = "▁▁▂▃▄▅▆▇█"
MARKS = {"failed": "X", "off": ".", "unknown": "?"}


def print_overview(output: Output, answer: Document, *, full: bool) -> None:
    """Print a report for people."""
    output.text("\n".join(_head(answer)))
    output.blank()
    output.text("\n".join(_map(answer["heat"])))
    output.blank()
    for each in answer["sections"]:
        shown = each["after"] or each["report"]
        output.text(f"{each['report']['title']}\n  {shown['summary']}")
    for each in answer["sections"]:
        if full:
            output.text(f"\n{'─' * 72}")
            print_page(output, each)
        else:
            _print_heads(output, each)
    if not full:
        output.text("\n--full prints every table, --html FILE writes a page to look at or to send")


def _print_heads(output: Output, section: Document) -> None:
    """Print the head of a section's first table; what a person should know where it has none."""
    shown = section["after"] or section["report"]
    for grid in shown["grids"][:1]:
        more = max(len(grid["rows"]) - ROWS, 0)
        cut = {"rows": grid["rows"][:ROWS], "left_out": grid["left_out"] + more, "note": ""}
        print_grid(output, {**grid, **cut})
    for each in shown["findings"][:ROWS] if section["key"] == "wrong" else ():
        output.text(f"{each['severity']}: {each['subject']}: {each['text']}")


def overview_lines(answer: Document) -> Iterator[list[str]]:
    """Yield a report for programs: `summary`, then lines of reports, the section's key first."""
    for each in answer["totals"]:
        yield ["total", "measure", each["key"], each["unit"], f"{each['value']:.12g}"]
    for patch in answer["heat"]["patches"]:
        for tile in patch["tiles"]:
            shares = (f"{tile[name]:.12g}" for name in ("cpu_reserved", "memory_reserved"))
            where = patch["zone"], patch["rack"]
            yield ["heat", "host", tile["host"], *where, *shares, str(tile["instances"])]
    for section in answer["sections"]:
        yield from ([section["key"], *each] for each in lines(section))


def _head(answer: Document) -> Iterator[str]:
    name = f"{answer['cloud']}: " if answer["cloud"] else ""
    yield f"{name}{extent(answer['hosts'], answer['instances'])}"
    yield "  ".join(f"{each['label']} {amount(each['value'], each['unit'], bare=True)}"
                    for each in answer["totals"])  # fmt: skip
    took = ", ".join(f"{seconds:.1f} s to {name}" for name, seconds in answer["took_s"].items())
    yield f"{took}; read-only, nothing was changed"


def _map(heat: Document) -> Iterator[str]:
    for patch in heat["patches"]:
        name = " / ".join(each for each in (patch["zone"], patch["rack"]) if each)
        if name:
            yield name
        signs = "".join(map(_sign, patch["tiles"]))
        yield from (f"  {signs[at : at + ACROSS]}" for at in range(0, len(signs), ACROSS))
    yield "each sign a host: ▁ empty to █ full (CPU or memory reserved)  X failed  . off  ? unknown"


def _sign(tile: Document) -> str:
    share = max(tile["cpu_reserved"], tile["memory_reserved"])
    level = LEVELS[min(max(int(share * len(LEVELS)), 0), len(LEVELS) - 1)]
    return MARKS.get(tile["mark"], level)
