# SPDX-License-Identifier: Apache-2.0
"""The host table, a host's page, and what can be asked of a host."""

from anyio import to_thread
from starlette.responses import Response

from billow.model.ask import Ask
from billow.model.listing.hosts import MARKS
from billow.model.resources import RESOURCES
from billow.plan.baseline import baselines
from billow.web import host_table, instance_table
from billow.web.actions import host_actions, verb_named
from billow.web.commands import ON_HOSTS
from billow.web.forms import Form
from billow.web.history import history_of
from billow.web.listing import SIZES, address
from billow.web.pages.incidents import looked_after
from billow.web.scene import Scene
from billow.web.visit import Visit, go, under

MOST_RATIO = 1000.0
ON_PAGE = 200
"""Instances that a host's page shows itself; the table has the rest."""


async def hosts(visit: Visit) -> Response:
    """Show the table of hosts."""
    scene = await visit.scene()
    at = address("/hosts", visit.asked, host_table.FILTERS)
    page, lines = host_table.page_of(scene.pool, at)
    context = {
        "at": at,
        "page": page,
        "lines": lines,
        "sizes": SIZES,
        "zones": _named(scene.pool.hosts.zone.categories),
        "racks": _named(scene.pool.hosts.rack.categories),
        "marks": MARKS,
    }
    if visit.is_fragment:
        return visit.part("parts/host_rows.html", **context)
    return await visit.page("hosts.html", **context)


async def cpu_baseline(visit: Visit) -> Response:
    """Show the CPU that all hosts have, and which hosts are in the way of better ones."""
    scene = await visit.scene()
    found = await to_thread.run_sync(baselines, scene.pool)
    return visit.part("parts/cpu_baseline.html", baselines=found)


async def host(visit: Visit) -> Response:
    """Show one host: what it has, what is on it, what happened to it."""
    scene, name = await visit.scene(), visit.path("name")
    row = scene.pool.host_row(name)
    everyone = scene.on_host(row)
    template = "parts/host_live.html" if visit.is_fragment else "host.html"
    context = {
        "host": scene.pool.hosts.view(row),
        "line": host_table.line(scene.pool, row),
        "nodes": _nodes(scene, row),
        "instances": instance_table.views(scene.pool, tuple(everyone[:ON_PAGE].tolist())),
        "total": len(everyone),
        "facts": [fact for fact in scene.pool.facts if fact.subject == f"host/{name}"],
        "gaps": [gap for gap in scene.pool.gaps if gap.subject == f"host/{name}"],
    }
    if visit.is_fragment:
        return visit.part(template, **context)
    actions = host_actions(scene.pool.hosts.view(row), len(everyone))
    history = await history_of(visit.billow, f"host/{name}")
    known = await looked_after(visit, name)
    return await visit.page(template, **context, **known, actions=actions, history=history)


async def ask(visit: Visit) -> Response:
    """Make the plan of one request on a host, and go there to read it."""
    form, name = await visit.form(), visit.path("name")
    verb = verb_named(visit.path("verb"), ON_HOSTS)
    wanted = Ask(
        verb,
        name,
        why=form.text("why")[:200],
        cpu_ratio=_ratio(form, "cpu_ratio"),
        memory_ratio=_ratio(form, "memory_ratio"),
    )
    plan = await visit.billow.ask([wanted], actor=visit.person.name)
    return go(under("plans", plan.id))


def _ratio(form: Form, name: str) -> float | None:
    """Return a ratio for an allot; what is left empty stays."""
    return form.measure(name, 0, most=MOST_RATIO) if form.text(name) else None


def _named(categories: tuple[str, ...]) -> list[str]:
    return [category for category in categories if category]


def _nodes(scene: Scene, row: int) -> list[tuple[dict[str, int], dict[str, int]]]:
    """Return what each NUMA node of a host may sell, and what it has left."""
    pool = scene.pool
    count = int(pool.hosts.node_count[row])
    tables = (pool.hosts.sellable[row, :count].tolist(), pool.free_nodes[row, :count].tolist())
    has, free = ([dict(zip(RESOURCES, node, strict=True)) for node in table] for table in tables)
    return list(zip(has, free, strict=True))
