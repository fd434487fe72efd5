# SPDX-License-Identifier: Apache-2.0
"""Forecast, risk, growth and energy: figures that can be worked out by hand or by drawing lots."""

from dataclasses import replace

import numpy as np
import pytest

from billow.capabilities.power import PowerPolicy
from billow.capabilities.power.board import Board
from billow.capabilities.power.energy import carbon_kg, curves, watts
from billow.capabilities.power.forecast import Forecast, Samples, forecast
from billow.capabilities.power.growth import growth
from billow.model.column import frozen
from billow.model.pool import Pool
from billow.testing.pools import pool as pool_of

SIZE = np.full(200, 1000.0)


def noise(rows: int, samples: int, spread: float = 50.0) -> Samples:
    return np.random.default_rng(7).normal(500.0, spread, (rows, samples)).astype(np.float32)


def test_level_and_spread_of_noise_are_found() -> None:
    ahead = forecast(noise(200, 200), SIZE)
    assert np.abs(ahead.mean - 500).mean() < 10
    assert np.sqrt(ahead.variance).mean() == pytest.approx(50, rel=0.1)


def test_of_noise_the_last_sample_says_little_and_of_a_step_much() -> None:
    """The moving averages are weighed by what they would have foreseen."""
    calm = noise(200, 150)
    calm[:, -1] = 900.0
    assert forecast(calm, SIZE).mean.mean() < 560
    walk = 500 + np.random.default_rng(3).normal(0, 20, (200, 150)).cumsum(axis=1)
    walk = np.clip(walk, 0, 1000).astype(np.float32)
    misses = forecast(walk, SIZE).mean - walk[:, -1]
    assert np.abs(misses).mean() < np.abs(walk.mean(axis=1) - walk[:, -1]).mean() / 2


def test_a_tide_is_seen_that_no_single_row_shows() -> None:
    """Four percent more of all, within the noise of each, is foreseen for all."""
    samples = noise(200, 150)
    calm = forecast(samples, SIZE).mean.mean()
    samples[:, -8:] *= 1.04
    assert forecast(samples, SIZE).mean.mean() - calm > 15


def test_nothing_ahead_is_looked_at() -> None:
    """A forecast from a day's beginning is the same whatever the day brings."""
    day = noise(20, 100)
    other = day.copy()
    other[:, 50:] *= 1.9
    first, second = (forecast(each[:, :50], SIZE[:20]) for each in (day, other))
    assert (first.mean == second.mean).all()


def test_gaps_are_passed_over() -> None:
    samples = noise(50, 100)
    samples[:, ::3] = np.nan
    samples[7] = np.nan
    ahead = forecast(samples, SIZE[:50], unseen_share=0.25)
    assert np.isfinite(ahead.mean).all()
    assert np.isfinite(ahead.variance).all()
    assert ahead.mean[7] == pytest.approx(250, rel=0.01)
    assert np.abs(np.delete(ahead.mean, 7) - 500).mean() < 20


def test_no_samples_at_all() -> None:
    ahead = forecast(np.zeros((3, 0), dtype=np.float32), SIZE[:3])
    assert ahead.mean.tolist() == [500.0] * 3
    assert (ahead.variance > 0).all()


def test_risk_is_how_often_a_sum_is_above() -> None:
    """Ten independent instances against what ten thousand drawn sums do."""
    ahead = Forecast(np.full(10, 100.0), np.full(10, 400.0), np.zeros((10, 0), dtype=np.float32))
    drawn = np.random.default_rng(5).normal(1000, 20 * 10**0.5, 200_000)
    for limit in (1000.0, 1100.0, 1140.0):
        risk = Board(ahead, np.array([limit]), np.zeros(10, dtype=np.int32)).risk()[0]
        assert risk == pytest.approx((drawn > limit).mean(), abs=0.002)


def test_who_rises_together_is_riskier_than_who_takes_turns() -> None:
    wave = np.resize(np.array([50.0, -50.0], dtype=np.float32), 72)
    limit, host = np.array([260.0]), np.zeros(2, dtype=np.int32)
    mean, variance = np.full(2, 100.0), np.full(2, 2500.0)
    together = Board(Forecast(mean, variance, np.stack([wave, wave])), limit, host).risk()[0]
    in_turn = Board(Forecast(mean, variance, np.stack([wave, -wave])), limit, host).risk()[0]
    assert in_turn < together / 2


def test_moves_keep_the_sums() -> None:
    """After any moves and back the board is as one that is built anew."""
    ahead = forecast(noise(30, 80), SIZE[:30])
    rng = np.random.default_rng(1)
    host = rng.integers(0, 4, 30).astype(np.int32)
    board = Board(ahead, np.full(4, 4000.0), host)
    for _ in range(100):
        board.move(int(rng.integers(30)), int(rng.integers(4)))
    fresh = Board(ahead, np.full(4, 4000.0), board.host.astype(np.int32))
    assert board.risk() == pytest.approx(fresh.risk(), rel=1e-3)
    one, there = int(rng.integers(30)), np.arange(4)
    foreseen = board.risk_with(np.array([one]), there)[0]
    target = int((board.host[one] + 1) % 4)
    before, drop = board.risk(), board.drop(np.array([one]))[0]
    source = int(board.host[one])
    board.move(one, target)
    assert board.risk()[target] == pytest.approx(foreseen[target], rel=1e-3)
    assert before[source] - board.risk()[source] == pytest.approx(drop, rel=1e-3)


def test_growth_is_that_of_the_day_before() -> None:
    day = np.full((4, 288 + 12), 100.0, dtype=np.float32)
    day[:, 12:20] = 150.0
    assert growth(day, 300.0, 1800.0) == pytest.approx(1.5)
    assert growth(day, 300.0, 0.0) == 1.0
    assert growth(day[:, 20:], 300.0, 1800.0) == 1.0  # no whole day is known


def test_watts_lie_on_the_curve() -> None:
    curve = "93.7/97/101/105/110/116/121/125/129/133/135"
    pool = pool_of("2 hosts x 64GiB 16c")
    known = Pool.build([replace(host, power_curve=curve) for host in pool.host_views()])
    table = curves(known, PowerPolicy())
    assert watts(table, np.array([0.0, 1.0])).tolist() == [93.7, 135.0]
    assert watts(table, np.array([0.25, 0.5])).tolist() == [103.0, 116.0]


def test_a_measurement_stretches_the_curve() -> None:
    """A host of which 180 W are measured at half load, where 210 W are typical."""
    pool = pool_of("1 host x 64GiB 16c")
    measured = replace(
        pool.hosts, watts=frozen(np.array([180.0])), cpu_used=frozen(np.array([8000.0]))
    )
    table = curves(replace(pool, hosts=measured), PowerPolicy())
    assert watts(table, np.array([0.5]))[0] == pytest.approx(180.0)
    assert watts(table, np.array([1.0]))[0] == pytest.approx(300 * 180 / 210)


def test_carbon_follows_the_hours() -> None:
    policy = PowerPolicy(co2_g_per_kwh=tuple(float(hour) for hour in range(24)))
    assert carbon_kg(10.0, policy, 5 * 3600.0) == pytest.approx(0.115)
    assert carbon_kg(10.0, PowerPolicy(), 0.0) is None
    year = PowerPolicy(co2_g_per_kwh=(100.0,) * 24 + (300.0,) * 8736)
    assert carbon_kg(10.0, year, 0.0) == pytest.approx(1.0)
    assert carbon_kg(10.0, year, 86_400.0) == pytest.approx(3.0)
