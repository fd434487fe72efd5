# SPDX-License-Identifier: Apache-2.0
"""The map as a table, rack by rack: for readers without a canvas, or who prefer figures."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from billow.model.listing import figures
from billow.web.scene import Scene


@dataclass(frozen=True, slots=True)
class RackLine:
    """One rack in figures; shares are those of its hosts' mean, NaN when not seen."""

    zone: str
    rack: str
    hosts: int
    unwell: int
    instances: int
    cpu_reserved: float
    memory_reserved: float
    cpu_used: float
    memory_used: float
    fullest: str


def racks_of(scene: Scene) -> list[RackLine]:
    """Return one line per rack, in map order. Linear in hosts, in NumPy."""
    layout, pool = scene.picture.layout, scene.pool
    if not layout.counts:
        return []
    starts = np.concatenate(([0], np.cumsum(layout.counts)[:-1])).astype(np.intp)
    order = layout.order
    cpu, ram = figures.cpu_reserved(pool)[order], figures.memory_reserved(pool)[order]
    columns = (cpu, ram, figures.cpu_used(pool)[order], figures.memory_used(pool)[order])
    means = np.stack([_mean(column, starts) for column in columns], axis=1).tolist()
    unwell = np.add.reduceat((scene.marks[order] != 0).astype(np.int64), starts).tolist()
    instances = np.add.reduceat(figures.instance_counts(pool)[order], starts).tolist()
    fullest = _fullest(np.maximum(cpu, ram), starts, layout.counts)
    return [
        RackLine(
            zone=layout.zones[rack],
            rack=layout.racks[rack],
            hosts=layout.counts[rack],
            unwell=unwell[rack],
            instances=instances[rack],
            cpu_reserved=means[rack][0],
            memory_reserved=means[rack][1],
            cpu_used=means[rack][2],
            memory_used=means[rack][3],
            fullest=pool.hosts.id[order[fullest[rack]]],
        )
        for rack in range(len(layout.counts))
    ]


def _fullest(
    worst: npt.NDArray[np.float64], starts: npt.NDArray[np.intp], counts: tuple[int, ...]
) -> list[int]:
    """Return the place of the fullest host of each rack."""
    parts = zip(starts.tolist(), counts, strict=True)
    return [start + int(np.argmax(worst[start : start + count])) for start, count in parts]


def _mean(column: npt.NDArray[np.float64], starts: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    seen = ~np.isnan(column)
    total = np.add.reduceat(np.where(seen, column, 0.0), starts)
    many = np.add.reduceat(seen.astype(np.float64), starts)
    return np.where(many > 0, total / np.maximum(many, 1.0), np.nan)
