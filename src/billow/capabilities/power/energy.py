# SPDX-License-Identifier: Apache-2.0
"""What hosts draw at a load, and what that comes to in kilowatt hours, money and CO2."""

import numpy as np

from billow.capabilities.power.policy import PowerPolicy
from billow.model.kinds import Power, code_of
from billow.model.pool import Pool
from billow.model.resources import CPU, FloatArray

POINTS = 11
"""A power curve has a point for every tenth of full load."""
HOUR_S = 3_600.0
DAY_HOURS = 24
_LEAST_SCALE, _MOST_SCALE = 0.2, 5.0


def curves(pool: Pool, policy: PowerPolicy) -> FloatArray:
    """Return what each host draws at 0, 10 .. 100 % load, watts, `(hosts, 11) float64`.

    From its own curve; where its controller measures as well, the curve (or a typical one) is
    stretched to what is measured at the present load.
    """
    hosts = pool.hosts
    typical = np.linspace(policy.unknown_idle_watts, policy.unknown_full_watts, POINTS)
    known = [_points(text, typical) for text in hosts.power_curve.categories]
    table = np.array(known).reshape(-1, POINTS)[hosts.power_curve.codes]
    if not np.isfinite(hosts.watts).any():
        return table
    load = np.clip(hosts.cpu_used / np.maximum(hosts.capacity.sum(axis=1)[:, CPU], 1), 0.0, 1.0)
    modelled = watts(table, np.nan_to_num(load))
    usable = np.isfinite(hosts.watts) & np.isfinite(load) & (modelled > 0)
    usable &= hosts.power == code_of(Power.ON)
    scale = np.where(usable, hosts.watts / np.where(modelled > 0, modelled, 1.0), 1.0)
    stretched: FloatArray = table * np.clip(scale, _LEAST_SCALE, _MOST_SCALE)[:, None]
    return stretched


def watts(table: FloatArray, load: FloatArray) -> FloatArray:
    """Return what hosts draw at their load (0 to 1), between the points of their curves."""
    place = np.clip(load, 0.0, 1.0) * (POINTS - 1)
    low = np.minimum(place.astype(np.int64), POINTS - 2)
    rows = np.arange(len(table))
    left, right = table[rows, low], table[rows, low + 1]
    drawn: FloatArray = left + (place - low) * (right - left)
    return drawn


def carbon_kg(kwh: float, policy: PowerPolicy, at: float) -> float | None:
    """Return the CO2 of an even draw over the day that starts now, kg; None when not known."""
    series = policy.co2_g_per_kwh
    if not series:
        return None
    first = int(at // HOUR_S)
    if len(series) > DAY_HOURS:
        year = np.datetime64(int(at), "s").astype("datetime64[Y]").astype("datetime64[s]")
        first = int((at - float(year.astype(np.int64))) // HOUR_S)
    hours = [series[(first + hour) % len(series)] for hour in range(DAY_HOURS)]
    return kwh * sum(hours) / DAY_HOURS / 1000.0


def _points(text: str, typical: FloatArray) -> FloatArray:
    return np.array(text.split("/"), dtype=np.float64) if text else typical
