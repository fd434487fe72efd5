# SPDX-License-Identifier: Apache-2.0
"""In which order actions can be done, so that no moment is over capacity: waves, one after another.

Every action of a wave may be under way at the same time, so a move holds room at both ends until
its wave is over; which of them really are, links decide (`traffic`). When nothing fits any more
because instances wait for each other's places, one of them goes by a third host. Cost: actions
times waves at worst; each try is constant.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from billow.model.action import (
    Action,
    Allot,
    Delete,
    Evacuate,
    Fence,
    Migrate,
    Place,
    PowerOff,
    PowerOn,
    Resize,
    Start,
    Uncordon,
)
from billow.model.instance import mask_of, nodes_of
from billow.model.instances import NOWHERE
from billow.model.plan import Rejection, Step
from billow.model.pool import Pool
from billow.plan.cost import estimate
from billow.plan.draft import Draft
from billow.plan.gates import Gates
from billow.plan.replay import prepared
from billow.plan.suit import node_mask, roomy, suits
from billow.plan.waiting import why_waiting


@dataclass(frozen=True, slots=True)
class Ordered:
    """Actions with ids, waves and dependencies, and those for which there is no way."""

    steps: tuple[Step, ...]
    rejections: tuple[Rejection, ...]


def order(pool: Pool, actions: Sequence[Action], plan_id: str) -> Ordered:
    """Arrange actions into waves; actions on one subject keep their order.

    Whatever can go, goes. Where that leaves something behind, because a later action took the room
    that an earlier one was waiting for, a second try lets nobody overtake on the way to a host.
    Action ids become `{plan_id}.{number}`.

    Raises:
        NotFound: an action on something that is not in the pool.
    """
    grown = prepared(pool, actions)
    found = _Ordering(grown, actions, plan_id).run()
    if not found.rejections:
        return found
    patient = _Ordering(grown, actions, plan_id, in_turn=True).run()
    return min(found, patient, key=lambda ordered: len(ordered.rejections))


class _Ordering:
    def __init__(
        self,
        pool: Pool,
        actions: Sequence[Action],
        plan_id: str,
        *,
        in_turn: bool = False,
    ) -> None:
        self._pool = pool
        self._draft = Draft(pool)
        self._gates = Gates(pool)
        self._plan_id = plan_id
        self._in_turn = in_turn
        self._pending = list(actions)
        self._steps: list[Step] = []
        self._wave = 0
        self._waited: set[str] = set()
        self._detoured: set[str] = set()
        self._last: dict[str, str] = {}
        self._left: defaultdict[str, list[str]] = defaultdict(list)
        self._ended: defaultdict[str, list[str]] = defaultdict(list)
        self._opened: defaultdict[str, list[str]] = defaultdict(list)

    def run(self) -> Ordered:
        while self._pending:
            wave = self._next_wave() or self._detour()
            if not wave:
                break
            self._commit(wave)
        return Ordered(tuple(self._steps), tuple(map(self._rejection, self._pending)))

    def _next_wave(self) -> list[Action]:
        wave: list[Action] = []
        rest: list[Action] = []
        busy: set[str] = set()
        claimed: set[str] = set()
        for action in self._pending:
            waits = action.subject in busy or _target(action) in claimed
            fits = not waits and self._admit(action)
            (wave if fits else rest).append(action)
            busy.add(action.subject)
            if self._in_turn and not fits and isinstance(action, Place | Migrate | Evacuate):
                claimed.add(_target(action))
        self._pending = rest
        return wave

    def _admit(self, action: Action) -> bool:
        if not self._gates.open_for(action):
            return False
        if not self._take(action):
            self._waited.add(action.subject)
            return False
        self._gates.enter(action)
        return True

    def _take(self, action: Action) -> bool:
        """Take the room that an action needs from its start on."""
        pool, draft = self._pool, self._draft
        match action:
            case Place():
                row, host = pool.instance_row(action.instance.id), pool.host_row(action.host)
                return draft.assign(row, host, mask_of(action.nodes))
            case Migrate() | Evacuate():
                row, host = pool.instance_row(action.instance), pool.host_row(action.target)
                return draft.begin(row, host, mask_of(action.target_nodes))
            case Resize():
                shape = pool.shapes.index(action.new)
                row = pool.instance_row(action.instance)
                return draft.reshape(row, shape, mask_of(action.nodes))
            case Allot():
                self._draft.allot(pool.host_row(action.host), _least(pool, action))
                return True
            case _:
                return True

    def _commit(self, wave: Sequence[Action]) -> None:
        """Number the actions of a wave, then give back what they held."""
        named = [
            replace(action, id=f"{self._plan_id}.{len(self._steps) + number}")
            for number, action in enumerate(wave)
        ]
        for action in named:
            cost = estimate(self._pool, action)
            self._steps.append(Step(action, self._wave, self._after(action), cost))
        for action in named:
            self._settle(action)
        self._wave += 1

    def _settle(self, action: Action) -> None:
        self._last[action.subject] = action.id
        self._gates.settle(action)
        match action:
            case Fence() | PowerOff():
                self._ended[action.host].append(action.id)
            case Migrate() | Evacuate():
                self._draft.settle(self._pool.instance_row(action.instance))
                self._leave(action.source, action)
            case Delete():
                self._draft.assign(self._pool.instance_row(action.instance), NOWHERE)
                self._leave(action.host, action)
            case Resize():
                self._leave(action.host, action)
            case PowerOn() | Uncordon():
                self._opened[action.host].append(action.id)
            case Allot():
                row = self._pool.host_row(action.host)
                self._draft.allot(row, (action.cpu_ratio, action.memory_ratio))
                self._opened[action.host].append(action.id)
            case _:
                pass

    def _leave(self, host: str, action: Migrate | Evacuate | Delete | Resize) -> None:
        self._left[host].append(action.id)
        group = self._pool.instances.group[self._pool.instance_row(action.instance)]
        if group:
            self._left[f"group/{group}"].append(action.id)

    def _after(self, action: Action) -> tuple[str, ...]:
        """Return what must have succeeded for this action to find its room."""
        needed: dict[str, None] = {}
        if action.subject in self._last:
            needed[self._last[action.subject]] = None
        target = _target(action)
        if isinstance(action, Place | Migrate | Evacuate | Start):
            needed |= dict.fromkeys(self._opened[target])
        if isinstance(action, Evacuate):
            needed |= dict.fromkeys(self._ended[action.source])
        if action.subject in self._waited or isinstance(action, PowerOff):
            needed |= dict.fromkeys(self._left[target])
            needed |= dict.fromkeys(self._left[f"group/{self._group(action)}"])
        return tuple(needed)

    def _group(self, action: Action) -> str:
        row = self._pool.instances.row.get(action.subject.removeprefix("instance/"), NOWHERE)
        return "" if row == NOWHERE else self._pool.instances.group[row]

    def _detour(self) -> list[Action]:
        """Send the smallest waiting instance that can by a third host, so that others can go on."""
        seen: set[str] = set()
        waiting: list[tuple[int, int, Migrate]] = []
        for position, action in enumerate(self._pending):
            first = action.subject not in seen
            seen.add(action.subject)
            if isinstance(action, Migrate) and first and action.subject not in self._detoured:
                waiting.append((self._memory_mib(action), position, action))
        for _, position, action in sorted(waiting, key=lambda entry: entry[:2]):
            if self._gates.open_for(action) and (hop := self._hop(action)):
                self._detoured.add(action.subject)
                rest = replace(action, source=hop.target, source_nodes=hop.target_nodes)
                self._pending[position] = rest
                return [hop]
        return []

    def _hop(self, action: Migrate) -> Migrate | None:
        row = self._pool.instance_row(action.instance)
        good = suits(self._pool, row) & roomy(self._draft, row) & self._gates.open_hosts
        good[[self._pool.host_row(action.source), self._pool.host_row(action.target)]] = False
        for host in np.flatnonzero(good).tolist():
            mask = node_mask(self._draft, row, host)
            if mask is not None and self._draft.begin(row, host, mask):
                hop = replace(
                    action,
                    target=self._pool.hosts.id[host],
                    target_nodes=nodes_of(mask),
                    reason=f"makes way on its way to {action.target}",
                )
                self._gates.enter(hop)
                return hop
        return None

    def _memory_mib(self, action: Migrate) -> int:
        row = self._pool.instance_row(action.instance)
        shape = self._pool.shapes[int(self._pool.instances.shape[row])]
        return shape.memory_mib

    def _rejection(self, action: Action) -> Rejection:
        return why_waiting(self._draft, self._gates, action)


def _least(pool: Pool, action: Allot) -> tuple[float, float]:
    """Return the ratios that hold while a host's are being changed: the lower of both."""
    row = pool.host_row(action.host)
    was = float(pool.hosts.cpu_ratio[row]), float(pool.hosts.memory_ratio[row])
    return min(was[0], action.cpu_ratio), min(was[1], action.memory_ratio)


def _target(action: Action) -> str:
    """Return the host that an action needs room or power on."""
    return action.hosts[-1]
