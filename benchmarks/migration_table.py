# SPDX-License-Identifier: Apache-2.0
"""The table of a comparison, in Markdown: medians of what was measured, with the least and most."""

import math
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.machine import described
from benchmarks.migration_cases import Cases
from benchmarks.migration_trial import Trial


def table(file: Path, heading: str, cases: Cases) -> None:
    """Add the table of a comparison to a file; one with the same heading is replaced."""
    begin, end = f"<!-- begin {heading.split(',')[1].strip()} -->", "<!-- end -->"
    text = file.read_text() if file.exists() else ""
    fresh = "\n".join([begin, f"{heading}. {described()}.", "", *rows(cases), end, ""])
    head, found, rest = text.partition(begin)
    file.write_text(head + fresh + (rest.partition(f"{end}\n")[2] if found else ""))


def rows(cases: Cases) -> Iterator[str]:
    """Yield the rows: one per mode."""
    roles = next(iter(cases.trials.values()))[0].roles
    yield "| mode | total s | downtime ms | sent MiB | work % | longest stall ms | bad pages |"
    yield "|---|---|---|---|---|---|---|"
    for mode, trials in cases.trials.items():
        yield _row(mode, trials)
    yield ""
    yield f"Work and stalls in this order: {', '.join(roles)}."


def _row(mode: str, trials: Sequence[Trial]) -> str:
    cells = [
        mode,
        _total(trials),
        _spread([1000 * each.told.downtime_s for each in trials if each.ended]),
        _spread([each.sent_mib for each in trials]),
        _each([each.speeds for each in trials], 1),
        _each([tuple(1000 * one for one in each.stalls_s) for each in trials], 0),
        str(sum(each.bad_pages for each in trials if each.ended)),
    ]
    if not any(each.ended for each in trials):
        cells[2] = cells[6] = "-"
    return f"| {' | '.join(cells)} |"


def _total(trials: Sequence[Trial]) -> str:
    lost = sum(not each.ended for each in trials)
    if lost == len(trials):
        return f"no end ({lost} of {lost})"
    times = [each.total_s for each in trials if each.ended]
    note = f", no end in {lost} of {len(trials)}" if lost else ""
    return f"{statistics.median(times):.1f} ({min(times):.1f}-{max(times):.1f}){note}"


def _spread(values: Sequence[float]) -> str:
    known = [each for each in values if not math.isnan(each)]
    return f"{statistics.median(known):.0f}" if known else "-"


def _each(values: Sequence[Sequence[float]], digits: int) -> str:
    """Return the median of each vCPU."""
    medians = (statistics.median(column) for column in zip(*values, strict=True))
    return " / ".join(f"{each:.{digits}f}" for each in medians)
