# SPDX-License-Identifier: Apache-2.0
"""The host map as columns: where each host stands, and how full it is, a byte a figure.

A map of 10,000 hosts is one small message because it is cut from the pool's NumPy columns; no
Python object is made per host. This module must not ask anybody for anything: pools come in,
columns go out.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from billow.model.hosts import Hosts
from billow.model.kinds import Health, Power, code_of
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
Natural = tuple[str | int, ...]
_DIGITS = re.compile(r"(\d+)")


class Mark(IntEnum):
    """What a host's glyph says beside its colour; the worst that holds wins."""

    OK = 0
    CORDONED = 1
    SUSPECT = 2
    FAILED = 3
    OFF = 4
    UNKNOWN = 5

    @property
    def word(self) -> str:
        """The mark for a person."""
        return "ok" if self is Mark.OK else self.name.lower()


@dataclass(frozen=True, eq=False)
class Layout:
    """Where hosts stand on the map: zone by zone, rack by rack, in natural order of their names.

    Attributes:
        order: The host row at each place, `(hosts,) intp`.
        by_name: Host rows by name alone, h2 before h10, `(hosts,) intp`.
        zones, racks, counts: One entry per rack: its zone, its name, how many hosts it holds.
    """

    order: Order
    by_name: Order
    zones: tuple[str, ...]
    racks: tuple[str, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, hosts: Hosts) -> "Layout":
        """Arrange all hosts. Costs a sort of the names: about 20 ms for 10,000."""
        by_name = np.array(sorted(range(len(hosts)), key=_key_of(hosts.id)), dtype=np.intp)
        zone = _ranks(hosts.zone.categories)[hosts.zone.codes[by_name]]
        rack = _ranks(hosts.rack.categories)[hosts.rack.codes[by_name]]
        order = by_name[np.lexsort((rack, zone))]
        zones, racks = hosts.zone.codes[order], hosts.rack.codes[order]
        turns = np.flatnonzero((np.diff(zones) != 0) | (np.diff(racks) != 0)) + 1
        starts = np.concatenate(([0], turns)) if len(order) else turns[:0]
        counts = np.diff(np.append(starts, len(order)))
        return cls(
            order,
            by_name,
            tuple(hosts.zone.categories[zones[start]] for start in starts),
            tuple(hosts.rack.categories[racks[start]] for start in starts),
            tuple(map(int, counts)),
        )


def marks(hosts: Hosts) -> Shares:
    """Return each host's `Mark`, `(hosts,) uint8`, in row order."""
    mark = np.full(len(hosts), Mark.OK, dtype=np.uint8)
    mark[~hosts.cordon.where("")] = Mark.CORDONED
    mark[hosts.health == code_of(Health.SUSPECT)] = Mark.SUSPECT
    mark[hosts.health == code_of(Health.UNKNOWN)] = Mark.UNKNOWN
    mark[hosts.power == code_of(Power.UNKNOWN)] = Mark.UNKNOWN
    mark[hosts.power == code_of(Power.OFF)] = Mark.OFF
    mark[hosts.health == code_of(Health.FAILED)] = Mark.FAILED
    return mark


def cpu_reserved(pool: Pool) -> FloatArray:
    """Return what is reserved of the CPUs that may be sold, `(hosts,) float64`, 1.0 = all."""
    return _share(pool.reserved[:, CPU], pool.hosts.sellable[..., CPU].sum(axis=1))


def memory_reserved(pool: Pool) -> FloatArray:
    """Return what is reserved of ordinary memory and huge pages together, `(hosts,) float64`."""
    sellable = pool.hosts.sellable[..., [MEMORY, HUGE]].sum(axis=(1, 2))
    return _share(pool.reserved[:, [MEMORY, HUGE]].sum(axis=1), sellable)


def cpu_used(pool: Pool) -> FloatArray:
    """Return what is used of the physical CPUs, `(hosts,) float64`, NaN when not seen."""
    return _share(pool.hosts.cpu_used, pool.hosts.capacity[..., CPU].sum(axis=1))


def memory_used(pool: Pool) -> FloatArray:
    """Return what is used of the physical memory, `(hosts,) float64`, NaN when not seen."""
    physical = pool.hosts.capacity[..., [MEMORY, HUGE]].sum(axis=(1, 2))
    return _share(pool.hosts.memory_used, physical)


def instance_counts(pool: Pool) -> npt.NDArray[np.int64]:
    """Return how many instances each host holds, `(hosts,) int64`."""
    placed = pool.instances.host[pool.instances.host >= 0]
    return np.bincount(placed, minlength=len(pool.hosts))


def columns(pool: Pool, predicted: Pool | None, order: Order) -> dict[str, Column]:
    """Return what the map draws and its hover tells, in map order.

    `predicted` gives the predicted shares; without it they are those of today.
    """
    after = pool if predicted is None else predicted
    at = _rows_in(after, pool, order)
    capacity = pool.hosts.capacity.sum(axis=1)[order]
    return {
        "mark": marks(pool.hosts)[order],
        "cpu_reserved": steps(cpu_reserved(pool)[order]),
        "memory_reserved": steps(memory_reserved(pool)[order]),
        "cpu_used": steps(cpu_used(pool)[order]),
        "memory_used": steps(memory_used(pool)[order]),
        "cpu_predicted": steps(np.where(at < 0, np.nan, cpu_reserved(after)[at])),
        "memory_predicted": steps(np.where(at < 0, np.nan, memory_reserved(after)[at])),
        "instances": np.minimum(instance_counts(pool)[order], 65535).astype(np.uint16),
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


def _share(part: npt.NDArray[np.generic], whole: npt.NDArray[np.generic]) -> FloatArray:
    share: FloatArray = np.asarray(part, dtype=np.float64) / np.maximum(whole, 1)
    return share


def natural(text: str) -> Natural:
    """Return a sort key that puts h2 before h10."""
    parts = _DIGITS.split(text)
    return tuple(int(part) if place % 2 else part for place, part in enumerate(parts))


def _key_of(ids: Sequence[str]) -> Callable[[int], Natural]:
    keys = [natural(name) for name in ids]
    return keys.__getitem__


def _ranks(categories: Sequence[str]) -> npt.NDArray[np.int64]:
    ranks = np.zeros(len(categories), dtype=np.int64)
    for rank, code in enumerate(sorted(range(len(categories)), key=_key_of(categories))):
        ranks[code] = rank
    return ranks
