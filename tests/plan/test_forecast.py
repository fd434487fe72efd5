# SPDX-License-Identifier: Apache-2.0
"""Forecasts: gaps do not count, newer samples may weigh more, peaks that coincide add up."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.plan.forecast import (
    depth,
    exceeding,
    leaning,
    newest,
    outlook,
    over,
    quantile,
    skewed,
    sums,
    tail,
    thirds,
)

GAP = math.nan


def test_gaps_do_not_count() -> None:
    ahead = outlook(np.array([[1.0, GAP, 3.0], [GAP, GAP, GAP], [4.0, 4.0, GAP]]))
    assert ahead.mean[[0, 2]].tolist() == [2.0, 4.0]
    assert ahead.variance[[0, 2]].tolist() == [1.0, 0.0]
    assert ahead.seen.tolist() == [2, 0, 2]
    assert ahead.last[[0, 2]].tolist() == [3.0, 4.0]
    assert math.isnan(ahead.mean[1])
    assert math.isnan(ahead.last[1])


def test_a_half_life_favours_what_is_new() -> None:
    samples = np.array([[0.0] * 20 + [10.0] * 4])
    assert outlook(samples).mean[0] == pytest.approx(10 * 4 / 24)
    assert outlook(samples, half_life=2).mean[0] > 7


def test_who_is_new_is_taken_for_an_average_one_of_its_size() -> None:
    samples = np.array([[1.0] * 4, [2.0] * 4, [GAP] * 4])
    ahead = leaning(outlook(samples), np.array([10.0, 20.0, 40.0]))
    assert ahead.mean.tolist() == pytest.approx([1.0, 2.0, 4.0])
    assert ahead.last[2] == pytest.approx(4.0)


def test_own_samples_outweigh_the_average_in_time() -> None:
    short = leaning(outlook(np.array([[9.0], [1.0]])), np.array([10.0, 10.0]))
    long = leaning(outlook(np.array([[9.0] * 50, [1.0] * 50])), np.array([10.0, 10.0]))
    assert 5.0 < short.mean[0] < long.mean[0] < 9.0


def test_nothing_known_of_anybody_is_half_of_what_was_sold() -> None:
    ahead = leaning(outlook(np.full((2, 3), GAP)), np.array([4.0, 8.0]))
    assert ahead.mean.tolist() == [2.0, 4.0]
    assert (ahead.variance > 0).all()


def test_no_samples_at_all() -> None:
    none = np.zeros((2, 0))
    assert np.isnan(newest(none)).all()
    assert np.isnan(quantile(none, 0.5)).all()
    assert over(none, np.ones(2)) == 0.0


def test_a_quantile_is_a_sample() -> None:
    samples = np.array([[5.0, 1.0, GAP, 3.0], [GAP] * 4])
    assert quantile(samples, 0.5)[0] == 3.0
    assert quantile(samples, 1.0)[0] == 5.0
    assert math.isnan(quantile(samples, 0.5)[1])


def test_what_peaks_together_adds_up() -> None:
    samples = np.array([[1.0, 5.0], [1.0, 5.0], [5.0, GAP], [9.0, 9.0]])
    total = sums(samples, np.array([0, 0, 1, -1], dtype=np.int32), 2, np.full(4, 2.0))
    assert total.tolist() == [[2.0, 10.0], [5.0, 2.0]]
    assert over(total, np.array([6.0, 6.0])) == 0.25
    assert over(total, np.array([6.0, 6.0]), np.array([True, False])) == 0.5


@given(st.floats(0.0001, 0.4999))
def test_depth_undoes_tail(risk: float) -> None:
    assert tail(np.array([depth(risk)]))[0] == pytest.approx(risk, rel=1e-6)


def test_exceeding_is_the_normal_tail() -> None:
    risk = exceeding(np.array([5.0, 5.0]), np.array([4.0, 0.0]), np.array([9.0, 4.0]))
    assert risk[0] == pytest.approx(0.02275, rel=1e-3)
    assert risk[1] == 1.0


def test_third_moments_add_up_where_rows_are_independent() -> None:
    dice = np.random.default_rng(1)
    samples = dice.gamma(0.5, size=(8, 200_000))
    size = np.ones(8)
    each = thirds(samples, samples.mean(axis=1), size)
    total = samples.sum(axis=0)
    assert each.sum() == pytest.approx(((total - total.mean()) ** 3).mean(), rel=0.1)
    assert each == pytest.approx(np.full(8, 2 * 0.5), rel=0.2)


def test_few_samples_lean_on_the_tail_of_all() -> None:
    jumps = np.full((3, 96), GAP)
    jumps[0] = [8.0] * 6 + [0.0] * 90
    jumps[1, :6] = [0.0] * 6
    size = np.array([10.0, 10.0, 20.0])
    own = thirds(jumps, outlook(jumps).mean, size)
    assert own[0] > own[1] > 0
    assert own[2] > 8 * own[1]  # twice as large and never seen


@pytest.mark.parametrize("shape", [0.5, 1.0, 4.0, 50.0])
@pytest.mark.parametrize("risk", [0.1, 0.01, 0.001])
def test_a_skewed_sum_lies_above_its_limit_as_often_as_it_is_said(
    shape: float, risk: float
) -> None:
    values = np.random.default_rng(2).gamma(shape, size=1_000_000)
    limit = np.quantile(values, 1 - risk)
    distance = (limit - shape) / math.sqrt(shape)
    said = tail(skewed(np.array([distance]), np.array([2 / math.sqrt(shape)])))
    assert said[0] == pytest.approx(risk, rel=0.25)


def test_without_skewness_the_distance_stays() -> None:
    distance = np.array([-2.0, 0.0, 3.0])
    assert skewed(distance, np.zeros(3)).tolist() == distance.tolist()
    assert skewed(distance, np.full(3, -1.0)).tolist() == distance.tolist()
    assert skewed(distance, np.full(3, 2e-3)) == pytest.approx(distance, abs=0.01)
