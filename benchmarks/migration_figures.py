# SPDX-License-Identifier: Apache-2.0
"""The figures of a comparison: total time, what vCPUs keep of their work, how long they stall."""

import math
import statistics
from collections.abc import Iterator, Sequence

from benchmarks.figure import Better, Figure, Peer
from benchmarks.migration_cases import (
    BALANCED,
    DIRTY_LIMIT,
    OWN_AUTO_CONVERGE,
    OWN_POST_COPY,
    SHORTEST,
    Cases,
    check_pages,
)
from benchmarks.migration_movers import AGGRESSIVE, AUTO_CONVERGE, PLAIN, POST_COPY
from benchmarks.migration_trial import READER, WRITER, Trial

SHARES = ((AUTO_CONVERGE.name, 0.30), (AGGRESSIVE.name, 0.65), (DIRTY_LIMIT, 1.0))
"""Issue 4: balanced needs at most so much of each peer's total time."""
OURS = BALANCED[0]
_KEYS = {AUTO_CONVERGE.name: "auto_converge", AGGRESSIVE.name: "aggressive_auto_converge"}


def total_figures(cases: Cases) -> Iterator[Figure]:
    """Yield the total times, ours and beside them the peers'."""
    mine = cases.total_s(OURS)
    for peer, goal in SHARES:
        other = cases.total_s(peer)
        if peer in cases.trials:
            key = _KEYS.get(peer, "dirty_limit")
            yield Figure(f"migration_total_vs_{key}", mine / other, "x", goal=goal)
    for mode in cases.trials:
        if mode != OURS and math.isfinite(cases.total_s(mode)):
            yield Figure(f"migration_total, {mode}", cases.total_s(mode), "s")
    slow = Peer(AUTO_CONVERGE.name, cases.total_s(AUTO_CONVERGE.name))
    yield Figure(f"migration_total, {OURS}, median", mine, "s", peer=slow)
    ended = sum(each.ended for each in cases.trials.get(PLAIN.name, ()))
    yield Figure("migration_plain_pre_copy_ended", ended, "moves", goal=0)
    yield from _all_ended(cases)


def work_figures(cases: Cases) -> Iterator[Figure]:
    """Yield what readers and the writer keep, and how long they stall."""
    higher = Better.HIGHER
    slow = Peer(AUTO_CONVERGE.name, _least_median(cases, AUTO_CONVERGE.name, READER))
    keep = _least_median(cases, OURS, READER)
    yield Figure("migration_reader_work", keep, "%", goal=99, better=higher, peer=slow)
    for mode in (SHORTEST[0], OWN_POST_COPY[0], OWN_AUTO_CONVERGE[0], POST_COPY.name, DIRTY_LIMIT):
        if mode in cases.trials:
            kept = _least_median(cases, mode, READER)
            yield Figure(f"migration_reader_work, {mode}", kept, "%", better=higher)
    for mode in (OURS, AUTO_CONVERGE.name):
        beyond = 1000 * statistics.median(cases.stalls_beyond_s(mode, READER))
        goal = 50 if mode == OURS else None
        yield Figure(f"migration_reader_stall_beyond_downtime, {mode}", beyond, "ms", goal=goal)
    yield from _writer_figures(cases)


def _writer_figures(cases: Cases) -> Iterator[Figure]:
    free = Peer(
        "plain pre-copy, which limits nobody: what the copy itself costs",
        writer_work(cases, PLAIN.name),
    )
    keep = writer_work(cases, OURS)
    yield Figure("migration_writer_work", keep, "%", goal=70, better=Better.HIGHER, peer=free)
    for mode in cases.trials:
        if mode not in {OURS, PLAIN.name}:
            kept = writer_work(cases, mode)
            yield Figure(f"migration_writer_work, {mode}", kept, "%", better=Better.HIGHER)


def four_figures(cases: Cases) -> Iterator[Figure]:
    """Yield that of four vCPUs only the heavy writer slows."""
    higher = Better.HIGHER
    light = writer_work(cases, OURS, number=1)
    free = Peer(PLAIN.name, writer_work(cases, PLAIN.name, number=1))
    yield Figure("migration_four_light_writer_work", light, "%", goal=99, better=higher, peer=free)
    keep = _least_median(cases, OURS, READER)
    slow = Peer(AUTO_CONVERGE.name, _least_median(cases, AUTO_CONVERGE.name, READER))
    yield Figure("migration_four_reader_work", keep, "%", goal=99, better=higher, peer=slow)
    yield Figure("migration_four_heavy_writer_work", writer_work(cases, OURS), "%", better=higher)
    beyond = 1000 * statistics.median(cases.stalls_beyond_s(OURS, READER))
    yield Figure("migration_four_reader_stall_beyond_downtime", beyond, "ms", goal=50)
    for peer, _ in SHARES[:1]:
        share = cases.total_s(OURS) / cases.total_s(peer)
        yield Figure(f"migration_four_total_vs_{_KEYS[peer]}", share, "x", goal=0.30)
    yield from _all_ended(cases)


def page_figure(trials: Sequence[Trial]) -> Figure:
    """Return how many pages were wrong after all moves."""
    bad = sum(count for _, count in check_pages(trials))
    moves = sum(each.ended for each in trials)
    return Figure(f"migration_bad_pages, {moves} moves checked", bad, "pages", goal=0)


def _all_ended(cases: Cases) -> Iterator[Figure]:
    for mode in (OURS, SHORTEST[0], OWN_POST_COPY[0], OWN_AUTO_CONVERGE[0]):
        trials = cases.trials.get(mode, [])
        lost = sum(not each.ended for each in trials)
        if trials:
            yield Figure(f"migration_not_ended, {mode}", lost, "moves", goal=0)


def writer_work(cases: Cases, mode: str, number: int = 0) -> float:
    """Return the median work of one writer, %."""
    found = [each.of(WRITER, each.speeds)[number] for each in cases.trials.get(mode, ())]
    return statistics.median(found) if found else math.nan


def _least_median(cases: Cases, mode: str, role: str) -> float:
    """Return the median over moves of the work of that vCPU with a role that kept least, %."""
    found = [min(each.of(role, each.speeds)) for each in cases.trials.get(mode, ())]
    return statistics.median(found) if found else math.nan
