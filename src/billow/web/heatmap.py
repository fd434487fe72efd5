# SPDX-License-Identifier: Apache-2.0
"""The host map as columns: where each host stands, and how full it is, a byte a figure.

A map of 10,000 hosts is one small message because it is cut from the pool's NumPy columns; no
Python object is made per host. This module must not ask anybody for anything: pools come in,
columns go out.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from billow.model.hosts import Hosts
from billow.model.listing import figures
from billow.model.listing.order import by_name, natural, places, sorted_rows
from billow.model.pool import Pool
from billow.model.resources import CPU, GPU, HUGE, MEMORY, FloatArray

STEPS_PER_ONE = 200
"""A share of 1.0 is this many steps: half a percent each."""
FULLEST = 254
"""Shares beyond 127 % are shown as 127 %."""
NOT_SEEN = 255

Column = npt.NDArray[np.generic]
Shares = npt.NDArray[np.uint8]
Order = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Layout:
    """Where hosts stand on the map: zone by zone, rack by rack, in natural order of their names.

    Attributes:
        order: The host row at each place, `(hosts,) intp`.
        zones, racks, counts: One entry per rack: its zone, its name, how many hosts it holds.
    """

    order: Order
    zones: tuple[str, ...]
    racks: tuple[str, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, hosts: Hosts) -> "Layout":
        """Arrange all hosts. Costs a sort of the names: about 20 ms for 10,000."""
        names = by_name(hosts.id)
        zone = _ranks(hosts.zone.categories)[hosts.zone.codes[names]]
        rack = _ranks(hosts.rack.categories)[hosts.rack.codes[names]]
        order = names[np.lexsort((rack, zone))]
        zones, racks = hosts.zone.codes[order], hosts.rack.codes[order]
        turns = np.flatnonzero((np.diff(zones) != 0) | (np.diff(racks) != 0)) + 1
        starts = np.concatenate(([0], turns)) if len(order) else turns[:0]
        counts = np.diff(np.append(starts, len(order)))
        return cls(
            order,
            tuple(hosts.zone.categories[zones[start]] for start in starts),
            tuple(hosts.rack.categories[racks[start]] for start in starts),
            tuple(map(int, counts)),
        )


def columns(pool: Pool, predicted: Pool | None, order: Order) -> dict[str, Column]:
    """Return what the map draws and its hover tells, in map order.

    `predicted` gives the predicted shares; without it they are those of today.
    """
    after = pool if predicted is None else predicted
    at = _rows_in(after, pool, order)
    capacity = pool.hosts.capacity.sum(axis=1)[order]
    return {
        "mark": figures.marks(pool.hosts)[order],
        "cpu_reserved": steps(figures.cpu_reserved(pool)[order]),
        "memory_reserved": steps(figures.memory_reserved(pool)[order]),
        "cpu_used": steps(figures.cpu_used(pool)[order]),
        "memory_used": steps(figures.memory_used(pool)[order]),
        "cpu_predicted": steps(np.where(at < 0, np.nan, figures.cpu_reserved(after)[at])),
        "memory_predicted": steps(np.where(at < 0, np.nan, figures.memory_reserved(after)[at])),
        "instances": np.minimum(figures.instance_counts(pool)[order], 65535).astype(np.uint16),
        "cpus": (capacity[:, CPU] // 1000).astype(np.uint32),
        "memory_gib": (capacity[:, [MEMORY, HUGE]].sum(axis=1) // 1024).astype(np.uint32),
        "gpus": np.minimum(capacity[:, GPU], 255).astype(np.uint8),
    }


def steps(shares: FloatArray) -> Shares:
    """Return shares as steps of half a percent, `(n,) uint8`; NaN becomes `NOT_SEEN`."""
    within = np.clip(np.nan_to_num(shares, nan=0.0), 0.0, FULLEST / STEPS_PER_ONE)
    scaled = np.rint(within * STEPS_PER_ONE)
    return np.where(np.isnan(shares), NOT_SEEN, scaled).astype(np.uint8)


def packed(table: Mapping[str, Column]) -> dict[str, str]:
    """Return columns as base64 of their little-endian bytes, for JSON."""
    return {
        name: b64encode(column.astype(column.dtype.newbyteorder("<")).tobytes()).decode()
        for name, column in table.items()
    }


def changes(old: Mapping[str, Column], new: Mapping[str, Column]) -> npt.NDArray[np.uint32]:
    """Return the places at which any column differs, `(changed,) uint32`."""
    differs = np.zeros(len(next(iter(new.values()))), dtype=np.bool_)
    for name, column in new.items():
        differs |= np.asarray(old[name] != column)
    return np.flatnonzero(differs).astype(np.uint32)


def _rows_in(after: Pool, pool: Pool, order: Order) -> Order:
    if after is pool or after.hosts.id == pool.hosts.id:
        return order
    row = after.hosts.row
    rows = [row.get(pool.hosts.id[place], -1) for place in order.tolist()]
    return np.array(rows, dtype=np.intp)


def _ranks(categories: Sequence[str]) -> Order:
    """Return the place of each category in natural order."""
    return places(np.array(sorted_rows(categories, natural), dtype=np.intp))
