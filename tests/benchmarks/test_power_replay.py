# SPDX-License-Identifier: Apache-2.0
"""The replay of a day counts as its rules say, and shows a controller nothing of what comes."""

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.power import figures
from benchmarks.power_control import billow_day
from benchmarks.power_peer import LocalRegression
from benchmarks.power_replay import Day, Standing, read, replay

from billow.model.pool import Pool

STEPS = 12


@pytest.fixture(name="trace")
def fixture_trace(tmp_path: Path) -> Path:
    """Write a day of 80 instances that use 0 to 60 %, lines in any order."""
    percent = np.random.default_rng(4).integers(0, 60, (80, STEPS))
    lines = [f"vm-{row:02}," + ",".join(map(str, values)) for row, values in enumerate(percent)]
    path = tmp_path / "planetlab_20000101.csv"
    path.write_text("\n".join(reversed(lines)) + "\n")
    return path


def still(day: Day) -> Standing:
    """Put the first instance on the first G4 and all others on the first G5."""
    host = np.full(len(day.demand), 400)
    host[0] = 0
    return Standing(host, np.isin(np.arange(800), [0, 400]))


def test_a_trace_is_read_by_name(trace: Path) -> None:
    day = read(trace)
    assert day.demand.shape == (80, STEPS)
    assert np.bincount(day.kind).tolist() == [20, 20, 20, 20]
    assert day.demand[:20].max() <= 2500 * 0.6
    assert day.demand[-20:].max() <= 500 * 0.6


def test_who_stays_put_draws_its_curve(trace: Path) -> None:
    """One G4 with one instance, one overfull G5: energy and overload by hand."""
    day = read(trace)
    outcome = replay(day, still(day), lambda pool: still(day))
    load = np.minimum(day.demand[0] / 3720, 1)
    points = [86, 89.4, 92.6, 96, 99.5, 102, 106, 108, 112, 114, 117]
    first = np.interp(load, np.linspace(0, 1, 11), points).sum() * 300
    assert outcome.joules == pytest.approx(first + STEPS * 135 * 300)
    assert (outcome.moves, outcome.active_steps) == (0, 2 * STEPS)
    assert outcome.slatah == 0.5


def test_moves_are_counted_and_cost_what_they_last(trace: Path) -> None:
    day = read(trace)

    def swap(pool: Pool) -> Standing:
        standing = still(day)
        standing.host[0] = 0 if pool.taken_at > 600 else 400
        return standing

    outcome = replay(day, still(day), swap)
    assert outcome.moves == 4 - 2  # away at the first two samples at once, and back
    lost = 0.1 * (day.demand[0, 1] + day.demand[0, 3]) * 870 / 62.5
    assert outcome.pdm == pytest.approx(lost / (day.demand.sum() * 300))


def test_a_controller_sees_no_sample_to_come(trace: Path) -> None:
    day = read(trace)
    seen = []

    def look(pool: Pool) -> Standing:
        assert pool.history is not None
        seen.append(pool.history.cpu.shape[1])
        assert pool.history.cpu == pytest.approx(day.demand[:, : len(seen)], rel=1e-6)
        return still(day)

    replay(day, still(day), look)
    assert seen == list(range(1, STEPS))


def test_the_future_changes_nothing_before_it(trace: Path) -> None:
    """Two days that differ from the eighth sample on have the same hosts on until then."""
    day = read(trace)
    other = Day(day.name, day.demand.copy(), day.kind)
    other.demand[:, 8:] *= 1.5
    assert billow_day(day).hosts[:8] == billow_day(other).hosts[:8]


def test_one_trace_prints_one_object(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(figures(Namespace(trace=trace, data=trace.parent, json=True))) == []
    said = json.loads(capsys.readouterr().out)
    assert set(said) == {"kwh", "floor_kwh", "moves", "slatah"}
    assert said["kwh"] > said["floor_kwh"] > 0
    assert said["kwh"] == pytest.approx(billow_day(read(trace)).kwh, abs=0.001)


def test_the_peer_relieves_and_empties(trace: Path) -> None:
    day = read(trace)
    outcome = replay(day, still(day), LocalRegression(day))
    assert outcome.moves > 0
    assert outcome.slatah < 0.5


def test_absent_data_are_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="--data"):
        list(figures(Namespace(trace=None, data=tmp_path, json=False)))
