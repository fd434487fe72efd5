# SPDX-License-Identifier: Apache-2.0
"""Home: the host map, its hover, the pool's totals, the tree's racks, and search."""

import json

from starlette.responses import JSONResponse, Response

from billow.errors import Invalid
from billow.model.kinds import State, code_of, value_of
from billow.model.listing.figures import Mark
from billow.model.listing.hosts import MARKS
from billow.model.listing.search import containing
from billow.model.resources import HUGE, MEMORY
from billow.web.frame import zones_of
from billow.web.listing import number_in
from billow.web.racks import racks_of
from billow.web.scene import Scene, document
from billow.web.visit import Visit
from billow.web.words import cpus, memory

MEASURES = ("reserved", "used", "predicted")
RESOURCES = ("cpu", "memory")
MOST_HOVERED = 512
SHOWN_PER_HOST = 8
FOUND = 8


async def home(visit: Visit) -> Response:
    """Show the pool: every host on one map."""
    scene = await visit.house.forecast()
    measure, resource = visit.asked.get("measure", ""), visit.asked.get("resource", "")
    return await visit.page(
        "home.html",
        scene=scene,
        totals=scene.totals,
        marks=MARKS,
        states=_states(scene),
        measure=measure if measure in MEASURES else "reserved",
        resource=resource if resource in RESOURCES else "cpu",
    )


async def racks(visit: Visit) -> Response:
    """Show the map as a table, rack by rack."""
    lines = racks_of(await visit.scene())
    if visit.is_fragment:
        return visit.part("parts/rack_rows.html", racks=lines)
    return await visit.page("racks.html", racks=lines)


async def map_document(visit: Visit) -> Response:
    """Send the map's columns."""
    return JSONResponse(document(await visit.house.forecast()))


async def residents(visit: Visit) -> Response:
    """Send the instances of some hosts in map order: the first few of each, by name."""
    scene = await visit.scene()
    last = len(scene.picture.layout.order)
    first = _whole(visit.asked.get("first", ""), last)
    count = _whole(visit.asked.get("count", ""), MOST_HOVERED)
    rows = scene.picture.layout.order[first : first + count].tolist()
    return Response(
        json.dumps([_on_host(scene, row) for row in rows], ensure_ascii=False),
        media_type="application/json",
    )


async def trend(visit: Visit) -> Response:
    """Send the pool's totals since the console started, as columns."""
    points = visit.house.scenes.trend
    names = ("at", "cpu_reserved", "memory_reserved", "cpu_used", "memory_used")
    return JSONResponse({name: [_number(getattr(each, name)) for each in points] for name in names})


async def tree_racks(visit: Visit) -> Response:
    """Send the racks of one zone, for the tree."""
    scene, wanted = await visit.scene(), visit.asked.get("zone", "")
    zone = next((zone for zone in zones_of(scene) if zone.name == wanted), None)
    return visit.part("parts/racks.html", zone=zone)


async def tree_hosts(visit: Visit) -> Response:
    """Send the hosts of one rack, for the tree."""
    scene = await visit.scene()
    place = (visit.asked.get("zone", ""), visit.asked.get("rack", ""))
    layout = scene.picture.layout
    first = 0
    for zone, rack, count in zip(layout.zones, layout.racks, layout.counts, strict=True):
        if (zone, rack) == place:
            rows = layout.order[first : first + count].tolist()
            hosts = [(scene.pool.hosts.id[row], Mark(int(scene.marks[row])).word) for row in rows]
            return visit.part("parts/hosts.html", hosts=hosts)
        first += count
    return visit.part("parts/hosts.html", hosts=[])


async def search(visit: Visit) -> Response:
    """Find hosts and instances by a part of their name."""
    scene, text = await visit.scene(), visit.asked.get("q", "").strip()[:300]
    found = {
        noun: [ids[row] for row in containing(ids, text).nonzero()[0][:FOUND].tolist()]
        for noun, ids in (("host", scene.pool.hosts.id), ("instance", scene.pool.instances.id))
    }
    if not text:
        found = {"host": [], "instance": []}
    if visit.is_fragment:
        return visit.part("parts/found.html", found=found, text=text)
    return await visit.page("search.html", found=found, text=text)


def _states(scene: Scene) -> list[tuple[str, int]]:
    """Return how many instances are in which state; states that nobody is in are left out."""
    state = scene.pool.instances.state
    counts = [(each.value, int((state == code_of(each)).sum())) for each in State]
    return [(word, count) for word, count in counts if count]


def _on_host(scene: Scene, row: int) -> dict[str, object]:
    everyone = scene.on_host(row)
    table, pool = scene.pool.instances, scene.pool
    shown = []
    for each in everyone[:SHOWN_PER_HOST].tolist():
        cpu, *rest = pool.demand[table.shape[each]].tolist()
        size = f"{cpus(cpu)} \N{MULTIPLICATION SIGN} {memory(rest[MEMORY - 1] + rest[HUGE - 1])}"
        shown.append([table.id[each], value_of(State, table.state[each]).value, size])
    return {"total": len(everyone), "shown": shown}


def _whole(text: str, most: int) -> int:
    if not text.isdigit():
        raise Invalid("first and count are whole numbers", fix="use the console's own map")
    return 0 if text == "0" else number_in(text, 0, most=max(most, 1))


def _number(value: float) -> float | None:
    return None if value != value else round(value, 4)  # noqa: PLR0124 - NaN is not itself
