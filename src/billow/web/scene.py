# SPDX-License-Identifier: Apache-2.0
"""What every page needs of the current pool, worked out once: the map, who lives where.

A scene lives as long as its pool is the freshest one; of the few before it only the pictures are
kept, so that a browser that shows an older map is sent only what has changed. This module must
not decide anything.
"""

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from billow.model.instances import NOWHERE
from billow.model.listing import figures
from billow.model.pool import Pool
from billow.model.resources import CPU, HUGE, MEMORY
from billow.web import heatmap
from billow.web.heatmap import Column, Layout, Order

KEPT = 32
"""Pictures that a browser may still catch up from."""
TREND = 720
"""Points of the pool's totals that are kept: an hour at one sensing in five seconds."""


@dataclass(frozen=True, slots=True)
class Totals:
    """The pool in six figures; shares are 1.0 = all, NaN when not seen."""

    at: float
    cpu_reserved: float
    memory_reserved: float
    cpu_used: float
    memory_used: float
    instances: int


@dataclass(frozen=True, eq=False)
class Picture:
    """One state of the map, small enough to be kept for browsers that still show it.

    Attributes:
        version: Names it to browsers; another process never gives the same.
        columns: As `heatmap.columns`.
        predicted_by: The id of the plan behind the predicted columns; empty for none.
    """

    version: str
    taken_at: float
    layout: Layout
    columns: Mapping[str, Column]
    predicted_by: str = ""


@dataclass(frozen=True, eq=False)
class Scene:
    """The freshest pool, ready to be shown."""

    pool: Pool
    picture: Picture

    @cached_property
    def residents(self) -> tuple[Order, Order]:
        """Instance rows sorted by host, and where each host row's part starts (`hosts + 1`)."""
        host = self.pool.instances.host
        order = np.argsort(host, kind="stable")
        starts = np.searchsorted(host[order], np.arange(len(self.pool.hosts) + 1))
        return order, starts

    def on_host(self, row: int) -> Order:
        """Return the rows of the instances on a host, in the order of their names."""
        order, starts = self.residents
        return order[starts[row] : starts[row + 1]]

    @cached_property
    def waiting(self) -> int:
        """How many instances are on no host."""
        return int(np.count_nonzero(self.pool.instances.host == NOWHERE))

    @cached_property
    def marks(self) -> npt.NDArray[np.uint8]:
        """Each host's mark, in row order."""
        return figures.marks(self.pool.hosts)

    @cached_property
    def totals(self) -> Totals:
        """The whole pool in six figures."""
        hosts, reserved = self.pool.hosts, self.pool.reserved.sum(axis=0)
        sellable = hosts.sellable.sum(axis=(0, 1))
        physical = hosts.capacity.sum(axis=1)
        return Totals(
            self.pool.taken_at,
            float(reserved[CPU] / max(sellable[CPU], 1)),
            float(reserved[[MEMORY, HUGE]].sum() / max(sellable[[MEMORY, HUGE]].sum(), 1)),
            _seen_share(hosts.cpu_used, physical[:, CPU]),
            _seen_share(hosts.memory_used, physical[:, [MEMORY, HUGE]].sum(axis=1)),
            len(self.pool.instances),
        )


class Scenes:
    """The freshest scene and the pictures of the few before it."""

    def __init__(self) -> None:
        self._process = secrets.token_hex(4)
        self._count = 0
        self._pictures: OrderedDict[str, Picture] = OrderedDict()
        self.latest: Scene | None = None
        self.trend: list[Totals] = []

    def of(self, pool: Pool, predicted: Pool | None = None, predicted_by: str = "") -> Scene:
        """Return the scene of a pool, made when it is not the latest one already."""
        latest = self.latest
        if latest and latest.pool is pool and latest.picture.predicted_by == predicted_by:
            return latest
        layout = _layout(pool, latest)
        columns = heatmap.columns(pool, predicted, layout.order)
        self._count += 1
        version = f"{self._process}-{self._count}"
        self.latest = Scene(pool, Picture(version, pool.taken_at, layout, columns, predicted_by))
        self._keep(self.latest)
        return self.latest

    def recall(self, version: str) -> Picture | None:
        """Return an older picture by its version, or None when it is gone."""
        return self._pictures.get(version)

    def _keep(self, scene: Scene) -> None:
        self._pictures[scene.picture.version] = scene.picture
        while len(self._pictures) > KEPT:
            self._pictures.popitem(last=False)
        if not self.trend or self.trend[-1].at < scene.pool.taken_at:
            self.trend.append(scene.totals)
            del self.trend[:-TREND]


def difference(old: Picture, new: Picture) -> dict[str, object] | None:
    """Return what a browser must change to go from `old` to `new`; None to start anew."""
    if old.layout is not new.layout:
        return None
    places = heatmap.changes(old.columns, new.columns)
    return {
        "from": old.version,
        "to": new.version,
        "taken_at": new.taken_at,
        "predicted_by": new.predicted_by,
        "places": heatmap.packed({"": places})[""],
        "columns": heatmap.packed({name: column[places] for name, column in new.columns.items()}),
    }


def document(scene: Scene) -> dict[str, object]:
    """Return the whole map as JSON values: racks in order, names, packed columns."""
    picture, names = scene.picture, scene.pool.hosts.id
    return {
        "version": picture.version,
        "taken_at": picture.taken_at,
        "predicted_by": picture.predicted_by,
        "zones": picture.layout.zones,
        "racks": picture.layout.racks,
        "counts": picture.layout.counts,
        "names": "\n".join([names[row] for row in picture.layout.order.tolist()]),
        "columns": heatmap.packed(picture.columns),
    }


def _layout(pool: Pool, latest: Scene | None) -> Layout:
    if latest is not None and _same_places(latest.pool, pool):
        return latest.picture.layout
    return Layout.of(pool.hosts)


def _same_places(old: Pool, new: Pool) -> bool:
    return (
        old.hosts.id == new.hosts.id
        and old.hosts.zone.categories == new.hosts.zone.categories
        and old.hosts.rack.categories == new.hosts.rack.categories
        and np.array_equal(old.hosts.zone.codes, new.hosts.zone.codes)
        and np.array_equal(old.hosts.rack.codes, new.hosts.rack.codes)
    )


def _seen_share(used: npt.NDArray[np.float64], physical: npt.NDArray[np.int64]) -> float:
    seen = ~np.isnan(used)
    whole = physical[seen].sum()
    return float(used[seen].sum() / whole) if whole else float("nan")
