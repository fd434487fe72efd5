# SPDX-License-Identifier: Apache-2.0
"""Which moves cool the hot hosts: few, cheap, and none that makes another host hot.

Greedy, worst host first: of the instances that would be enough by themselves the cheapest, else
the one that helps most; it goes to the host that is the safest afterwards. Cost: for each move one
pass over hosts times window.
"""

from dataclasses import dataclass, field

import numpy as np

from billow.capabilities.hotspot.demand import Depths, Rows, demands, moves_lately
from billow.capabilities.hotspot.heat import Heat, acting, heat_of
from billow.capabilities.hotspot.noisy import neighbours
from billow.capabilities.hotspot.policy import HotspotPolicy
from billow.model.kinds import Kind, Service, State, code_of
from billow.model.pool import Pool
from billow.model.resources import BoolArray, FloatArray
from billow.plan.cost import copying
from billow.plan.draft import Draft
from billow.plan.forecast import depth, tail
from billow.plan.reach import reach_of
from billow.plan.suit import node_mask, suits

TRIES = 6
"""Instances of one host that are tried before it is left for the next pass."""
PASSES = 8
CALMEST = 128
"""Of more hosts only so many are weighed at first: those with the most to spare."""
TARGETS = 12
"""Hosts, safest first, of which one must have NUMA nodes and a group's leave."""
WORTH = 0.5
"""Part of the best relief that one who is moved more gladly must bring."""
EVEN = 1e-6
TENTH = 0.1
"""A tenth of a host above its target counts as much as one deviation of risk."""


@dataclass(frozen=True, slots=True)
class Move:
    """One move that cools: rows, and the forecast use of the source before and after."""

    instance: int
    source: int
    target: int
    source_nodes: int
    target_nodes: int
    before: float
    after: float


@dataclass(eq=False)
class Cooling:
    """What was found: moves in order, and the hosts that stay hot with what stood in the way."""

    moves: list[Move] = field(default_factory=list)
    stuck: dict[int, list[str]] = field(default_factory=dict)
    out_of_budget: bool = False


class Cooler:
    """Cools a pool in memory.

    Attributes:
        cpu, memory: What is wanted; changes with each move.
        heat: Which hosts are hot and why, as the pool was.
        noisy: Who makes others wait.
    """

    def __init__(self, pool: Pool, policy: HotspotPolicy) -> None:
        self.pool = pool
        self.policy = policy
        self.cpu, self.memory = demands(pool, policy)
        self.heat: Heat = heat_of(pool, policy, self.cpu, self.memory)
        self.noisy = neighbours(pool, policy, self.cpu, self.heat)
        self._draft = Draft(pool)
        self._most = (
            policy.cpu_target_share * self.cpu.capacity,
            policy.memory_target_share * self.memory.capacity,
        )
        self._need = depth(policy.risk_target)
        self._movable = _movable(pool, policy, self.cpu.seen | self.memory.seen)
        self._suits: dict[tuple[int, int, int], BoolArray] = {}
        self._refused: dict[tuple[int, int, int], float] = {}
        self._shared = _without_bare_metal(pool)
        self._hot_depth = depth(policy.risk_hot)
        self._budget = _budget(pool, policy)

    def run(self) -> Cooling:
        """Return the moves that cool what can be cooled."""
        found = Cooling()
        for _ in range(PASSES):
            before = len(found.moves)
            self._refused.clear()
            found.stuck.clear()
            hosts = np.flatnonzero(self._acting())
            for host in hosts[np.argsort(self.cpu.depth[hosts], kind="stable")].tolist():
                self._cool(host, found)
            if len(found.moves) == before:
                break
        still = self._acting()
        found.stuck = {host: why for host, why in found.stuck.items() if still[host]}
        return found

    def left(self, host: int) -> str:
        """Return what is wanted of a host after the moves, in one clause."""
        cpu, memory = self.cpu, self.memory
        share = cpu.forecast[host] / max(cpu.capacity[host], 1.0)
        said = f"{share:.0%} of its CPUs wanted by forecast, a chance of "
        said += f"{tail(cpu.depth[host : host + 1])[0]:.1%} that they do not suffice"
        if self.heat.memory_hot[host]:
            held = memory.forecast[host] / max(memory.capacity[host], 1.0)
            said += f", {held:.0%} of its memory wanted"
        return said

    def _acting(self) -> BoolArray:
        return acting(self.pool, self.policy, self.cpu, self.memory, self.heat.signs)

    def _cool(self, host: int, found: Cooling) -> None:
        found.stuck.pop(host, None)
        while not self.cool(host):
            if len(found.moves) >= self._budget:
                found.out_of_budget = True
                found.stuck[host] = ["the moves of a day are used up"]
                return
            move = self._best(host, found.stuck.setdefault(host, []))
            if move is None:
                return
            found.moves.append(move)
        found.stuck.pop(host, None)

    def cool(self, host: int) -> bool:
        """Return whether a host is below its targets."""
        return self._excess(host) <= EVEN

    def _excess(self, host: int) -> float:
        cpu, memory = self.cpu, self.memory
        rows = np.array([host])
        depths = cpu.depths_of(rows)
        return float(self._over(host, depths, cpu.forecast[rows], memory.forecast[rows])[0])

    def _over(
        self, hosts: Rows | int, depths: Depths, cpu: FloatArray, memory: FloatArray
    ) -> FloatArray:
        """Return how far hosts would be above their targets: deviations, and tenths of a host."""
        soon, usually = depths
        risk = np.maximum(self._need - soon, 0.0) + np.maximum(self._need - usually, 0.0)
        over: FloatArray = risk + self._above(hosts, cpu, memory)
        return over

    def _above(self, hosts: Rows | int, cpu: FloatArray, memory: FloatArray) -> FloatArray:
        """Return how much use is expected above the target shares, in tenths of a host."""
        most_cpu, most_memory = self._most
        used = np.maximum(cpu - most_cpu[hosts], 0.0) / np.maximum(self.cpu.capacity[hosts], 1.0)
        held = np.maximum(memory - most_memory[hosts], 0.0)
        held = held / np.maximum(self.memory.capacity[hosts], 1.0)
        above: FloatArray = (used + held) / TENTH
        return above

    def _loss(
        self, hosts: Rows | int, depths: Depths, cpu: FloatArray, memory: FloatArray
    ) -> FloatArray:
        """Return what hosts will suffer: samples of overload, and tenths of a host too much."""
        soon, usually = (tail(each) for each in depths)
        samples = self.policy.horizon_samples * soon + self.policy.half_life_samples * usually
        loss: FloatArray = samples + self._above(hosts, cpu, memory)
        return loss

    def _lost(self, hosts: Rows) -> FloatArray:
        cpu, memory = self.cpu, self.memory
        return self._loss(hosts, cpu.depths_of(hosts), cpu.forecast[hosts], memory.forecast[hosts])

    def _best(self, host: int, why: list[str]) -> Move | None:
        """Make the best move away from a host; None, with reasons, when there is none."""
        why.clear()
        here = np.flatnonzero(self._draft.host == host)
        rows = here[self._movable[here]]
        if not len(rows):
            why.append(f"{len(here)} instances, none of which may move now")
            return None
        for row in self._ranked(rows, host)[:TRIES]:
            target = self._target(row, host)
            if target is not None:
                return self._moved(row, host, *target)
        why.append("no host stays cool with one more of its instances")
        return None

    def _ranked(self, rows: Rows, host: int) -> list[int]:
        """Return instances, the most welcome first: who is enough and cheap, then who helps."""
        relief, enough = self._relief(rows, host)
        helps = relief > EVEN
        rows, relief, enough = rows[helps], relief[helps], enough[helps]
        if not len(rows):
            return []
        dear = copy_seconds(self.pool, rows)
        worth = relief >= WORTH * relief.max()
        ours = self.pool.instances
        gladly = (ours.priority[rows], ours.service[rows] != code_of(Service.BATCH))
        first = np.where(enough, dear, -relief)
        order = np.lexsort((rows, first, *gladly, ~worth, ~enough))
        return [int(row) for row in rows[order]]

    def _relief(self, rows: Rows, host: int) -> tuple[FloatArray, BoolArray]:
        """Return how much each departure would help, and whether it would be enough."""
        cpu, memory = self.cpu, self.memory
        left = self._over(
            host,
            cpu.depths_without(rows, host),
            cpu.forecast[host] - cpu.ahead[rows],
            memory.forecast[host] - memory.ahead[rows],
        )
        return self._excess(host) - left, left <= EVEN

    def _target(self, row: int, source: int) -> tuple[int, int] | None:
        """Return the host that is the safest with an instance, and its nodes; None for none."""
        zone, reach = self.pool.instances.zone.codes[row], reach_of(self.pool).code(row)
        key = int(self._draft.shape[row]), int(zone), reach
        wanted = float(self.cpu.ahead[row])
        if wanted >= self._refused.get(key, np.inf) - EVEN:
            return None
        open_to = self._open_to(key, row) & ~self.heat.now
        open_to[source] = False
        every = np.flatnonzero(open_to)
        hosts = self._better_with(row, self._calmest(every), source)
        if not len(hosts) and len(every) > CALMEST:
            hosts = self._better_with(row, every, source)
        for host in hosts[:TARGETS].tolist():
            mask = node_mask(self._draft, row, host)
            if mask is not None and self._draft.fits(row, host, mask):
                return host, mask
        if not len(hosts):
            self._refused[key] = wanted
        return None

    def _calmest(self, hosts: Rows) -> Rows:
        """Return the hosts with the most to spare by forecast, in the order of rows."""
        if len(hosts) <= CALMEST:
            return hosts
        cpu = self.cpu
        fill = np.maximum(cpu.forecast[hosts], cpu.usually[hosts]) / cpu.capacity[hosts]
        return hosts[np.sort(np.argpartition(fill, CALMEST)[:CALMEST])]

    def _better_with(self, row: int, hosts: Rows, source: int) -> Rows:
        """Return the hosts that may have an instance, those that stay cool with it first.

        Each is better for both hosts together, by what a move must be worth. Where none stays
        cool, one may get warmer that does not become hot.
        """
        demand = self.pool.demand[self._draft.shape[row]]
        hosts = hosts[(self._draft.free_hosts[hosts] >= demand).all(axis=1)]
        cpu, memory = self.cpu, self.memory
        used, held = (
            cpu.forecast[hosts] + cpu.ahead[row],
            memory.forecast[hosts] + memory.ahead[row],
        )
        depths = cpu.depths_with(row, hosts)
        over = self._over(hosts, depths, used, held)
        good = self._gain(row, hosts, source, depths) >= self.policy.worth_samples
        good &= (over <= 0) | (
            (depths[0] >= self._hot_depth)
            & (used <= self.policy.cpu_hot_share * cpu.capacity[hosts])
            & (held <= self.policy.memory_hot_share * memory.capacity[hosts])
        )
        better: Rows = hosts[good][np.lexsort((-np.minimum(*depths)[good], over[good]))]
        return better

    def _gain(self, row: int, hosts: Rows, source: int, depths: Depths) -> FloatArray:
        """Return what is saved by moving an instance to each of these hosts: see `_loss`."""
        cpu, memory = self.cpu, self.memory
        rows, here = np.array([row]), np.array([source])
        left = self._loss(
            source,
            cpu.depths_without(rows, source),
            cpu.forecast[source] - cpu.ahead[rows],
            memory.forecast[source] - memory.ahead[rows],
        )
        taken = self._loss(
            hosts,
            depths,
            cpu.forecast[hosts] + cpu.ahead[row],
            memory.forecast[hosts] + memory.ahead[row],
        )
        gain: FloatArray = self._lost(here) - left + self._lost(hosts) - taken
        return gain

    def _moved(self, row: int, source: int, target: int, mask: int) -> Move:
        _, nodes = self._draft.where(row)
        before = self._fill(source)
        self._draft.assign(row, target, mask)
        for each in (self.cpu, self.memory):
            each.move(row, source, target)
        after = self._fill(source)
        return Move(row, source, target, nodes, mask, before, after)

    def _fill(self, host: int) -> float:
        """Return which part of a host is wanted by forecast: of its CPUs or its memory."""
        parts = (
            each.forecast[host] / max(each.capacity[host], 1.0) for each in (self.cpu, self.memory)
        )
        return float(max(parts))

    def _open_to(self, key: tuple[int, int, int], row: int) -> BoolArray:
        if key not in self._suits:
            good = suits(self.pool, row) & self._shared
            if self.pool.shapes[key[0]].dedicated:
                good &= self.pool.hosts.cpu_ratio <= 1.0
            self._suits[key] = good
        return self._suits[key]


def copy_seconds(pool: Pool, rows: Rows) -> FloatArray:
    """Return how long each move would take over an average link of the pool, `(len,)`."""
    ours, link = pool.instances, max(float(np.median(pool.hosts.bandwidth)), 1.0)
    sizes = [pool.shapes[shape].memory_mib for shape in ours.shape[rows].tolist()]
    dirty = ours.dirty[rows].tolist()
    times = [copying(size, rate, link).seconds for size, rate in zip(sizes, dirty, strict=True)]
    return np.array(times)


def _movable(pool: Pool, policy: HotspotPolicy, seen: BoolArray) -> BoolArray:
    """Return who may be moved: running, known, not bound to its host, not moved lately."""
    ours = pool.instances
    good: BoolArray = ours.immovable.where("") & (ours.state == code_of(State.RUNNING))
    good &= (ours.kind != code_of(Kind.BARE_METAL)) & seen
    if pool.history is not None:
        settled = pool.history.settled_of(ours.id)
        moved = settled > pool.history.born_of(ours.id)
        good &= ~(moved & (settled > pool.history.until - policy.cool_down_s))
    return good


def _without_bare_metal(pool: Pool) -> BoolArray:
    """Return the hosts that are no instance's alone."""
    ours = pool.instances
    alone = ours.host[(ours.kind == code_of(Kind.BARE_METAL)) & (ours.host >= 0)]
    shared = np.ones(len(pool.hosts), dtype=np.bool_)
    shared[alone] = False
    return shared


def _budget(pool: Pool, policy: HotspotPolicy) -> int:
    """Return how many more moves today's budget holds."""
    if pool.history is None:
        return len(pool.instances)
    return max(0, int(policy.moves_per_host_day * len(pool.hosts)) - moves_lately(pool.history))
