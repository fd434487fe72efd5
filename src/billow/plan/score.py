# SPDX-License-Identifier: Apache-2.0
"""How full a pool is, in a few numbers that plans, reports and consoles quote alike."""

from dataclasses import dataclass

import numpy as np

from billow.model.kinds import Power, code_of
from billow.model.pool import Pool
from billow.model.resources import CPU, MEMORY, FloatArray


@dataclass(frozen=True, slots=True)
class Fill:
    """Reserved shares of a pool, 0 to 1 (above 1 when oversold).

    Attributes:
        cpu, memory: Of all powered hosts together.
        worst: Of the fullest host, by its fuller resource.
        worst_host: That host's id; empty in an empty pool.
        hosts_on, hosts_empty: Hosts with power, and those of them without an instance.
    """

    cpu: float
    memory: float
    worst: float
    worst_host: str
    hosts_on: int
    hosts_empty: int


def fill(pool: Pool) -> Fill:
    """Return how full the pool is. Linear in hosts."""
    on = pool.hosts.power == code_of(Power.ON)
    if not on.any():
        return Fill(0.0, 0.0, 0.0, "", 0, 0)
    total = pool.hosts.sellable.sum(axis=1)[on].sum(axis=0)
    taken = pool.reserved[on].sum(axis=0)
    each = np.where(on, reserved_share(pool).max(axis=1), -1.0)
    worst = int(np.argmax(each))
    return Fill(
        cpu=_share(taken[CPU], total[CPU]),
        memory=_share(taken[MEMORY], total[MEMORY]),
        worst=float(each[worst]),
        worst_host=pool.hosts.id[worst],
        hosts_on=int(on.sum()),
        hosts_empty=int((on & ~pool.reserved.any(axis=1)).sum()),
    )


def reserved_share(pool: Pool) -> FloatArray:
    """Return each host's reserved share of CPU and of all memory, `(hosts, 2) float64`."""
    sellable = pool.hosts.sellable.sum(axis=1)
    whole = np.stack([sellable[:, CPU], sellable[:, MEMORY:3].sum(axis=1)], axis=1)
    taken = np.stack([pool.reserved[:, CPU], pool.reserved[:, MEMORY:3].sum(axis=1)], axis=1)
    share: FloatArray = np.divide(
        taken, whole, out=np.zeros(whole.shape, dtype=np.float64), where=whole > 0
    )
    return share


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
