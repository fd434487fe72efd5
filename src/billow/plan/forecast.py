# SPDX-License-Identifier: Apache-2.0
"""What use will be next, from what it was: mean, spread and peaks, and the risk that a sum is high.

Pure NumPy over `(rows, samples)` arrays, oldest sample first, NaN where nothing was seen. It knows
neither pools nor time; who calls it says what a row is. Rows with few samples lean on the others:
an instance that is new is taken for an average one of its size until it has shown what it does.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from billow.model.resources import BoolArray, FloatArray, IntArray, RowArray

SamplesLike = npt.NDArray[np.float32] | FloatArray
RESTLESS = 0.3
"""What is not known of a row is taken to vary by so much of its mean at least."""
_ERFC = np.frompyfunc(math.erfc, 1, 1)


@dataclass(frozen=True, eq=False)
class Outlook:
    """What each row will be in a sample to come; NaN where a row was never seen.

    Attributes:
        mean, variance: Of one sample, `(rows,) float64`.
        last: The newest sample that was seen, `(rows,) float64`.
        seen: How many samples there are, `(rows,) int64`.
    """

    mean: FloatArray
    variance: FloatArray
    last: FloatArray
    seen: IntArray

    def peak(self, risk: float) -> FloatArray:
        """Return what a sample exceeds with this probability only (normal), `(rows,) float64`."""
        high: FloatArray = self.mean + depth(risk) * np.sqrt(self.variance)
        return high


def outlook(samples: SamplesLike, half_life: float = math.inf) -> Outlook:
    """Return mean and variance of each row; newer samples weigh more with a finite half-life.

    Args:
        samples: `(rows, samples)`, NaN where not seen.
        half_life: After how many samples one weighs half.
    """
    count = samples.shape[1]
    weights = np.exp2(-np.arange(count - 1, -1, -1) / half_life)
    there = ~np.isnan(samples)
    filled = np.where(there, samples, 0.0).astype(np.float64, copy=False)
    total = there @ weights
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (filled @ weights) / total
        variance = np.maximum((filled**2) @ weights / total - mean**2, 0.0)
    return Outlook(mean, variance, newest(samples), there.sum(axis=1))


def leaning(
    ahead: Outlook, size: FloatArray, weight: float = 6.0, unseen_share: float = 0.5
) -> Outlook:
    """Return an outlook without gaps: each row counts `weight` samples of an average row beside.

    Args:
        ahead: What the rows' own samples say.
        size: What a row may use at most, in the unit of the samples, `(rows,)`.
        weight: How many of a row's own samples count as much as what all rows do on average.
        unseen_share: Which share of its size is expected of a row when no row was ever seen.
    """
    known = (ahead.seen > 0) & (size > 0)
    sold = float(size[known].sum())
    share = float(ahead.mean[known].sum()) / sold if sold else unseen_share
    deviation = (ahead.mean[known] - share * size[known]) ** 2 + ahead.variance[known]
    squares = float((size[known] ** 2).sum())
    spread = float(deviation.sum()) / squares if squares else (unseen_share / 2) ** 2
    spread = max(spread, (RESTLESS * share) ** 2)
    own = ahead.seen / (ahead.seen + weight)
    prior, its_mean = share * size, np.nan_to_num(ahead.mean)
    mean = own * its_mean + (1 - own) * prior
    within = own * np.nan_to_num(ahead.variance) + (1 - own) * spread * size**2
    last = np.where(np.isnan(ahead.last), mean, ahead.last)
    return Outlook(mean, within, last, ahead.seen)


def thirds(
    samples: SamplesLike,
    mean: FloatArray,
    size: FloatArray,
    half_life: float = math.inf,
    weight: float = 48.0,
) -> FloatArray:
    """Return the third central moment of each row, which adds up where rows are independent.

    Few samples show little of it: each row counts `weight` samples of an average row beside.

    Args:
        samples: `(rows, samples)`, NaN where not seen.
        mean: Of each row's samples, `(rows,)`.
        size: What a row may use at most, in the unit of the samples, `(rows,)`.
        half_life: After how many samples one weighs half.
        weight: How many of a row's own samples count as much as what all rows do on average.
    """
    weights = np.exp2(-np.arange(samples.shape[1] - 1, -1, -1) / half_life)
    there = ~np.isnan(samples)
    apart = np.where(there, samples - mean[:, None], 0.0)
    seen = there.sum(axis=1)
    own = ((apart * apart * apart) @ weights) / np.maximum(there @ weights, 1e-12)
    cubes = float((size[seen > 0] ** 3).sum())
    common = float(own[seen > 0].sum()) / cubes if cubes else 0.0
    trust = seen / (seen + weight)
    third: FloatArray = trust * own + (1 - trust) * max(common, 0.0) * size**3
    return third


def skewed(distance: FloatArray, skewness: FloatArray) -> FloatArray:
    """Return how far a normal value would be as unlikely as this distance is for a skewed one.

    Above its mean a sum of few instances that jump has a heavier tail than the normal law. It is
    taken for a shifted gamma law with this skewness (Wilson and Hilferty 1931); without skewness,
    and with one below zero, the distance stays as it is.
    """
    lean = np.maximum(skewness, 1e-6)
    root = np.cbrt(np.maximum(1.0 + lean * distance / 2, 0.0))
    far: FloatArray = 6.0 / lean * (root - 1.0 + lean**2 / 36)
    return np.where(skewness > 1e-3, far, distance)


def persistence(samples: SamplesLike, horizon: int, prior: float = 0.95) -> float:
    """Return how much of a deviation from the mean is still there, on average over a horizon.

    From the rows' common correlation of one sample with the next, corrected for short windows
    (Kendall 1954); `prior` is believed as much as six samples. Between 0 and 1.
    """
    there = ~np.isnan(samples)
    seen = np.maximum(there.sum(axis=1, keepdims=True), 1)
    filled = np.where(there, samples, 0.0)
    apart = np.where(there, filled - filled.sum(axis=1, keepdims=True) / seen, 0.0)
    squares = float((apart**2).sum())
    count = float(np.median(seen)) if len(seen) else 1.0
    found = float((apart[:, 1:] * apart[:, :-1]).sum()) / squares if squares else prior
    found += (1 + 3 * found) / count
    one = min(max((count * found + 6 * prior) / (count + 6), 0.0), 1.0)
    return sum(one**step for step in range(1, horizon + 1)) / horizon


def newest(samples: SamplesLike) -> FloatArray:
    """Return the last sample that was seen of each row, NaN for none, `(rows,) float64`."""
    count = samples.shape[1]
    if not count:
        return np.full(len(samples), np.nan)
    there = ~np.isnan(samples)
    place = count - 1 - there[:, ::-1].argmax(axis=1)
    last: FloatArray = samples[np.arange(len(samples)), place].astype(np.float64)
    return last


def quantile(samples: SamplesLike, share: float) -> FloatArray:
    """Return the value that this share of each row's samples does not exceed, `(rows,) float64`.

    NaN for a row without samples; the smallest sample that is large enough, never between two.
    """
    ranked = np.sort(samples, axis=1)  # NaN goes last
    seen = (~np.isnan(ranked)).sum(axis=1)
    if not ranked.shape[1]:
        return np.full(len(samples), np.nan)
    place = np.clip(np.ceil(share * seen).astype(np.int64) - 1, 0, None)
    chosen: FloatArray = ranked[np.arange(len(ranked)), place].astype(np.float64)
    return chosen


def sums(samples: SamplesLike, row_of: RowArray, count: int, gap: FloatArray) -> FloatArray:
    """Add rows by group, sample by sample, so that what peaks together adds up: `(count, samples)`.

    Args:
        samples: `(rows, samples)`, NaN where not seen.
        row_of: Group of each row, negative for none, `(rows,)`.
        count: How many groups there are.
        gap: What stands for a sample of a row that was not seen, `(rows,)`.
    """
    placed = row_of >= 0
    groups, values = row_of[placed], samples[placed]
    values = np.where(np.isnan(values), gap[placed, None].astype(values.dtype), values)
    total: FloatArray = np.zeros((count, samples.shape[1]))
    order = np.argsort(groups, kind="stable")
    there, first = np.unique(groups[order], return_index=True)
    if len(there):
        total[there] = np.add.reduceat(values[order], first, axis=0, dtype=np.float64)
    return total


def tail(distance: FloatArray) -> FloatArray:
    """Return how likely a normal value lies so many standard deviations or more above its mean."""
    twice = np.asarray(_ERFC(distance / math.sqrt(2)), dtype=np.float64)
    half: FloatArray = 0.5 * twice
    return half


@lru_cache(maxsize=64)
def depth(risk: float) -> float:
    """Return the distance whose `tail` is this risk: 3.09 for 0.001. Between -8 and 8."""
    low, high = -8.0, 8.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if 0.5 * math.erfc(middle / math.sqrt(2)) > risk else (low, middle)
        )
    return high


def exceeding(mean: FloatArray, variance: FloatArray, limit: FloatArray) -> FloatArray:
    """Return how likely each normal sum is above its limit, `(rows,) float64`."""
    deviation = np.sqrt(np.maximum(variance, 1e-12))
    return tail((limit - mean) / deviation)


def over(total: SamplesLike, limit: FloatArray, of: BoolArray | None = None) -> float:
    """Return the pooled share of samples above their row's limit, of some rows; 0.0 for none."""
    chosen = total if of is None else total[of]
    limits = limit if of is None else limit[of]
    if not chosen.size:
        return 0.0
    return float((chosen > limits[:, None]).mean())
