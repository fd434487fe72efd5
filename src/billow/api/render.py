# SPDX-License-Identifier: Apache-2.0
"""The model's values as the documents that `answers` describes. Pure: nothing is asked."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from billow.model.codec import (
    entry_document,
    group_document,
    plan_document,
    run_document,
    shape_document,
)
from billow.model.document import Document, written
from billow.model.kinds import Health, Power, State
from billow.model.listing.hosts import host_grid
from billow.model.listing.instances import instance_grid
from billow.model.plan import Plan, Rejection
from billow.model.policy import Policy
from billow.model.pool import Pool
from billow.model.report import Report
from billow.model.resources import RESOURCES, CodeArray, IntArray
from billow.model.run import Phase, Run
from billow.plan import explain
from billow.policies import Knob, Policies, about


def pool_summary(name: str, pool: Pool) -> Document:
    """Return a pool in a few numbers. Linear in its columns; the digest is made when it is new."""
    hosts = pool.hosts
    return {
        "name": name,
        "digest": pool.digest,
        "taken_at": pool.taken_at,
        "hosts": len(hosts),
        "hosts_by_power": _tally(hosts.power, Power),
        "hosts_by_health": _tally(hosts.health, Health),
        "instances": len(pool.instances),
        "instances_by_state": _tally(pool.instances.state, State),
        "capacity": _amounts(hosts.sellable.sum(axis=(0, 1))),
        "reserved": _amounts(pool.reserved.sum(axis=0)),
        "used_cpu_milli": _seen_sum(hosts.cpu_used),
        "used_memory_mib": _seen_sum(hosts.memory_used),
        "shapes": [shape_document(shape) for shape in pool.shapes[:1000]],
        "groups": [group_document(group) for group in pool.groups[:1000]],
        "gaps": written(pool.gaps[:1000]),
    }


def host_document(pool: Pool, name: str) -> Document:
    """Return one host with its NUMA nodes. Raises NotFound."""
    row = pool.host_row(name)
    grid = host_grid(pool)
    free = pool.free_nodes[row]
    sellable = pool.hosts.sellable[row]
    return {
        **grid.show(row, list(grid.makers)),
        "nodes": [
            _amounts(sellable[node]) | _amounts(free[node], "free_")
            for node in range(int(pool.hosts.node_count[row]))
        ],
        "facts": _facts(pool, f"host/{name}"),
    }


def instance_document(pool: Pool, name: str) -> Document:
    """Return one instance with its size. Raises NotFound."""
    row = pool.instance_row(name)
    grid = instance_grid(pool)
    return {
        **grid.show(row, list(grid.makers)),
        "size": shape_document(pool.shapes[int(pool.instances.shape[row])]),
        "facts": _facts(pool, f"instance/{name}"),
    }


def plan_answer(plan: Plan, before: Pool, now: Pool) -> Document:
    """Return a plan with its words; `before` is the pool that it was made for, `now` as it is."""
    document = plan_document(plan)
    steps: Any = document.pop("steps")
    for step, shown in zip(plan.steps, steps, strict=True):
        shown["subject"] = step.action.subject
        shown["change"] = explain.change(step.action)
    return {
        **document,
        "steps": steps,
        "pool_unchanged": plan.based_on == now.digest,
        "footer": explain.footer(before, plan),
        "undo": explain.undo_text(plan),
    }


def run_row(run: Run) -> Document:
    """Return a run without its entries, with their counts."""
    phases = Counter(entry.phase for entry in run.entries.values())
    document = run_document(run)
    document.pop("entries")
    return {
        **document,
        "done": phases[Phase.DONE],
        "failed": phases[Phase.FAILED],
        "total": len(run.entries),
    }


def run_answer(run: Run, entries: str = "all") -> Document:
    """Return a run with what the journal knows of `all` actions, the `active` or `none`."""
    chosen = [
        entry
        for entry in run.entries.values()
        if entries == "all" or (entries == "active" and entry.phase is Phase.INTENDED)
    ]
    return {**run_row(run), "entries": [entry_document(entry) for entry in chosen]}


def report_answer(made: tuple[Report, Report | None], policy: Policy, plan_id: str) -> Document:
    """Return a report with the policy that it was made with, and the one after a plan."""
    report, after = made
    return {
        "name": report.name,
        "plan_id": plan_id,
        "policy": policy.model_dump(mode="json"),
        "report": written(report),
        "after": written(after) if after else None,
    }


def capability_document(policies: Policies, name: str) -> Document:
    """Return a capability with its knobs."""
    capability = policies.capability(name)
    return {
        "name": name,
        "about": about(capability),
        "reports": name in policies.reports,
        "policy": capability.policy.model_json_schema(),
        "knobs": [knob_document(knob) for knob in policies.knobs(name)],
    }


def knob_document(knob: Knob) -> Document:
    """Return a knob; its values are what JSON holds already."""
    return {**{each.name: getattr(knob, each.name) for each in fields(knob)},
            "choices": list(knob.choices)}  # fmt: skip


def rejection_documents(rejections: Sequence[Rejection]) -> list[object]:
    """Return rejections as documents."""
    return [written(rejection) for rejection in rejections]


def _tally(codes: CodeArray, vocabulary: type[StrEnum]) -> dict[str, int]:
    values = tuple(vocabulary)
    counts = np.bincount(codes, minlength=len(values)).tolist()
    return {str(value): count for value, count in zip(values, counts, strict=True) if count}


def _amounts(row: IntArray, prefix: str = "") -> dict[str, int]:
    return {
        prefix + name: int(amount) for name, amount in zip(RESOURCES, row.tolist(), strict=True)
    }


def _seen_sum(measures: npt.NDArray[np.floating[Any]]) -> float | None:
    """Return the sum of what was seen, or None when nothing was."""
    total = math.nan if np.all(np.isnan(measures)) else float(np.nansum(measures))
    return None if math.isnan(total) else total


def _facts(pool: Pool, subject: str) -> dict[str, str]:
    return {fact.key: fact.value for fact in pool.facts if fact.subject == subject}
