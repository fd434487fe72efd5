# SPDX-License-Identifier: Apache-2.0
"""The lint of plans: a second opinion that shares no arithmetic with the draft that made them.

It walks the waves, counts what each host and NUMA node holds while all steps of a wave are under
way (a moving instance at both ends), and says which law is broken. An empty answer means: the plan
may be carried out. Linear in steps.
"""

from collections.abc import Iterator

import numpy as np

from billow.errors import NotFound
from billow.model.action import Action, Allot, Delete, Evacuate, Migrate, Place, Resize
from billow.model.instance import Instance
from billow.model.plan import Plan, Step
from billow.model.pool import Pool
from billow.model.resources import RESOURCES, IntArray
from billow.model.shape import Shape
from billow.plan.reach import barred


def violations(pool: Pool, plan: Plan) -> tuple[str, ...]:
    """Return every law that a plan for this pool breaks, in words; empty when it is sound."""
    broken = [*_broken_ids(plan), *_broken_subjects(plan)]
    broken += _broken_reach(pool, plan)
    if not broken:
        broken = list(_Ledger(pool).overdrafts(plan))
    return tuple(broken)


def _broken_ids(plan: Plan) -> Iterator[str]:
    wave_of: dict[str, int] = {}
    for step in plan.steps:
        if step.action.id in wave_of:
            yield f"action id {step.action.id} stands twice"
        wave_of[step.action.id] = step.wave
    for step in plan.steps:
        for needed in step.after:
            if wave_of.get(needed, step.wave) >= step.wave:
                yield f"{step.action.id} needs {needed}, which is not in an earlier wave"


def _broken_subjects(plan: Plan) -> Iterator[str]:
    for wave in plan.waves:
        seen: set[str] = set()
        for step in wave:
            if step.action.subject in seen:
                yield f"{step.action.subject} is changed twice in wave {step.wave}"
            seen.add(step.action.subject)


def _broken_reach(pool: Pool, plan: Plan) -> Iterator[str]:
    placed: dict[str, Instance] = {}
    for step in plan.steps:
        yield from barred(pool, step.action, placed)
        if isinstance(step.action, Place):
            placed[step.action.instance.id] = step.action.instance


class _Account:
    """What one host holds and may hold: row 0 in total, then a row for each NUMA node."""

    def __init__(self, pool: Pool, host: str) -> None:
        row = pool.host_row(host)
        nodes = slice(0, int(pool.hosts.node_count[row]))
        self._physical = pool.hosts.capacity[row, nodes]
        self._ratios = float(pool.hosts.cpu_ratio[row]), float(pool.hosts.memory_ratio[row])
        self._host = host
        self._taken = np.vstack([pool.reserved[row], pool.reserved_nodes[row, nodes]])
        # What was oversold before the plan is not the plan's fault, but must not get worse.
        self._limit = np.maximum(self._sold(self._ratios), self._taken)

    def allot(self, ratios: tuple[float, float], *, begun: bool) -> None:
        """Sell by other ratios; while that has only begun, by the lower of the old and the new."""
        if begun:
            lower = min(self._ratios[0], ratios[0]), min(self._ratios[1], ratios[1])
            self._limit = np.maximum(self._sold(lower), self._taken)
        else:
            self._limit = np.maximum(self._sold(ratios), self._taken)
            self._ratios = ratios

    def _sold(self, ratios: tuple[float, float]) -> IntArray:
        scale = np.array([ratios[0], ratios[1], 1.0, 1.0])
        each = np.floor(self._physical * scale).astype(np.int64)
        return np.vstack([each.sum(axis=0), each])

    def book(self, shape: Shape, nodes: tuple[int, ...], sign: int) -> None:
        """Take or give back what an instance of a shape takes here."""
        self._taken[0] += sign * np.array(shape.demand)
        for node in nodes:
            self._taken[1 + node] += sign * np.array(shape.share)

    def excess(self, wave: int) -> Iterator[str]:
        """Yield what is over its limit, in words."""
        for place, axis in np.argwhere(self._taken > self._limit).tolist():
            where = f"node {place - 1} of host {self._host}" if place else f"host {self._host}"
            held = f"{self._taken[place, axis]} of {self._limit[place, axis]} {RESOURCES[axis]}"
            yield f"{where} in wave {wave} would hold {held}"


class _Ledger:
    """What is taken of each host and node, and what there is."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._accounts: dict[str, _Account] = {}
        self._shape: dict[str, Shape] = {}
        self._nodes: dict[str, tuple[int, ...]] = {}

    def overdrafts(self, plan: Plan) -> Iterator[str]:
        for wave in plan.waves:
            touched = {host for step in wave for host in self._begin(step)}
            for host in sorted(touched):
                yield from self._accounts[host].excess(wave[0].wave)
            for step in wave:
                self._end(step.action)

    def _begin(self, step: Step) -> Iterator[str]:
        action = step.action
        match action:
            case Place():
                self._shape[action.instance.id] = action.instance.shape
                self._nodes[action.instance.id] = action.nodes
                yield self._book(action.instance.shape, action.host, action.nodes, 1)
            case Migrate() | Evacuate():
                shape = self._shape_of(action.instance)
                yield self._book(shape, action.target, action.target_nodes, 1)
            case Resize():
                self._book(action.old, action.host, action.old_nodes, -1)
                self._shape[action.instance] = action.new
                self._nodes[action.instance] = action.nodes
                yield self._book(action.new, action.host, action.nodes, 1)
            case Allot():
                self._account(action.host).allot(_ratios(action), begun=True)
            case _:
                pass

    def _end(self, action: Action) -> None:
        match action:
            case Migrate():
                shape = self._shape_of(action.instance)
                self._book(shape, action.source, action.source_nodes, -1)
                self._nodes[action.instance] = action.target_nodes
            case Evacuate():
                shape, nodes = self._shape_of(action.instance), self._nodes_of(action.instance)
                self._book(shape, action.source, nodes, -1)
                self._nodes[action.instance] = action.target_nodes
            case Delete():
                shape, nodes = self._shape_of(action.instance), self._nodes_of(action.instance)
                self._book(shape, action.host, nodes, -1)
            case Allot():
                self._account(action.host).allot(_ratios(action), begun=False)
            case _:
                pass

    def _book(self, shape: Shape, host: str, nodes: tuple[int, ...], sign: int) -> str:
        self._account(host).book(shape, nodes, sign)
        return host

    def _account(self, host: str) -> _Account:
        if host not in self._accounts:
            self._accounts[host] = _Account(self._pool, host)
        return self._accounts[host]

    def _shape_of(self, name: str) -> Shape:
        if name not in self._shape:
            try:
                self._shape[name] = self._pool.instance(name).shape
            except NotFound:
                raise NotFound(f"the plan moves {name}, which it has not placed") from None
        return self._shape[name]

    def _nodes_of(self, name: str) -> tuple[int, ...]:
        known = self._nodes.get(name)
        return self._pool.instance(name).nodes if known is None else known


def _ratios(action: Allot) -> tuple[float, float]:
    return action.cpu_ratio, action.memory_ratio
