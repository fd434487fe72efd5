# SPDX-License-Identifier: Apache-2.0
"""Who gives way, by how much, and who gets something back: one host after the other.

Down: the lowest priority and the largest relief first, each to what it keeps at least, then away.
Up: the highest priority first, a step at a time. What is given never reaches what would be taken
again: the room between both is wider than any one step of taking overshoots.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from billow.capabilities.mixed.demand import Demand, demand_of, waiting
from billow.capabilities.mixed.policy import MixedPolicy
from billow.model.action import Action, Migrate, Resume, Suspend, Throttle
from billow.model.instance import nodes_of
from billow.model.kinds import Kind, State, code_of
from billow.model.pool import Pool
from billow.model.resources import FloatArray
from billow.plan.draft import Draft
from billow.plan.suit import node_mask, roomy, suits

EVEN = 0.001
"""Part of a host's CPUs that counts as nothing."""
AHEAD = 0.5
"""Part of the room between less and more that is taken beforehand, so that steps are fewer."""
LEAST_LIFT = 0.05
"""Part of its CPUs below which a limit is not worth changing upwards."""
TARGETS = 12
CALM = 0.5
"""Part of the waiting threshold below which batch may get more."""
_AT_LIMIT, _BEYOND = 0.9, 1.1
"""An instance at its limit uses this much of it; more than the second was measured before it."""


@dataclass(slots=True)
class Batch:
    """One batch instance while it is decided on.

    Attributes:
        row, host: In the pool's tables.
        size, used, wanted: Thousandths of a CPU.
        limit: What it may use, 0 for all.
        least: What it keeps at least while it runs.
    """

    row: int
    host: int
    size: float
    used: float
    wanted: float
    priority: int
    limit: int
    least: int
    paused: bool

    @property
    def may(self) -> float:
        """What is counted for it: all of its limit, or what it wants."""
        if self.paused:
            return 0.0
        return min(float(self.limit), self.size) if self.limit else self.wanted


class Sharing:
    """Shares every host of a pool between both classes, in memory.

    Attributes:
        actions: What is to be done, in order; those on one instance follow each other.
    """

    def __init__(self, pool: Pool, policy: MixedPolicy) -> None:
        self.pool = pool
        self.policy = policy
        self.demand: Demand = demand_of(pool, policy)
        self.actions: list[Action] = []
        self.hot = waiting(pool, policy, self.demand.wait)
        self._calm = ~waiting(pool, policy, self.demand.wait, CALM)
        self._moves = 0
        self._allowed = self._most_now()
        self._roomy = self.demand.most(policy.safe_share - policy.room_share)
        self._on_host: dict[int, list[Batch]] = {}
        for each in self._batches():
            self._on_host.setdefault(each.host, []).append(each)

    def run(self) -> list[Action]:
        """Return what is to be done: less where it is too much, then more where there is room."""
        for host in sorted(self._on_host):
            if self.demand.capacity[host] > 0:
                self._give_way(host)
        for host in sorted(self._on_host):
            if self.demand.capacity[host] > 0 and self._calm[host]:
                self._give_back(host)
        return self.actions

    def allowed(self) -> FloatArray:
        """Return what batch may use of each host, thousandths of a CPU, `(hosts,)`."""
        return self._allowed

    def in_use(self, host: int) -> float:
        """Return what batch counts for on a host."""
        return sum(each.may for each in self._on_host.get(host, ()))

    @cached_property
    def _draft(self) -> Draft:
        return Draft(self.pool)

    def _batches(self) -> Iterator[Batch]:
        ours, demand, policy = self.pool.instances, self.demand, self.policy
        paused = code_of(State.PAUSED)
        alive = demand.running | ((ours.state == paused) & (ours.host >= 0))
        for row in np.flatnonzero(demand.batch & alive).tolist():
            host, size = int(ours.host[row]), float(demand.size[row])
            if size < 1:
                continue
            fair = min(size, float(demand.capacity[host]) or size)
            yield Batch(
                row,
                host,
                size,
                float(demand.used[row]),
                float(demand.wanted[row]),
                int(ours.priority[row]),
                int(ours.cpu_limit[row]),
                max(int(policy.least_share * fair), 1),
                bool(ours.state[row] == paused),
            )

    def _most_now(self) -> FloatArray:
        """Return what batch may use of each host; less than it does where others wait."""
        demand, ours = self.demand, self.pool.instances
        most = demand.most(self.policy.safe_share)
        used = np.where(demand.batch, demand.used, 0.0)
        placed = ours.host >= 0
        total = np.bincount(ours.host[placed], used[placed], minlength=len(most))
        return np.where(self.hot, np.minimum(most, (1 - self.policy.cut_share) * total), most)

    def _give_way(self, host: int) -> None:
        capacity = float(self.demand.capacity[host])
        even = EVEN * capacity
        excess = self.in_use(host) - float(self._allowed[host])
        if excess <= even:
            return
        why = self._why(host)
        running = [each for each in self._on_host[host] if not each.paused]
        ahead = 0.0 if self.hot[host] else AHEAD * self.policy.room_share * capacity
        excess += ahead
        for each in sorted(running, key=lambda b: (b.priority, b.least - b.may, b.row)):
            relief = min(excess, each.may - each.least)
            if relief >= 1:
                before = each.may
                self._limit(each, max(int(before - relief), each.least), why)
                excess -= before - each.may
        excess -= ahead
        for each in sorted(running, key=lambda b: (b.priority, -b.may, b.row)):
            if excess > even and each.may > 0:
                excess -= each.may
                if not self._move(each, why):
                    self._suspend(each, why)

    def _give_back(self, host: int) -> None:
        while True:
            ours = sorted(self._on_host[host], key=lambda b: (-b.priority, b.least, b.row))
            held = [each for each in ours if each.paused and each.limit]
            woken = [self._resume(each, host) for each in held]
            lifted = [self._lift(each, host) for each in ours] if all(woken) else []
            if not any(woken) and not any(lifted):
                return

    def _room(self, host: int) -> float:
        return float(self._roomy[host]) - self.in_use(host)

    def _resume(self, each: Batch, host: int) -> bool:
        """Let one go on that was suspended with a limit; others were suspended by somebody else."""
        need = min(float(each.limit), each.size)
        if each.used >= _AT_LIMIT * each.limit or need > self._room(host):
            return False
        each.paused = False
        self.actions.append(
            Resume(
                instance=self.pool.instances.id[each.row],
                host=self.pool.hosts.id[host],
                reason=f"{need / 1000:.3g} CPUs are left for it again",
            )
        )
        return True

    def _lift(self, each: Batch, host: int) -> bool:
        """Let one that uses all of its limit have a step more."""
        at_limit = _AT_LIMIT * each.limit <= each.used <= _BEYOND * each.limit
        if each.paused or not each.limit or not at_limit:
            return False
        wish = min(each.size, each.used + self.policy.step_share * each.size)
        limit = int(min(wish, each.limit + self._room(host)))
        if limit - each.limit < max(LEAST_LIFT * each.size, 1):
            return False
        self._limit(each, 0 if limit >= int(each.size) else limit, "its host has room again")
        return True

    def _why(self, host: int) -> str:
        demand = self.demand
        if self.hot[host]:
            wait = demand.wait[host]
            return (
                f"the host is under CPU pressure ({self.pool.hosts.cpu_pressure[host]:.0%})"
                if np.isnan(wait)
                else f"latency-sensitive instances wait {wait:.1%} of the time"
            )
        peak = (demand.peak[host] + demand.other) / demand.capacity[host]
        return (
            f"latency-sensitive instances may want {peak:.0%} of the host soon, and batch with "
            f"them more than {self.policy.safe_share:.0%}"
        )

    def _limit(self, each: Batch, limit: int, why: str) -> None:
        self.actions.append(
            Throttle(
                instance=self.pool.instances.id[each.row],
                host=self.pool.hosts.id[each.host],
                cpu_limit_milli=limit,
                was_milli=each.limit,
                reason=why,
            )
        )
        each.limit = limit

    def _suspend(self, each: Batch, why: str) -> None:
        """Suspend one; its limit tells afterwards that it may be resumed."""
        if not 0 < each.limit <= each.least:
            self._limit(each, each.least, why)
        each.paused = True
        self.actions.append(
            Suspend(
                instance=self.pool.instances.id[each.row],
                host=self.pool.hosts.id[each.host],
                reason=why,
            )
        )

    def _move(self, each: Batch, why: str) -> bool:
        """Move one that was limited only now to a host where batch has room for what it keeps."""
        fresh = each.limit > 0 and each.used > _BEYOND * each.limit
        if self._moves >= self.policy.moves or not fresh or not self._movable(each):
            return False
        for target in self._targets(each):
            mask = node_mask(self._draft, each.row, target)
            if mask is not None and self._draft.fits(each.row, target, mask):
                self._moved(each, target, mask, why)
                return True
        return False

    def _moved(self, each: Batch, target: int, mask: int, why: str) -> None:
        _, nodes = self._draft.where(each.row)
        self._draft.begin(each.row, target, mask)
        self._moves += 1
        self.actions.append(
            Migrate(
                instance=self.pool.instances.id[each.row],
                source=self.pool.hosts.id[each.host],
                target=self.pool.hosts.id[target],
                source_nodes=nodes_of(nodes),
                target_nodes=nodes_of(mask),
                reason=why,
            )
        )
        self._on_host[each.host].remove(each)
        each.host = target
        self._on_host.setdefault(target, []).append(each)

    def _movable(self, each: Batch) -> bool:
        ours, history = self.pool.instances, self.pool.history
        if self.hot[each.host] or ours.immovable[each.row]:
            return False  # who waits now is not helped by a copy that takes its time
        if ours.kind[each.row] == code_of(Kind.BARE_METAL):
            return False
        if history is None:
            return True
        settled = float(history.settled_of([ours.id[each.row]])[0])
        return not settled > history.until - self.policy.cool_down_s

    def _targets(self, each: Batch) -> list[int]:
        good = suits(self.pool, each.row) & roomy(self._draft, each.row) & self._calm
        good[each.host] = False
        left = self._roomy - self._taken
        good &= left >= each.may
        hosts = np.flatnonzero(good)
        ranked: list[int] = hosts[np.argsort(-left[hosts], kind="stable")][:TARGETS].tolist()
        return ranked

    @property
    def _taken(self) -> FloatArray:
        taken = np.zeros(len(self.pool.hosts))
        for host in self._on_host:
            taken[host] = self.in_use(host)
        return taken
