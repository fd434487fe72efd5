# SPDX-License-Identifier: Apache-2.0
"""What stands around every page: tree on the left, run log below, figures in the header."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from billow.model.event import Event, EventKind
from billow.web.house import House
from billow.web.scene import Scene

LOG_LINES = 40
RACKS_AT_ONCE = 120
"""Racks that are sent with every page; above that a zone brings its racks when it is opened."""
QUIET = frozenset({EventKind.POOL_SENSED, EventKind.STEP_PROGRESS})
"""Events that would drown all others in a list of lines."""


@dataclass(frozen=True, slots=True)
class Rack:
    """A rack in the tree: its name and how many hosts it holds."""

    name: str
    hosts: int


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone in the tree."""

    name: str
    hosts: int
    racks: tuple[Rack, ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """Everything around the work area.

    Attributes:
        section: The first part of the path, for the tab that is marked.
        unfolded: Whether the tree holds its racks already.
        after: The newest event's id; the live stream goes on from there.
    """

    section: str
    pool: str
    engine: str
    hosts: int
    instances: int
    zones: Sequence[Zone]
    unfolded: bool
    log: Sequence[Event]
    after: int


async def frame_of(house: House, path: str) -> Frame:
    """Return what stands around a page."""
    scene = await house.scene()
    events = await house.billow.events(limit=3 * LOG_LINES, newest=True)
    newest = sorted(events, key=lambda event: -event.id)
    zones = zones_of(scene)
    return Frame(
        section=path.strip("/").partition("/")[0] or "home",
        pool=house.billow.settings.pool,
        engine=house.billow.settings.engine,
        hosts=len(scene.pool.hosts),
        instances=len(scene.pool.instances),
        zones=zones,
        unfolded=sum(len(zone.racks) for zone in zones) <= RACKS_AT_ONCE,
        log=[event for event in newest if event.kind not in QUIET][:LOG_LINES],
        after=newest[0].id if newest else 0,
    )


def zones_of(scene: Scene) -> list[Zone]:
    """Return the zones with their racks, in map order."""
    layout = scene.picture.layout
    rows = zip(layout.zones, layout.racks, layout.counts, strict=True)
    zones = []
    for name, group in groupby(rows, key=lambda row: row[0]):
        racks = tuple(Rack(rack, hosts) for _, rack, hosts in group)
        zones.append(Zone(name, sum(rack.hosts for rack in racks), racks))
    return zones
