# SPDX-License-Identifier: Apache-2.0
"""The table of hosts as it is shown. Pool in, page out."""

import math

from billow.model.kinds import Health, Power, value_of
from billow.model.listing.columns import Json
from billow.model.listing.hosts import host_grid
from billow.model.pool import Pool
from billow.web.listing import Address, Page, cut

FILTERS = ("q", "zone", "rack", "mark")
SHOWN = (
    *("id", "mark", "zone", "rack", "arch", "gpus", "instances"),
    *("physical_cpu_milli", "cpu_reserved_share", "cpu_used_share"),
    *("physical_memory_mib", "memory_reserved_share", "memory_used_share"),
)

HostLine = dict[str, Json]
"""The fields that are shown, and `why` the mark is what it is; NaN for what was not seen."""


def page_of(pool: Pool, at: Address) -> tuple[Page, list[HostLine]]:
    """Return the asked page of hosts. Linear in hosts, in NumPy; Python only for the rows shown."""
    page = cut(at, host_grid(pool), FILTERS)
    return page, [line(pool, row) for row in page.rows]


def line(pool: Pool, row: int) -> HostLine:
    """Return one row of the host table, ready to be shown."""
    shown = host_grid(pool).show(row, SHOWN)
    seen = {name: math.nan if value is None else value for name, value in shown.items()}
    return {**seen, "why": _why(pool, row)}


def _why(pool: Pool, row: int) -> str:
    """Return what stands behind a host's mark, in a few words; empty when it is ok."""
    hosts = pool.hosts
    power, health = value_of(Power, hosts.power[row]), value_of(Health, hosts.health[row])
    words = [f"power {power}"] if power is not Power.ON else []
    words += [f"health {health}"] if health is not Health.OK else []
    words += [f"cordoned: {hosts.cordon[row]}"] if hosts.cordon[row] else []
    return ", ".join(words)
