# SPDX-License-Identifier: Apache-2.0
"""What was measured, in Markdown: a part of a page is replaced, the rest of the page is left alone.

A part stands between `<!-- begin KEY -->` and `<!-- end KEY -->`; a page without it gets it at its
end.
"""

import math
import os
import statistics
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.machine import described
from benchmarks.migration_cases import Cases
from benchmarks.migration_trial import Trial


def put(file: Path, key: str, heading: str, lines: Iterable[str]) -> None:
    """Put lines under a heading, with the machine, into the part of a page."""
    begin, end = f"<!-- begin {key} -->", f"<!-- end {key} -->"
    text = file.read_text() if file.exists() else ""
    fresh = "\n".join([begin, "", f"{heading} ({described()}):", "", *lines, "", end])
    head, found, rest = text.partition(begin)
    behind = rest.partition(end)[2] if found else "\n"
    file.write_text(head + fresh + behind)


def pictures_in(file: Path, pictures: Sequence[Path]) -> Iterator[str]:
    """Yield the lines that show pictures in a page."""
    for picture in pictures:
        where = os.path.relpath(picture.absolute(), file.absolute().parent)
        yield f"![{picture.stem.replace('-', ' ')}]({where})"
        yield ""


def figure_rows(figures: Iterable[Figure]) -> Iterator[str]:
    """Yield a table of figures."""
    yield "| figure | value | goal |"
    yield "|---|---|---|"
    for each in figures:
        yield f"| {each.name} | {each.value:.4g} {each.unit} | {each.goal_text or ''} |"


def rows(cases: Cases) -> Iterator[str]:
    """Yield a table of modes."""
    roles = next(iter(cases.trials.values()))[0].roles
    yield "| mode | total s | downtime ms | sent MiB | work % | longest stall ms | bad pages |"
    yield "|---|---|---|---|---|---|---|"
    for mode, trials in cases.trials.items():
        yield _row(mode, trials)
    yield ""
    yield f"Medians. Work and stalls in this order: {', '.join(roles)}."


def _row(mode: str, trials: Sequence[Trial]) -> str:
    ended = [each for each in trials if each.ended]
    cells = [
        mode,
        _total(trials),
        _median([1000 * each.told.downtime_s for each in ended]),
        _median([each.sent_mib for each in trials]),
        _each([each.speeds for each in trials], 1),
        _each([tuple(1000 * one for one in each.stalls_s) for each in trials], 0),
        str(sum(each.bad_pages for each in ended)) if ended else "-",
    ]
    return f"| {' | '.join(cells)} |"


def _total(trials: Sequence[Trial]) -> str:
    times = [each.total_s for each in trials if each.ended]
    lost = len(trials) - len(times)
    if not times:
        return f"no end ({lost} of {lost})"
    note = f", no end in {lost} of {len(trials)}" if lost else ""
    return f"{statistics.median(times):.1f} ({min(times):.1f}-{max(times):.1f}){note}"


def _median(values: Sequence[float]) -> str:
    known = [each for each in values if not math.isnan(each)]
    return f"{statistics.median(known):.0f}" if known else "-"


def _each(values: Sequence[Sequence[float]], digits: int) -> str:
    """Return the median of each vCPU."""
    medians = (statistics.median(column) for column in zip(*values, strict=True))
    return " / ".join(f"{each:.{digits}f}" for each in medians)
