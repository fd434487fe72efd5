# SPDX-License-Identifier: Apache-2.0
"""Foretold and found: a guest is assessed, then moved, over working sets and dirty rates.

Every other guest changes whole pages, so that nothing is gained by sending only what changed.
"""

import asyncio
import itertools
import math
import statistics
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from benchmarks.figure import Better, Figure
from benchmarks.migration_cases import say
from benchmarks.migration_lab import HOSTS, Guest, Lab, link_mib_s, reader, writer
from benchmarks.migration_movers import Ours
from benchmarks.migration_pages import bad_pages, dump
from benchmarks.migration_trial import moved, settled
from billow.model.assessment import Assessment
from billow.model.kinds import MigrationPolicy
from billow.plan.convergence import Outlook, Verdict, outlook

WORKING_MIB = (16, 32, 64, 128, 256)
TIMES = (0.1, 0.5, 1.0, 2.0, 4.0)
"""Dirty rate over the link's bandwidth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One working set and one dirty rate: what was measured before, and what came.

    Attributes:
        working_mib, times: What the writer was told; its rate is in times of the link.
        whole: Whether it changes whole pages.
        total_s: How long the move took; NaN when it did not end.
        limited: Whether anybody was slowed down.
        speeds: Work of each vCPU during the copy, %.
        waited: What the machine took from the guest, as a share.
    """

    working_mib: int
    times: float
    whole: bool
    assessment: Assessment
    total_s: float
    limited: bool
    sent_mib: float
    speeds: tuple[float, ...]
    words: str
    waited: float
    bad_pages: int

    @property
    def ahead(self) -> Outlook:
        """What is foretold from what was measured, by the code as it is now."""
        return outlook(self.assessment)

    @property
    def ended(self) -> bool:
        """Whether the guest arrived."""
        return math.isfinite(self.total_s)

    @property
    def ratio(self) -> float:
        """Found time over foretold time."""
        return self.total_s / self.ahead.chosen.seconds

    @property
    def right(self) -> bool:
        """Whether the verdict was right: it ended or not, by itself or with a limit."""
        if not self.ended:
            return self.ahead.verdict is Verdict.WILL_NOT
        limited = Verdict.WITH_LIMIT if self.limited else Verdict.CONVERGES
        return self.ahead.verdict is limited


CELLS = TypeAdapter(Cell)
"""Cells as JSON, one a line: with them the model can be fitted without another move."""


def recorded(file: Path) -> list[Cell]:
    """Return the cells that `--cells` kept."""
    return [CELLS.validate_json(line) for line in file.read_text().splitlines()]


async def grid(lab: Lab, keep: Path | None) -> AsyncIterator[Cell]:
    """Assess and move a fresh guest for every working set and dirty rate."""
    for place, (working, times) in enumerate(itertools.product(WORKING_MIB, TIMES)):
        cell = await _cell(lab, working, times, whole=place % 2 == 1)
        tell_cell(cell)
        if keep:
            await asyncio.to_thread(_append, keep, CELLS.dump_json(cell).decode())
        yield cell


def tell_cell(cell: Cell) -> None:
    """Say what was foretold and found."""
    ahead, words = cell.ahead, "right" if cell.right else "WRONG"
    rates = "/".join(f"{each.dirty_mib_s:.0f}" for each in cell.assessment.guest.writers)
    what = f"{cell.working_mib} MiB x {cell.times}{' whole' * cell.whole}"
    say(
        f"{what}: {cell.total_s:.2f} s, foretold "
        f"{ahead.chosen.seconds:.2f} s, {cell.ratio:.2f}; {ahead.verdict}: {words}; "
        f"writes {rates} of {cell.assessment.link.bandwidth_mib_s:.0f} MiB/s; {cell.words}; "
        f"machine took {100 * cell.waited:.0f} %"
    )


async def _cell(lab: Lab, working_mib: int, times: float, *, whole: bool) -> Cell:
    heavy = writer(times * link_mib_s(lab.mbit), working_mib, whole=whole)
    guest = Guest((heavy, reader(200, 32)))
    instance = await lab.boot(guest)
    try:
        await settled(lab, instance, guest)
        pages = await dump(lab.residence(HOSTS[0], instance).socket, guest.laid_out)
        assessment = await lab.engine.assess(instance, HOSTS[1])
        mover = Ours(policy=MigrationPolicy.BALANCED)
        name = f"{working_mib} MiB x {times}"
        found = await moved(lab, name, instance, guest, mover)
        line = lab.residence(HOSTS[1], instance).socket
        bad = await bad_pages(line, guest.laid_out, pages) if found.ended else 0
        return Cell(
            working_mib=working_mib,
            times=times,
            whole=whole,
            assessment=assessment,
            total_s=found.total_s,
            limited=found.told.limited,
            sent_mib=found.sent_mib,
            speeds=found.speeds,
            words=found.told.words,
            waited=found.waited,
            bad_pages=bad,
        )
    finally:
        await lab.remove(instance)


def prediction_figures(cells: Sequence[Cell]) -> Iterator[Figure]:
    """Yield how exact times were, and how often the verdict was right."""
    ended = [cell for cell in cells if math.isfinite(cell.ratio)]
    errors = [100 * abs(1 / cell.ratio - 1) for cell in ended]
    count = f"{len(cells)} moves"
    yield Figure(f"migration_prediction_error, median, {count}", statistics.median(errors), "%", 10)
    within = 100 * sum(cell.ratio <= 2 for cell in ended) / len(cells)
    higher = Better.HIGHER
    yield Figure("migration_within_twice_the_prediction", within, "%", goal=100, better=higher)
    right = 100 * sum(cell.right for cell in cells) / len(cells)
    yield Figure("migration_verdicts_right", right, "%", goal=98, better=higher)
    bad = sum(cell.bad_pages for cell in cells)
    yield Figure(f"migration_bad_pages, prediction, {count}", bad, "pages", goal=0)


def _append(file: Path, line: str) -> None:
    with file.open("a") as lines:
        lines.write(f"{line}\n")
