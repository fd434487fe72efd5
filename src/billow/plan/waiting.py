# SPDX-License-Identifier: Apache-2.0
"""Why an action found no moment: the words of its rejection."""

import numpy as np

from billow.model.action import Action, Evacuate, Migrate, Place, PowerOff, Resize, Start
from billow.model.counting import counted
from billow.model.plan import Rejection
from billow.model.resources import RESOURCES
from billow.plan.draft import Draft
from billow.plan.gates import Gates

_WORDS = dict(
    zip(
        RESOURCES,
        ("thousandths of a CPU", "MiB of memory", "MiB of huge pages", "GPUs"),
        strict=True,
    )
)


def why_waiting(draft: Draft, gates: Gates, action: Action) -> Rejection:
    """Return the rejection of an action that could not be given a place in the order."""
    reason, causes = _reason(draft, gates, action)
    return Rejection(action.subject, f"{action.name}: {reason}", causes, _fix(action))


def _reason(draft: Draft, gates: Gates, action: Action) -> tuple[str, tuple[str, ...]]:
    host = action.hosts[-1]
    row = draft.pool.host_row(host)
    if isinstance(action, PowerOff):
        return f"{host} still has {counted(gates.population(row), 'instance')}", ()
    if shut := _shut(gates, action, row):
        return shut, ()
    if isinstance(action, Place | Migrate | Evacuate | Resize):
        lacking = _lacking(draft, action, row)
        if lacking:
            return f"{host} has no room at any moment of the plan", lacking
        return f"{host} is not allowed by its group, or its NUMA nodes have no room", ()
    return "an earlier step on the same subject could not be ordered", ()


def _shut(gates: Gates, action: Action, row: int) -> str:
    """Return why the hosts of an action do not let it begin; empty when they do."""
    host = action.hosts[-1]
    if isinstance(action, Evacuate) and not gates.is_dead(action):
        return f"{action.source} is not seen without power"
    if not gates.powered[row]:
        return f"{host} has no power"
    if isinstance(action, Place | Migrate | Evacuate) and not gates.taking[row]:
        return f"{host} is cordoned"
    return ""


def _lacking(
    draft: Draft, action: Place | Migrate | Evacuate | Resize, host: int
) -> tuple[str, ...]:
    pool = draft.pool
    if isinstance(action, Resize):
        demand = np.array(action.new.demand) - np.array(action.old.demand)
    else:
        name = action.subject.removeprefix("instance/")
        demand = pool.demand[draft.shape[pool.instance_row(name)]]
    free = draft.free_hosts[host]
    return tuple(
        f"needs {demand[axis]} {_WORDS[resource]}, {max(int(free[axis]), 0)} free"
        for axis, resource in enumerate(RESOURCES)
        if demand[axis] > max(int(free[axis]), 0)
    )


def _fix(action: Action) -> str:
    match action:
        case PowerOff():
            return "move or stop them first (billow instance migrate)"
        case Evacuate() if not action.incident:
            return f"prove it first: billow host fence {action.source}, then choose another host"
        case Place() | Migrate() | Evacuate():
            return "choose another host, or let placement choose"
        case Resize():
            return "migrate it to a host with more room first"
        case Start():
            return f"power {action.host} on first"
        case _:
            return ""
