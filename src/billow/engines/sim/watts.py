# SPDX-License-Identifier: Apache-2.0
"""What simulated hosts draw: their power curve at their load, next to nothing when they are off."""

import numpy as np

from billow.model.hosts import Hosts
from billow.model.kinds import Power, code_of
from billow.model.names import CURVE_POINTS
from billow.model.resources import FloatArray

STANDBY_W = 4.0
"""What a host draws that is off: its management controller."""


def host_watts(hosts: Hosts, load: FloatArray) -> FloatArray:
    """Return what each host draws at a load (0 to 1), `(hosts,) float64`.

    NaN without a power curve, and for a host whose power nobody knows.
    """
    curves = np.array([_points(text) for text in hosts.power_curve.categories])
    if not len(curves):
        return np.zeros(0)
    curve = curves[hosts.power_curve.codes]
    place = np.clip(load, 0.0, 1.0) * (CURVE_POINTS - 1)
    low = np.minimum(place.astype(np.int64), CURVE_POINTS - 2)
    row = np.arange(len(hosts))
    below, above = curve[row, low], curve[row, low + 1]
    drawn: FloatArray = below + (above - below) * (place - low)
    off = np.where(np.isnan(curve[:, 0]), np.nan, STANDBY_W)
    drawn = np.where(hosts.power == code_of(Power.OFF), off, drawn)
    return np.where(hosts.power == code_of(Power.UNKNOWN), np.nan, drawn)


def _points(text: str) -> list[float]:
    return [float(each) for each in text.split("/")] if text else [float("nan")] * CURVE_POINTS
