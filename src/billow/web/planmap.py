# SPDX-License-Identifier: Apache-2.0
"""A plan as two maps, before and after, with its moves between them. Plan in, columns out."""

from typing import Any

import numpy as np

from billow.model.action import Action, Delete, Evacuate, Migrate, Place
from billow.model.listing import figures
from billow.model.plan import Plan
from billow.model.pool import Pool
from billow.web import heatmap
from billow.web.heatmap import Layout, Order

ALL_BELOW = 13
"""Pools with fewer hosts are shown whole; of larger ones what the plan touches, unless asked."""
MOST_MOVES = 2_000
"""Moves that are drawn; more would be a carpet. The table has them all."""


def plan_map(plan: Plan, base: Pool, *, whole: bool) -> dict[str, Any]:
    """Return both maps and the moves as JSON values."""
    touched = _touched(plan, base)
    everything = whole or len(base.hosts) < ALL_BELOW or not len(touched)
    rows = np.arange(len(base.hosts)) if everything else touched
    layout = Layout.of(base.hosts.take(rows))
    order = rows[layout.order]
    place = {base.hosts.id[row]: at for at, row in enumerate(order.tolist())}
    moves = [_move(step.action, place) for step in plan.steps[:MOST_MOVES]]
    return {
        "version": plan.id,
        "zones": layout.zones,
        "racks": layout.racks,
        "counts": layout.counts,
        "names": "\n".join(place),
        "columns": heatmap.packed(
            {**_side(base, order, "before"), **_side(plan.predicted, order, "after")}
        ),
        "moves": [move for move in moves if move],
        "hosts": len(base.hosts),
        "shown": len(order),
        "touched": len(touched),
    }


def _side(pool: Pool, order: Order, name: str) -> dict[str, heatmap.Column]:
    return {
        f"mark_{name}": figures.marks(pool.hosts)[order],
        f"cpu_{name}": heatmap.steps(figures.cpu_reserved(pool)[order]),
        f"memory_{name}": heatmap.steps(figures.memory_reserved(pool)[order]),
    }


def _touched(plan: Plan, base: Pool) -> Order:
    known = base.hosts.row
    rows = {known[host] for step in plan.steps for host in step.action.hosts if host in known}
    return np.array(sorted(rows), dtype=np.intp)


def _move(action: Action, place: dict[str, int]) -> list[object] | None:
    """Return `[verb, instance, from, to]` with places on the map; -1 is outside of it."""
    match action:
        case Place():
            return ["place", action.instance.id, -1, place.get(action.host, -1)]
        case Migrate() | Evacuate():
            ends = place.get(action.source, -1), place.get(action.target, -1)
            return [action.name, action.instance, *ends]
        case Delete():
            return ["delete", action.instance, place.get(action.host, -1), -1]
        case _:
            return None
