# SPDX-License-Identifier: Apache-2.0
"""How much a pool's whole demand is about to grow: hosts are woken for what comes, not for what is.

Where a day of history is known, what happened at this time of the day before is expected again.
"""

import numpy as np

from billow.capabilities.power.forecast import Samples
from billow.model.resources import FloatArray

DAY_S = 86_400.0
AROUND = 3
"""Samples over which a moment of the day before is averaged: one sample is mostly noise."""
MOST = 2.0


def growth(samples: Samples, step_s: float, horizon_s: float) -> float:
    """Return the highest demand expected within the horizon as a multiple of the present one.

    Args:
        samples: `(rows, samples)`, oldest first, NaN where not seen.
        step_s: Seconds between two samples.
        horizon_s: How far ahead is looked.

    Returns:
        1 to 2; 1 without a whole day of history.
    """
    day, ahead = round(DAY_S / step_s), int(np.ceil(horizon_s / step_s))
    count = samples.shape[1]
    if count < day + AROUND or not len(samples):
        return 1.0
    total = np.nan_to_num(samples).sum(axis=0, dtype=np.float64)
    then = count - 1 - day
    level = _around(total, then)
    if level <= 0:
        return 1.0
    highest = max(_around(total, then + step) for step in range(ahead + 1))
    return float(np.clip(highest / level, 1.0, MOST))


def _around(total: FloatArray, place: int) -> float:
    first = max(place - AROUND + 1, 0)
    return float(total[first : place + 1].mean())
