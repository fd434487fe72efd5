# SPDX-License-Identifier: Apache-2.0
"""Live migration: total time, work that is kept, the promised downtime, prediction; beside peers.

Real guests move between two hosts of this machine over a really shaped link. The whole takes about
35 minutes; `--only` takes parts of it (minutes on two quiet cores):

    total       11   total time and work of all policies and peers, three runs each
    work        11   the same moves; with `total` they are made once
    whole        2   a writer that changes whole pages, beside what is possible there at all
    four         5   four vCPUs: a heavy writer, a light one, two readers
    downtime    10   the promised downtime, 50 moves each with 300 and 50 ms
    prediction   6   25 guests are assessed, then moved
    pages            pages that were wrong after all moves of the chosen parts
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.migration_bound import bound_figures
from benchmarks.migration_cases import (
    BALANCED,
    OWN_AUTO_CONVERGE,
    OWN_POST_COPY,
    SHORTEST,
    Cases,
    Mode,
    best_limit,
    compared,
    keepable_mbit,
    peers,
    say,
)
from benchmarks.migration_downtime import PROMISES_S, downtime_figures, to_and_fro
from benchmarks.migration_figures import four_figures, page_figure, total_figures, work_figures
from benchmarks.migration_lab import Lab, four_cpus, one_writer, open_lab, small_writer, use_qemu
from benchmarks.migration_movers import AUTO_CONVERGE, PLAIN
from benchmarks.migration_pictures import draw
from benchmarks.migration_prediction import grid, prediction_figures, recorded, tell_cell
from benchmarks.migration_table import figure_rows, pictures_in, put, rows
from benchmarks.migration_trial import Trial

PARTS = ("total", "work", "whole", "four", "downtime", "prediction", "pages")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take what to measure, on which QEMU, and where pictures and the table go."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = __doc__
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument("--qemu", type=Path, help="folder with another QEMU (labs/qemu)")
    parser.add_argument("--mbit", type=float, help="the link; without it, what this machine keeps")
    parser.add_argument("--tls", action="store_true", help="encrypt Billow's moves, not the peers'")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--moves", type=int, default=50, help="per promise of a downtime")
    parser.add_argument("--pictures", type=Path, help="folder for the SVG pictures")
    parser.add_argument("--table", type=Path, help="Markdown page whose tables are replaced")
    parser.add_argument("--cells", type=Path, help="file that gets what prediction saw")
    parser.add_argument("--foretell", type=Path, help="such a file: foretell anew, move nothing")


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Measure what was chosen, part by part."""
    chosen = set(arguments.only.split(","))
    if unknown := chosen - set(PARTS):
        sys.exit(f"--only knows {', '.join(PARTS)}, not {', '.join(sorted(unknown))}")
    use_qemu(arguments.qemu)
    if arguments.foretell:
        yield from _foretold(arguments.foretell)
        return
    steps = _measured(arguments, chosen)
    with asyncio.Runner() as runner:
        while (figure := runner.run(_next(steps))) is not None:
            yield figure


def _foretold(file: Path) -> Iterator[Figure]:
    cells = recorded(file)
    for cell in cells:
        tell_cell(cell)
    yield from prediction_figures(cells)


async def _next(steps: AsyncIterator[Figure]) -> Figure | None:
    """Return the next figure. Who ends this process ends its guests too."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await anext(steps, None)


async def _measured(arguments: argparse.Namespace, chosen: set[str]) -> AsyncIterator[Figure]:
    async with open_lab(840, encrypted=arguments.tls) as lab:
        await lab.shape(arguments.mbit or await keepable_mbit(lab))
        say(f"QEMU {lab.findings.version}, a link of {lab.mbit:.0f} Mbit/s")
        trials: list[Trial] = []
        async for figure in _of_cases(lab, arguments, chosen, trials):
            yield figure
        if trials:
            yield page_figure(trials)
        for part in ("downtime", "prediction"):
            if part in chosen:
                found = await _PARTS[part](lab, arguments)
                _note(arguments, lab, part, figure_rows(found))
                for figure in found:
                    yield figure


async def _of_cases(
    lab: Lab, arguments: argparse.Namespace, chosen: set[str], trials: list[Trial]
) -> AsyncIterator[Figure]:
    """Yield the figures of all comparisons that were chosen; add their moves to `trials`."""
    one: Cases | None = None
    if chosen & {"total", "work"}:
        one = await _one(lab, arguments.runs)
        trials += one.all
        for figure in _of_one(one, chosen):
            yield figure
        _show(arguments, lab, one, "one-writer")
    if "whole" in chosen:
        guest = one_writer(lab.mbit, whole=True)
        whole = await compared(lab, guest, [BALANCED, SHORTEST], arguments.runs)
        trials += whole.all
        bounds = list(bound_figures(whole, lab.mbit, one))
        for figure in bounds:
            yield figure
        _show(arguments, lab, whole, "whole-pages", figure_rows(bounds))
    if "four" in chosen:
        four = await _four(lab, arguments.runs)
        trials += four.all
        for figure in four_figures(four):
            yield figure
        _show(arguments, lab, four, "four-vcpus")


async def _one(lab: Lab, runs: int) -> Cases:
    guest = one_writer(lab.mbit)
    best = await best_limit(lab, guest)
    own = [BALANCED, SHORTEST, OWN_POST_COPY, OWN_AUTO_CONVERGE]
    return await compared(lab, guest, [*own, *peers(best)], runs)


async def _four(lab: Lab, runs: int) -> Cases:
    alone: list[Mode] = [(each.name, each) for each in (AUTO_CONVERGE, PLAIN)]
    modes = [BALANCED, SHORTEST, OWN_POST_COPY, *alone]
    return await compared(lab, four_cpus(lab.mbit), modes, runs)


def _of_one(one: Cases, chosen: set[str]) -> Iterator[Figure]:
    if "total" in chosen:
        yield from total_figures(one)
    if "work" in chosen:
        yield from work_figures(one)


async def _downtime(lab: Lab, arguments: argparse.Namespace) -> list[Figure]:
    figures: list[Figure] = []
    for promise_s in PROMISES_S:
        guest, trials, bad = small_writer(lab.mbit), list[Trial](), 0
        async for found, wrong in to_and_fro(lab, guest, promise_s, arguments.moves):
            trials.append(found)
            bad += wrong
        figures += downtime_figures(promise_s, trials, bad)
    return figures


async def _prediction(lab: Lab, arguments: argparse.Namespace) -> list[Figure]:
    cells = [cell async for cell in grid(lab, arguments.cells)]
    return list(prediction_figures(cells))


_PARTS: Mapping[str, Callable[[Lab, argparse.Namespace], Awaitable[list[Figure]]]] = {
    "downtime": _downtime,
    "prediction": _prediction,
}


def _show(
    arguments: argparse.Namespace, lab: Lab, cases: Cases, part: str, more: Iterable[str] = ()
) -> None:
    """Write the pictures and the table of one comparison, where they are wanted."""
    pictures = []
    if arguments.pictures:
        pictures = draw(arguments.pictures, f"{part}-{_qemu(lab)}", cases)
    lines = [*rows(cases), "", *more, ""]
    if arguments.table:
        lines += pictures_in(arguments.table, pictures)
    _note(arguments, lab, part, lines)


def _note(arguments: argparse.Namespace, lab: Lab, part: str, lines: Iterable[str]) -> None:
    """Write lines into the page, where one is given."""
    if arguments.table:
        heading = f"QEMU {lab.findings.version}, a link of {lab.mbit:.0f} Mbit/s"
        put(arguments.table, f"{part}-{_qemu(lab)}", heading, lines)


def _qemu(lab: Lab) -> str:
    return f"qemu{lab.findings.version.partition('.')[0]}"
