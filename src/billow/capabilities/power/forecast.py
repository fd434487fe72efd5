# SPDX-License-Identifier: Apache-2.0
"""What each instance will use next, from its samples: mean, spread, and what goes together.

Use is a slow level under much noise. How much of what was seen lately is level, the samples of all
instances together tell: moving averages of several lengths are weighed by what they would have
foreseen so far. Pure NumPy; it knows neither pools nor time, and never looks ahead of its input.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from billow.model.resources import BoolArray, FloatArray

Samples = npt.NDArray[np.float32]
HALF_LIVES = (96.0, 24.0, 6.0)
"""Of the moving averages, in samples; the first is the level that the others correct."""
SPREAD_HALF_LIFE = 72.0
PRIOR_SAMPLES = 4.0
"""How many samples of its own an instance needs to count as much as the average instance."""
FIRST_SPREAD = 0.08
"""Variance as a share of mean times size, before anything was seen of how use varies."""
TIDE = 8
"""Newest samples in which is looked for what lifts or lowers all."""
TOGETHER = 72
"""Newest samples in which is looked for what rises together."""


@dataclass(frozen=True, eq=False)
class Forecast:
    """What is expected of one sample to come.

    Attributes:
        mean, variance: `(rows,) float64`.
        errors: What the newest samples were above what was expected of them, zero where unknown,
            `(rows, samples) float32`: sums of rows show what rises and falls together.
    """

    mean: FloatArray
    variance: FloatArray
    errors: Samples


def forecast(samples: Samples, size: FloatArray, unseen_share: float = 0.5) -> Forecast:
    """Return what is expected of each row.

    Args:
        samples: `(rows, samples)`, oldest first, NaN where not seen.
        size: What a row may use at most, `(rows,)`.
        unseen_share: Which share of its size is expected of a row that was never seen.
    """
    seen = ~np.isnan(samples.T)
    filled = np.where(seen, samples.T, np.float32(0.0))
    averages = _averages(filled, seen)
    corrections = [average - averages[0] for average in averages[1:]]
    weights = _weights(filled, seen, averages[0], corrections)
    expected = averages[0]
    for weight, correction in zip(weights, corrections, strict=True):
        expected = expected + np.float32(weight) * correction
    known = seen.any(axis=0)
    mean = np.where(known, _last(expected, len(size)), unseen_share * size)
    mean = np.clip(mean, 0.0, None)
    errors = np.where(seen[1:] & known, filled[1:] - expected[:-1], np.float32(0.0))
    mean *= _common(errors, float(mean.sum()))
    variance = _variance(errors, seen[1:], mean, size)
    return Forecast(mean, variance, np.ascontiguousarray(errors[-TOGETHER:].T))


def _averages(filled: Samples, seen: BoolArray) -> Samples:
    """Return the moving averages at each sample, itself included: `(half lives, samples, rows)`."""
    keep = (0.5 ** (1 / np.array(HALF_LIVES, dtype=np.float32)))[:, None]
    averages = np.empty((len(keep), *filled.shape), dtype=np.float32)
    total = np.zeros((len(keep), filled.shape[1]), dtype=np.float32)
    weight = np.full_like(total, 1e-6)
    for place, (values, there) in enumerate(zip(filled, seen, strict=True)):
        total *= keep
        total += values
        weight *= keep
        weight += there
        np.divide(total, weight, out=averages[:, place])
    return averages


def _weights(
    filled: Samples, seen: BoolArray, level: Samples, corrections: list[Samples]
) -> FloatArray:
    """Return how much of each correction would have foreseen the next samples best, 0 to 1."""
    count = len(corrections)
    prior = np.full(count, 0.2)
    if len(filled) < 3:
        return prior
    there = seen[1:]
    miss = np.where(there, filled[1:] - level[:-1], np.float32(0.0)).ravel()
    parts = [np.where(there, each[:-1], np.float32(0.0)).ravel() for each in corrections]
    products = np.array([[float(a @ b) for b in parts] for a in parts])
    answer = np.array([float(each @ miss) for each in parts])
    firmness = np.diag(np.diag(products)) * 20.0 / len(filled) + np.eye(count)
    weights = np.linalg.solve(products + firmness, answer + firmness @ prior)
    return np.clip(weights, 0.0, 1.0)


def _common(errors: Samples, total: float) -> float:
    """Return by what all rows together were lately more than foreseen, as a factor of their mean.

    A tide that lifts all a little is lost in the noise of each, but plain in their sum. It is
    believed as far as it stands out of the sum's own noise.
    """
    newest = errors[-TIDE:].sum(axis=1, dtype=np.float64)
    if len(newest) < TIDE or total <= 0:
        return 1.0
    rise = float(newest.mean())
    noise = float(newest.var(ddof=1)) / len(newest)
    believed = rise**2 / max(rise**2 + noise, 1e-12)
    return 1.0 + float(np.clip(believed * rise / total, -0.2, 0.2))


def _variance(errors: Samples, seen: BoolArray, mean: FloatArray, size: FloatArray) -> FloatArray:
    """Return the variance of what was not foreseen, leaning on all rows where there is little."""
    scale = np.maximum(mean * size, 1e-9)
    keep = 0.5 ** (np.arange(len(errors) - 1, -1, -1) / SPREAD_HALF_LIFE)
    weight = keep @ seen
    squares = keep @ (errors.astype(np.float64) ** 2)
    sold = float(weight @ scale)
    common = float(squares.sum()) / sold if sold > 0 else FIRST_SPREAD
    variance: FloatArray = (squares + PRIOR_SAMPLES * common * scale) / (weight + PRIOR_SAMPLES)
    return variance


def _last(expected: Samples, rows: int) -> FloatArray:
    if not len(expected):
        return np.zeros(rows)
    last: FloatArray = expected[-1].astype(np.float64)
    return last
