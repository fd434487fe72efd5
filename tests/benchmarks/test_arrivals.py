# SPDX-License-Identifier: Apache-2.0
"""The replay of arrivals counts what happens, and never calls moves placement."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks import arrivals
from benchmarks.arrivals_moves import Moving
from benchmarks.arrivals_replay import FirstFit, Together, replay
from benchmarks.arrivals_trace import COLUMNS, Trace, read

BIN_S = 300.0


def trace_of(days: float = 1.0, each: int = 4) -> Trace:
    """Batches every five minutes; every third lives long."""
    bins = int(days * 86_400 / BIN_S)
    count = bins * each
    generator = np.random.default_rng(3)
    arrival = np.repeat(np.arange(bins) * BIN_S, each)
    life = np.where(np.arange(count) // each % 3 == 0, 8.0, 0.4) * 3600
    life *= generator.uniform(0.5, 1.5, count)
    cores = generator.choice([1, 2, 4, 8], count)
    batch = np.repeat(np.arange(bins), each)
    return Trace(arrival, batch, cores, cores * 2.0, arrival + life)


def write(trace: Trace, path: Path) -> Path:
    life = trace.leaves_s - trace.arrival_s
    columns = (trace.arrival_s, trace.batch, trace.cores, trace.memory_gb, life, life)
    rows = [",".join(COLUMNS)]
    rows += [
        ",".join(f"{value!r}" for value in row) + ",0"
        for row in zip(*(column.tolist() for column in columns), strict=True)
    ]
    path.write_text("\n".join(rows))
    return path


def test_one_instance_costs_its_life() -> None:
    zero = np.zeros(1)
    late = np.array([0.0, 3600.0, 10_800.0])
    trace = Trace(
        late, np.arange(3), np.array([64, 64, 1]), np.ones(3), np.array([7200.0, 5400.0, np.inf])
    )
    result = replay(trace, FirstFit())
    assert result.host_hours == pytest.approx(2.5)  # of the last, which comes at the end, nothing
    assert (result.peak_hosts, result.moves) == (2, 0)
    alone = Trace(zero, zero.astype(np.int64), np.ones(1, dtype=np.int64), zero, zero + 60)
    assert replay(alone, Together(alone)).host_hours == 0


def test_moves_are_counted_within_their_budget_and_save_host_hours() -> None:
    trace = trace_of()
    alone, moved = replay(trace, Together(trace)), replay(trace, Moving(trace, 60))
    assert alone.moves == 0
    assert 0 < moved.moves <= 60
    assert moved.floor_host_hours <= moved.host_hours < alone.host_hours


def test_without_a_budget_moving_is_placement_alone() -> None:
    trace = trace_of()
    assert replay(trace, Moving(trace, 0)).host_hours == replay(trace, Together(trace)).host_hours


def test_a_given_trace_gives_one_object_that_tells_moves_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = trace_of(0.5)
    parser = argparse.ArgumentParser()
    arrivals.arguments(parser)
    asked = parser.parse_args(
        ["--trace", str(write(trace, tmp_path / "t.csv")), "--moves-a-day", "60"]
    )
    asked.json = True
    assert list(arrivals.figures(asked)) == []
    found = json.loads(capsys.readouterr().out)
    assert found["host_hours"] == round(replay(trace, Together(trace)).host_hours, 1)
    assert found["first_fit_host_hours"] == round(replay(trace, FirstFit()).host_hours, 1)
    assert found["host_hours_with_moves"] < found["host_hours"]
    assert (found["moves_a_day"], found["moves"] <= 30) == (60, True)


def test_what_is_no_trace_is_said(tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("arrival_s,batch\n0,1\n")
    with pytest.raises(SystemExit, match="has no column cores, mem_gb"):
        read(bad)
    with pytest.raises(SystemExit, match="give one with --trace FILE"):
        read(tmp_path / "absent.csv")
