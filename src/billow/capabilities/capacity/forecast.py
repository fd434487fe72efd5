# SPDX-License-Identifier: Apache-2.0
"""When a resource runs out, from how full the pool was: a robust trend with an interval.

The trend is Theil-Sen's: the median of the slopes between all pairs of points, which a quarter of
wild points do not move far. Its interval is Sen's (from Kendall's variance), widened by what each
point says of the next one; where that is much, it is at least that of a random walk. Without enough
history there is no forecast, and it says so.

Source: P. K. Sen, "Estimates of the Regression Coefficient Based on Kendall's Tau", JASA 1968;
the widening for autocorrelation after K. H. Hamed and A. R. Rao, J. Hydrology 1998.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from billow.capabilities.capacity.policy import CapacityPolicy
from billow.model.history import Levels
from billow.model.resources import FloatArray, IntArray

DAY_S: Final = 86_400.0
MOST_POINTS: Final = 200
"""Points that pairs are made of; more history is drawn together by medians."""
LEAST_POINTS: Final = 6
FINE_DAYS: Final = 0.25
"""The step of a history of less than a fortnight; a longer one is taken day by day."""
FAR_DAYS: Final = 3650.0
"""Beyond ten years a day is not worth naming."""
WANDERS: Final = 0.5
"""From this bond on, a level is taken for one that wanders and does not come back."""
_MOST_BOND: Final = 0.9


@dataclass(frozen=True, slots=True)
class Trend:
    """A slope with its interval, per day, and the points that it was made of."""

    slope: float
    low: float
    high: float
    points: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """When one resource runs out.

    Attributes:
        resource: Position in `RESOURCES`.
        now, full: Reserved now, and where it counts as run out, in the resource's unit.
        sellable: All that there is.
        days: Until it runs out by the trend; None when it does not within ten years.
        earliest, latest: The same by the ends of the interval.
        history_days: How much history it rests on.
    """

    resource: int
    now: float
    full: float
    sellable: float
    trend: Trend
    days: float | None
    earliest: float | None
    latest: float | None
    history_days: float


def forecasts(
    levels: Levels | None, asleep: IntArray, policy: CapacityPolicy
) -> tuple[tuple[Forecast, ...], str]:
    """Return a forecast per resource that the pool sells, the first to run out first.

    Args:
        levels: How full the hosts that are on were.
        asleep: What hosts without power could sell once woken, `(RESOURCES,) int64`.
        policy: What counts as full, and how much history it takes.

    Returns:
        The forecasts, and why there is none (empty when there are).
    """
    if levels is None or len(levels.at) < 2:
        return (), "nothing is known of the past"
    days = float(levels.at[-1] - levels.at[0]) / DAY_S
    if days < policy.history_days:
        return (), f"{days:.1f} days of history are known; it takes {policy.history_days:g}"
    at, reserved = _points(levels)
    if len(at) < LEAST_POINTS:
        return (), f"only {len(at)} points of history are known; it takes {LEAST_POINTS}"
    now, sellable = levels.reserved[-1], levels.sellable[-1] + asleep
    trends = {
        resource: trend_of(at, reserved[:, resource], policy.confidence)
        for resource in np.flatnonzero(sellable > 0).tolist()
    }
    found = [
        _forecast(resource, (float(now[resource]), float(sellable[resource])), trend, days, policy)
        for resource, trend in trends.items()
    ]
    return tuple(sorted(found, key=lambda each: (_order(each.days), _order(each.earliest)))), ""


def trend_of(at: FloatArray, values: FloatArray, confidence: float) -> Trend:
    """Return the robust trend of values over days. Quadratic in points.

    Args:
        at: Days, ascending, at least two different ones.
        values: As many.
        confidence: Of the interval.
    """
    first, second = np.triu_indices(len(at), 1)
    slopes = np.sort((values[second] - values[first]) / (at[second] - at[first]))
    slope = float(np.median(slopes))
    bond = _bond(values - slope * at)
    spread = _spread(len(at), confidence) * ((1 + bond) / (1 - bond)) ** 0.5
    place = int(np.floor((len(slopes) - spread) / 2)), int(np.ceil((len(slopes) + spread) / 2))
    low, high = float(slopes[max(place[0], 0)]), float(slopes[min(place[1], len(slopes) - 1)])
    if bond >= WANDERS:
        stray = _stray(at, values, confidence)
        low, high = min(low, slope - stray), max(high, slope + stray)
    return Trend(slope, low, high, len(at))


def _spread(points: int, confidence: float) -> float:
    """Return how far Kendall's statistic strays by chance."""
    deviation = (points * (points - 1) * (2 * points + 5) / 18) ** 0.5
    return float(NormalDist().inv_cdf(0.5 + confidence / 2) * deviation)


def _bond(residuals: FloatArray) -> float:
    """Return how much each point says of the next one, 0 to 0.9."""
    centred = residuals - np.median(residuals)
    power = float((centred * centred).sum())
    if power <= 0:
        return 0.0
    bond = float((centred[1:] * centred[:-1]).sum()) / power
    bond += (1 + 4 * max(bond, 0.0)) / len(centred)  # a short series shows too little of it
    return min(max(bond, 0.0), _MOST_BOND)


def _stray(at: FloatArray, values: FloatArray, confidence: float) -> float:
    """Return how far the slope of a series without a way back, a random walk, strays by chance."""
    steps = np.diff(values) / np.diff(at)
    return float(NormalDist().inv_cdf(0.5 + confidence / 2) * steps.std() / len(steps) ** 0.5)


def _points(levels: Levels) -> tuple[FloatArray, FloatArray]:
    """Return days and reserved amounts, drawn together by medians: `(points,)`, `(points, R)`."""
    days = (levels.at - levels.at[0]) / DAY_S
    span = float(days[-1])
    step = max(1.0 if span >= 14 else FINE_DAYS, span / MOST_POINTS)
    bins = np.minimum(days / step, np.ceil(span / step) - 1).astype(np.int64)
    starts = np.flatnonzero(np.diff(bins, prepend=-1))
    ends = np.append(starts[1:], len(bins))
    at = [days[start:end].mean() for start, end in zip(starts, ends, strict=True)]
    reserved = [
        np.median(levels.reserved[start:end], axis=0)
        for start, end in zip(starts, ends, strict=True)
    ]
    return np.array(at, dtype=np.float64), np.array(reserved, dtype=np.float64)


def _forecast(
    resource: int,
    level: tuple[float, float],
    trend: Trend,
    history_days: float,
    policy: CapacityPolicy,
) -> Forecast:
    """Return when what is reserved reaches what is sellable (`level` has both)."""
    now, sellable = level
    full = sellable * policy.full_share
    left = full - now
    days, earliest, latest = (_until(left, slope) for slope in (trend.slope, trend.high, trend.low))
    return Forecast(resource, now, full, sellable, trend, days, earliest, latest, history_days)


def _until(left: float, slope: float) -> float | None:
    """Return the days until what is left is gone; None when that is not in sight."""
    if left <= 0:
        return 0.0
    if slope <= 0 or left / slope > FAR_DAYS:
        return None
    return left / slope


def _order(days: float | None) -> float:
    return float("inf") if days is None else days
