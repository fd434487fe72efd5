# SPDX-License-Identifier: Apache-2.0
"""The replay of hot spots: intervals join, halves are told apart, and hopeless runs end early."""

import gzip
from pathlib import Path

import numpy as np
from benchmarks.hotspot_replay import Moves, replayed_on
from benchmarks.hotspot_traces import Trace, bitbrains, halves

from billow.model.pool import Pool

HEADER = "id,t_s,dur_s,cpu_count,cap_mhz,cpu_mhz\n"
DAYS_S = 5 * 86_400


def still(_: Pool) -> Moves:
    return ()


def steady(length: int, share: float) -> Trace:
    bought = np.full(8, 4000)
    return Trace("steady", bought, np.full((8, length), 4000 * share), bought)


def test_a_sample_holds_for_the_time_before_it(tmp_path: Path) -> None:
    path = tmp_path / "bitbrains_few.csv.gz"
    rows = [(0, 300, 10), (300, 300, 20), (900, 600, 50), (DAYS_S, 300, 0)]
    with gzip.open(path, "wt") as file:
        file.write(HEADER + "".join(f"a,{at},{held},2,100,{mhz}\n" for at, held, mhz in rows))
    wanted = bitbrains(path).wanted
    assert wanted[0, :4].tolist() == [200.0, 400.0, 1000.0, 1000.0]
    assert np.isnan(wanted[0, 4:]).all()


def test_the_second_half_is_held_out() -> None:
    first, second = halves(steady(10, 0.5))
    assert (first.wanted.shape[1], second.wanted.shape[1]) == (5, 5)
    assert (first.held_out, second.held_out) == (False, True)


def test_overload_is_time_above_what_a_host_has() -> None:
    assert replayed_on(steady(12, 0.4), 8.0, 2, still).over == 0
    assert replayed_on(steady(12, 0.6), 8.0, 2, still).over == 1


def test_a_hopeless_run_ends_early() -> None:
    looks: list[float] = []

    def watching(pool: Pool) -> Moves:
        looks.append(pool.taken_at)
        return ()

    found = replayed_on(steady(100, 0.6), 8.0, 2, watching, give_up=(0.05, 5.0))
    assert found.over > 0.05
    assert len(looks) == 6


def test_every_move_counts_for_a_day() -> None:
    counted: list[int | None] = []

    def restless(pool: Pool) -> Moves:
        assert pool.history is not None
        counted.append(pool.history.moved)
        return [(0, 1 - int(pool.instances.host[0]))]

    found = replayed_on(steady(290, 0.1), 8.0, 2, restless)
    assert counted[:3] == [0, 1, 2]
    assert counted[-1] == 288
    assert found.moves > 140
