# SPDX-License-Identifier: Apache-2.0
"""The benchmark of live migration sees a page that is wrong, and draws what was measured."""

import math
import os
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from benchmarks.migration_cases import BALANCED, Cases
from benchmarks.migration_figures import total_figures, work_figures
from benchmarks.migration_lab import HOSTS, Guest, open_lab, reader, writer
from benchmarks.migration_movers import AGGRESSIVE, AUTO_CONVERGE, PLAIN, Ours
from benchmarks.migration_pages import bad_pages, dump, newest_counts, wrong_pages
from benchmarks.migration_pictures import bars, lines
from benchmarks.migration_table import put, rows
from benchmarks.migration_trial import Told, Trial, settled, trial
from benchmarks.migration_watch import GuestMemory, Mark, Sample, arrival, courses

from billow.engines.qemu.process import process_id
from billow.firmware.control import FACTOR
from billow.model.kinds import MigrationPolicy

SMALL = Guest((writer(4, 4), reader(20, 4)), memory_mib=64)


def done(name: str, total_s: float, work: float = 100.0) -> Trial:
    ended = math.isfinite(total_s)
    told = Told(ended=ended, done_at=total_s, downtime_s=0.2)
    return Trial(
        name=name,
        roles=("writer", "reader"),
        told=told,
        total_s=total_s if ended else math.nan,
        sent_mib=300.0,
        speeds=(work, 99.5),
        overall=(work, 96.0),
        stalls_s=(0.3, 0.22),
        courses=(((0.1, work), (0.4, work)), ((0.1, 100.0), (0.4, 99.0))),
        bad_pages=0 if ended else -1,
    )


def compared() -> Cases:
    trials = {
        BALANCED[0]: [done(BALANCED[0], each, 75) for each in (6.0, 7.0, 5.0)],
        AUTO_CONVERGE.name: [done(AUTO_CONVERGE.name, each, 50) for each in (24.0, 20.0, 30.0)],
        AGGRESSIVE.name: [done(AGGRESSIVE.name, 12.0)],
        PLAIN.name: [done(PLAIN.name, math.inf)],
    }
    return Cases(SMALL, trials)


def test_each_page_of_a_writer_has_one_newest_count() -> None:
    """Five pages, seven writes: the first two were written twice."""
    counts = np.array([6, 7, 3, 4, 5])
    assert newest_counts(counts, work=7, batch=4).tolist() == [6, 7, 3, 4, 5]
    assert newest_counts(counts, work=5, batch=4).tolist() == [6, 7, 3, 4, 5], "not said yet"
    assert newest_counts(np.array([6, 2, 3, 4, 5]), 7, 0).tolist() == [-1] * 5, "lost the seventh"
    stale = newest_counts(np.array([6, 7, -2, 4, 5]), 7, 4)
    assert (stale != np.array([6, 7, -2, 4, 5])).sum() == 1
    assert newest_counts(np.array([1, 2, 99, 99, 99]), 2, 0).tolist() == [1, 2, 0, 0, 0]


def test_a_page_that_was_being_written_when_the_guest_stopped_is_not_a_wrong_one() -> None:
    """Five whole pages, seven writes, the seventh half done: any other mixture is wrong."""
    orders = replace(writer(4, 4, whole=True), pages=5)
    numbers = np.arange(512, dtype=np.uint64)
    counts = np.array([6, 7, 3, 4, 5], dtype=np.uint64)
    before = np.zeros((5, 512), dtype=np.uint64)
    now = (counts[:, None] + numbers) * np.uint64(FACTOR)
    now[:, 0], now[:, 1] = 0, counts
    begun = now.copy()
    begun[1, 100:] = (2 + numbers[100:]) * np.uint64(FACTOR)
    assert [wrong_pages(orders, 7, before, each) for each in (now, begun)] == [0, 0]
    torn, behind, never = begun.copy(), now.copy(), now.copy()
    torn[1, 300] = now[1, 300]
    behind[0, 100:] = (1 + numbers[100:]) * np.uint64(FACTOR)
    never[1, 100:] = before[1, 100:]
    assert [wrong_pages(orders, 7, before, each) for each in (torn, behind, never)] == [1, 1, 1]
    first = before.copy()
    first[0, :100], first[0, 0] = (1 + numbers[:100]) * np.uint64(FACTOR), 0
    first[0, 1] = 1
    assert wrong_pages(orders, 1, before, first) == 0


def test_work_over_time_follows_the_guest_to_its_new_host() -> None:
    """A hundred units a second, a tenth of a second of standstill between the hosts."""
    samples = [Sample(at / 10, "a", (Mark(at * 10, 0, at),)) for at in range(10)]
    samples += [Sample(at / 10, "b", (Mark(50, 0, 5),)) for at in range(5, 10)]
    samples += [Sample(1 + at / 10, "b", (Mark(90 + at * 10, 0, 11 + at),)) for at in range(10)]
    samples.sort(key=lambda sample: sample.at)
    came = arrival(samples, "a", "b")
    assert came is not None
    assert came.at == pytest.approx(1.0)
    (course,) = courses(samples, [100.0], 0.5)
    assert [round(work) for _, work in course] == [100, 80, 100]
    assert arrival(samples[:12], "a", "b") is None


def test_figures_stand_beside_their_peers() -> None:
    found = {each.name: each for each in [*total_figures(compared()), *work_figures(compared())]}
    share = found["migration_total_vs_auto_converge"]
    assert (share.value, share.goal, share.reached) == (0.25, 0.30, True)
    assert found["migration_total_vs_aggressive_auto_converge"].value == 0.5
    assert found["migration_plain_pre_copy_ended"].reached
    stall = found[f"migration_reader_stall_beyond_downtime, {BALANCED[0]}"]
    assert stall.value == pytest.approx(20)
    assert found["migration_writer_work"].value == 75


def test_pictures_and_tables_hold_every_mode(tmp_path: Path) -> None:
    cases = compared()
    for picture in (bars(cases), lines(cases)):
        words = " ".join(ET.fromstring(picture).itertext())  # noqa: S314  # our own
        assert all(mode in words for mode in cases.trials)
    assert "no end" in bars(cases)
    file = tmp_path / "table.md"
    for name in ("one", "two", "one"):
        put(file, name, "QEMU 0", rows(cases))
    text = file.read_text()
    assert [text.count(f"<!-- {word} one -->") for word in ("begin", "end")] == [1, 1]
    assert text.count("| Billow balanced | 6.0 (5.0-7.0) |") == 2
    assert text.count("no end (1 of 1)") == 2


@pytest.mark.qemu
@pytest.mark.anyio
async def test_a_real_move_is_measured_and_a_wrong_page_is_seen() -> None:
    async with open_lab(840) as lab:
        moves = (("ours", Ours(policy=MigrationPolicy.BALANCED)), ("peer", replace(PLAIN)))
        for name, mover in moves:
            found = await trial(lab, name, SMALL, mover)
            assert (found.ended, found.bad_pages) == (True, 0)
            assert found.total_s > 0
            assert min(found.speeds) > 0
        instance = await lab.boot(SMALL)
        await settled(lab, instance, SMALL)
        residence = lab.residence(HOSTS[0], instance)
        pages = await dump(residence.socket, SMALL.laid_out)
        process = process_id(residence)
        assert process is not None
        memory = GuestMemory(process, SMALL.memory_mib)
        for orders in SMALL.laid_out:
            os.pwrite(memory.handle, b"stale", memory.begin + orders.base + 4096 * 3 + 64)
        memory.close()
        assert await bad_pages(residence.socket, SMALL.laid_out, pages) == 2
