# SPDX-License-Identifier: Apache-2.0
"""Hosts in cells of one rack: finding the best of 100,000 hosts looks at the cells, then into one.

A cell is at most `CELL` hosts of one zone and rack, in the order of their ids; cells follow each
other by zone and rack. Balance over zones and racks is a number per cell, and a group's rule closes
whole cells.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from billow.model.hosts import Hosts
from billow.model.resources import RowArray

CELL: Final = 64
"""Hosts in a cell at most; a larger rack has several."""

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Which host is where.

    Attributes:
        order: Host row at each position, `(hosts,) intp`.
        position: Position of each host row, the inverse of `order`.
        starts: First position of each cell, `(cells,) intp`.
        start: The same as plain numbers, and the end of the last cell.
        of: Cell of each host row, `(hosts,) intp`.
        zone, rack: Code of each cell's zone and rack, `(cells,) int32`.
    """

    order: Rows
    position: Rows
    starts: Rows
    start: list[int]
    of: Rows
    zone: RowArray
    rack: RowArray

    def __len__(self) -> int:
        return len(self.zone)


def cells_of(hosts: Hosts) -> Cells:
    """Return the cells of a host table. Sorts by zone and rack, so n log n in hosts."""
    order = np.lexsort((hosts.rack.codes, hosts.zone.codes)).astype(np.intp)
    zone, rack = hosts.zone.codes[order], hosts.rack.codes[order]
    starts = _starts(zone, rack)
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    sizes = np.diff(np.append(starts, len(order)))
    return Cells(
        order=order,
        position=position,
        starts=starts,
        start=[*starts.tolist(), len(order)],
        of=np.repeat(np.arange(len(starts)), sizes)[position],
        zone=zone[starts],
        rack=rack[starts],
    )


def _starts(zone: RowArray, rack: RowArray) -> Rows:
    """Return where a zone or rack begins, and every `CELL` positions within one."""
    if not len(zone):
        return np.zeros(0, dtype=np.intp)
    fresh = np.ones(len(zone), dtype=np.bool_)
    fresh[1:] = (zone[1:] != zone[:-1]) | (rack[1:] != rack[:-1])
    begins = np.flatnonzero(fresh)
    within = np.arange(len(zone)) - np.repeat(begins, np.diff(np.append(begins, len(zone))))
    starts: Rows = np.flatnonzero(within % CELL == 0)
    return starts
