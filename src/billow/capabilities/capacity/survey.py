# SPDX-License-Identifier: Apache-2.0
"""All that capacity knows of a pool, as numbers: what proposals warn of and reports show.

It decides nothing and words nothing.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from billow.capabilities.capacity.forecast import Forecast, forecasts
from billow.capabilities.capacity.policy import CapacityPolicy
from billow.capabilities.capacity.solve import Loss, losses
from billow.model.column import Categorical
from billow.model.kinds import Health, Power, code_of
from billow.model.pool import Pool
from billow.model.resources import CPU, GPU, MEMORY, RESOURCES, BoolArray, FloatArray, IntArray
from billow.model.shape import Shape
from billow.plan.fragmentation import OfShape, Sale, of_shapes, sale
from billow.plan.mix import considered, frequencies, unknown
from billow.plan.slots import Room


@dataclass(frozen=True, slots=True)
class Area:
    """A zone or a rack.

    Attributes:
        hosts, open: All hosts, and those that take something new.
        free: Of the open hosts, `(RESOURCES,)`, never negative.
        cpu_share, memory_share: Reserved of what the open hosts sell.
        slots: How many more of the main shape fit.
        meant: Whether it has hosts of the kind that the main shape needs, open or not.
    """

    name: str
    hosts: int
    open: int
    free: tuple[int, ...]
    cpu_share: float
    memory_share: float
    slots: int
    meant: bool


@dataclass(frozen=True, eq=False)
class Survey:
    """What fits, where, whether hosts may die, and until when it lasts.

    Attributes:
        shapes: The shapes that count, the heaviest first.
        in_use: How many placed instances each of them has.
        unknown: Names that the policy has and the pool has not.
        sale: The tiered answer: all of them sold, the largest first.
        zones, racks: The fullest first.
        why_no_forecast: Empty when there is one.
    """

    pool: Pool
    shapes: tuple[OfShape, ...]
    in_use: tuple[int, ...]
    unknown: tuple[str, ...]
    sale: Sale
    zones: tuple[Area, ...]
    racks: tuple[Area, ...]
    losses: tuple[Loss, ...]
    forecasts: tuple[Forecast, ...]
    why_no_forecast: str

    @property
    def main(self) -> OfShape | None:
        """The heaviest shape."""
        return self.shapes[0] if self.shapes else None

    @property
    def homeless(self) -> int:
        """Instances that would find no room, over all classes."""
        return sum(len(loss.homeless) for loss in self.losses)

    def dry_zones(self, policy: CapacityPolicy) -> tuple[Area, ...]:
        """Return the zones that are meant for the main shape and have too little room for it."""
        if self.main is None:
            return ()
        return tuple(z for z in self.zones if z.name and z.meant and z.slots < policy.zone_slots)


def survey(pool: Pool, policy: CapacityPolicy) -> Survey:
    """Return all that is known. Linear in hosts per shape and per class of hosts."""
    room = Room.of(pool)
    wanted = considered(pool, policy.shapes)
    counts = dict(zip((s.name for s in pool.shapes), frequencies(pool), strict=True))
    main = wanted[0].shape if wanted else None
    levels = pool.history.levels if pool.history else None
    found, why = forecasts(levels, _asleep(pool), policy)
    return Survey(
        pool,
        of_shapes(pool, wanted),
        tuple(counts[each.shape.name] for each in wanted),
        unknown(pool, policy.shapes),
        sale(room, [each.shape for each in wanted]),
        _areas(pool, room, pool.hosts.zone, main),
        _areas(pool, room, _racks(pool), main),
        losses(pool, policy.failures),
        found,
        why,
    )


def _asleep(pool: Pool) -> IntArray:
    """Return what sound hosts without power could sell, `(RESOURCES,) int64`."""
    hosts = pool.hosts
    asleep = (hosts.power == code_of(Power.OFF)) & (hosts.health == code_of(Health.OK))
    total: IntArray = hosts.sellable[asleep & hosts.cordon.where("")].sum(axis=(0, 1))
    return total


def _racks(pool: Pool) -> Categorical[str]:
    """Return each host's rack with its zone, since racks of two zones may share a name."""
    zone, rack = pool.hosts.zone, pool.hosts.rack
    width = max(len(rack.categories), 1)
    pairs, codes = np.unique(zone.codes * width + rack.codes, return_inverse=True)
    names = [
        _SLASH.join(
            part for part in (zone.categories[p // width], rack.categories[p % width]) if part
        )
        for p in pairs.tolist()
    ]
    return Categorical.coded(codes.astype(np.int32), names)


_SLASH: Final = "/"


def _areas(pool: Pool, room: Room, names: Categorical[str], main: Shape | None) -> tuple[Area, ...]:
    """Return the areas that hosts are in, those with the fewest slots first."""
    count = len(names.categories)
    total = np.bincount(names.codes, minlength=count)
    opened = np.bincount(names.codes, weights=room.open, minlength=count)
    free = _by_area(np.maximum(room.free, 0), room.open, names, count)
    sellable = _by_area(pool.hosts.sellable.sum(axis=1), room.open, names, count)
    reserved = _by_area(pool.reserved, room.open, names, count)
    slots: FloatArray = np.zeros(count)
    meant = np.zeros(count, dtype=np.bool_)
    if main is not None:
        per_host = room.per_host(main).astype(np.float64)
        slots += np.bincount(names.codes, weights=per_host, minlength=count)
        everywhere = Room(pool.hosts, room.free, room.free_nodes, np.ones(len(room.free), np.bool_))
        meant[names.codes[everywhere.suits(main)]] = True
    areas = [
        Area(
            names.categories[code],
            int(total[code]),
            int(opened[code]),
            tuple(int(amount) for amount in free[code]),
            _share(reserved[code, CPU : CPU + 1], sellable[code, CPU : CPU + 1]),
            _share(reserved[code, MEMORY:GPU], sellable[code, MEMORY:GPU]),
            int(slots[code]),
            bool(meant[code]),
        )
        for code in range(count)
        if total[code]
    ]
    return tuple(sorted(areas, key=lambda area: (area.slots, -area.cpu_share, area.name)))


def _by_area(
    amounts: IntArray, which: BoolArray, names: Categorical[str], count: int
) -> FloatArray:
    """Add amounts of some hosts by area, `(areas, RESOURCES)`."""
    columns = [
        np.bincount(names.codes[which], weights=amounts[which, resource], minlength=count)
        for resource in range(len(RESOURCES))
    ]
    total: FloatArray = np.stack(columns, axis=1)
    return total


def _share(part: FloatArray, whole: FloatArray) -> float:
    return float(part.sum() / whole.sum()) if whole.sum() else 0.0
