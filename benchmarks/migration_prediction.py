# SPDX-License-Identifier: Apache-2.0
"""Foretold and found: a guest is assessed, then moved, over working sets and dirty rates."""

import asyncio
import json
import math
import statistics
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figure import Better, Figure
from benchmarks.migration_cases import say, tell
from benchmarks.migration_lab import HOSTS, Guest, Lab, link_mib_s, reader, writer
from benchmarks.migration_movers import Ours
from benchmarks.migration_pages import bad_pages, dump
from benchmarks.migration_trial import Trial, moved, settled
from billow.model.assessment import Assessment
from billow.model.kinds import MigrationPolicy
from billow.plan.convergence import Outlook, Verdict, outlook

WORKING_MIB = (16, 32, 64, 128, 256)
TIMES = (0.1, 0.5, 1.0, 2.0, 4.0)
"""Dirty rate over the link's bandwidth."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One working set and one dirty rate: what was foretold, and what came."""

    working_mib: int
    times: float
    assessment: Assessment
    ahead: Outlook
    found: Trial
    bad_pages: int

    @property
    def ratio(self) -> float:
        """Found time over foretold time."""
        return self.found.total_s / self.ahead.chosen.seconds

    @property
    def right(self) -> bool:
        """Whether the verdict was right: it ended or not, by itself or with a limit."""
        if not self.found.ended:
            return self.ahead.verdict is Verdict.WILL_NOT
        limited = Verdict.WITH_LIMIT if self.found.told.limited else Verdict.CONVERGES
        return self.ahead.verdict is limited

    def document(self, mbit: float) -> dict[str, object]:
        """Return everything, for whoever fits the model: one line of JSON."""
        guest, link = self.assessment.guest, self.assessment.link
        return {
            "mbit": mbit,
            "working_mib": self.working_mib,
            "times": self.times,
            "writers": [[w.dirty_mib_s, w.working_mib, w.busy] for w in guest.writers],
            "empty_share": guest.empty_share,
            "bandwidth_mib_s": link.bandwidth_mib_s,
            "downtime_s": link.downtime_s,
            "verdict": self.ahead.verdict.value,
            "foretold_s": self.ahead.chosen.seconds,
            "foretold_mib": self.ahead.chosen.sent_mib,
            "foretold_speeds": self.ahead.chosen.speeds,
            "found_s": self.found.total_s,
            "flow_s": self.found.told.copied_s,
            "sent_mib": self.found.sent_mib,
            "speeds": self.found.speeds,
            "ended": self.found.ended,
            "limited": self.found.told.limited,
            "words": self.found.told.words,
            "waited": self.found.waited,
        }


async def grid(lab: Lab, keep: Path | None) -> AsyncIterator[Cell]:
    """Assess and move a fresh guest for every working set and dirty rate."""
    for working in WORKING_MIB:
        for times in TIMES:
            cell = await _cell(lab, working, times)
            tell(cell.found)
            verdict = f"{cell.ahead.verdict}: {'right' if cell.right else 'WRONG'}"
            foretold = cell.ahead.chosen.seconds
            say(f"{working} MiB x {times}: foretold {foretold:.2f} s, {cell.ratio:.2f}; {verdict}")
            if keep:
                line = json.dumps(cell.document(lab.mbit))
                await asyncio.to_thread(_append, keep, line)
            yield cell


async def _cell(lab: Lab, working_mib: int, times: float) -> Cell:
    guest = Guest((writer(times * link_mib_s(lab.mbit), working_mib), reader(200, 32)))
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
        return Cell(working_mib, times, assessment, outlook(assessment), found, bad)
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
