# SPDX-License-Identifier: Apache-2.0
"""The heat map of a report: every host at its place, with how full it is. Pools in, values out.

It stands still, unlike the console's: a file that is sent around has no server behind it.
"""

from dataclasses import dataclass

import numpy as np

from billow.model.listing import figures
from billow.model.listing.figures import Mark
from billow.model.pool import Pool
from billow.model.resources import FloatArray
from billow.web.heatmap import Layout

LEVELS = 9
"""Colours of the console's scale, from empty to full."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One host.

    Attributes:
        cpu_reserved, memory_reserved: Shares of what may be sold, 1.0 = all.
        cpu_used, memory_used: Shares of what there is; None when not measured.
        mark: What stands out: `ok`, `cordoned`, `failed`, ...
    """

    host: str
    cpu_reserved: float
    memory_reserved: float
    cpu_used: float | None
    memory_used: float | None
    instances: int
    mark: str

    @property
    def share(self) -> float:
        """How full it is: the fuller of CPU and memory."""
        return max(self.cpu_reserved, self.memory_reserved)

    @property
    def level(self) -> int:
        """Its colour on the scale, 0 to `LEVELS` - 1."""
        return min(max(int(self.share * LEVELS), 0), LEVELS - 1)


@dataclass(frozen=True, slots=True)
class Patch:
    """Hosts that stand together: a rack of a zone. Names are empty where there are none."""

    zone: str
    rack: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, slots=True)
class Heat:
    """The map.

    Attributes:
        measured: Whether anything is known of real use.
    """

    patches: tuple[Patch, ...]
    measured: bool


def heat_of(pool: Pool) -> Heat:
    """Return the map of a pool. Linear in its hosts."""
    layout = Layout.of(pool.hosts)
    tiles = _tiles(pool)
    patches, start = [], 0
    for zone, rack, count in zip(layout.zones, layout.racks, layout.counts, strict=True):
        rows = layout.order[start : start + count].tolist()
        patches.append(Patch(zone, rack, tuple(tiles[row] for row in rows)))
        start += count
    return Heat(tuple(patches), bool((~np.isnan(figures.cpu_used(pool))).any()))


def _tiles(pool: Pool) -> list[Tile]:
    columns = zip(
        pool.hosts.id,
        _rounded(figures.cpu_reserved(pool)),
        _rounded(figures.memory_reserved(pool)),
        _rounded(figures.cpu_used(pool)),
        _rounded(figures.memory_used(pool)),
        figures.instance_counts(pool).tolist(),
        figures.marks(pool.hosts).tolist(),
        strict=True,
    )
    return [
        Tile(host, cpu or 0.0, memory or 0.0, used, memory_used, count, Mark(mark).word)
        for host, cpu, memory, used, memory_used, count, mark in columns
    ]


def _rounded(shares: FloatArray) -> list[float | None]:
    return [None if np.isnan(each) else round(float(each), 4) for each in shares]
