# SPDX-License-Identifier: Apache-2.0
"""The carrier's hot-spot pool, sold as far as the overcommit capability goes, then lived in.

Servers use what PlanetLab's instances used, scaled so that 1,476 of them use 39.99 % of the cores,
as published. The first half of the day teaches; what is sold follows from it alone. The second half
is replayed with the hotspot capability, and measured.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.hotspot_replay import Moves, Outcome, replayed
from benchmarks.hotspot_traces import STEP_S, Trace, planetlab
from benchmarks.whitepaper_pools import (
    HOT_CORES,
    HOT_HOSTS,
    HOT_SERVERS,
    HOT_UTILISATION,
    HOT_WANTED,
    pool_hot,
)
from billow.capabilities.hotspot import Hotspot, HotspotPolicy
from billow.capabilities.overcommit import Overcommit, OvercommitPolicy
from billow.model.action import Migrate
from billow.model.column import frozen
from billow.model.history import History, Samples
from billow.model.instance import Instance
from billow.model.kinds import State
from billow.model.pool import Pool
from billow.model.resources import FloatArray
from billow.plan.replay import replay
from billow.plan.slots import Room

LEARNED = 144
"""Samples of the day that teach: half of it."""
MEMORY_SHARE = (0.25, 0.75)
"""Our assumption, since no licensed series exists: what servers hold of what they bought."""
RISK = 0.005
"""Of a host to be short of CPU at any time, when it has sold all."""
LIMIT = OvercommitPolicy(
    limit_share=1.0, risk=RISK, least_samples=LEARNED, most_memory_ratio=2.0, raise_by=0.05
)
SEED = 12


@dataclass(frozen=True, slots=True)
class Sold:
    """How far the pool was sold, and what came of it.

    Attributes:
        cpu_ratio, memory_ratio: Sold per physical unit, at most, over hosts.
        utilisation: Of the cores, over the half day after.
        outcome: Of the replay of that half day.
    """

    servers: int
    cpu_ratio: float
    memory_ratio: float
    utilisation: float
    outcome: Outcome


def sold(folder: Path) -> Sold:
    """Sell until overcommit allows no more, and live with it."""
    use = _use(folder)
    memory = np.random.default_rng(SEED).uniform(*MEMORY_SHARE, len(use)) * HOT_WANTED.memory_mib
    pool, count = pool_hot(HOT_SERVERS), HOT_SERVERS
    while True:
        seen = _seen(pool, use[:, :LEARNED], memory)
        proposal = Overcommit().propose(seen, LIMIT)
        pool = replay(pool, proposal.actions)
        fit = Room.of(pool).per_host(HOT_WANTED)
        if not fit.sum() or count + int(fit.sum()) > len(use):
            break
        pool, count = _filled(pool, fit.tolist(), count), count + int(fit.sum())
    later = use[:count, LEARNED:]
    bought = np.full(count, HOT_WANTED.cpu_milli, dtype=np.int64)
    trace = Trace("hot pool", bought, later, np.full(count, HOT_WANTED.memory_mib))
    per_cpu = float(bought.sum()) / (1000 * HOT_CORES * HOT_HOSTS) - 1e-9
    outcome = replayed(trace, HOT_CORES, per_cpu, _cooled)
    cores = 1000 * HOT_CORES * HOT_HOSTS
    utilisation = float(later.sum(axis=0).mean()) / cores * (1 - outcome.lost)
    hosts = pool.hosts
    return Sold(
        count, float(hosts.cpu_ratio.max()), float(hosts.memory_ratio.max()), utilisation, outcome
    )


def _cooled(pool: Pool) -> Moves:
    proposal = Hotspot().propose(pool, HotspotPolicy())
    moves = [action for action in proposal.actions if isinstance(action, Migrate)]
    return [(pool.instance_row(each.instance), pool.host_row(each.target)) for each in moves]


def _use(folder: Path) -> FloatArray:
    """Return what servers want, thousandths of a CPU, `(servers, 288)`: rows in a drawn order."""
    days = sorted((folder / "planetlab").glob("planetlab_*.csv.gz"))
    if not days:
        raise FileNotFoundError(f"no planetlab/planetlab_*.csv.gz in {folder}; name it with --data")
    rows = [trace.wanted / trace.bought[:, None] for trace in map(planetlab, days)]
    share = np.random.default_rng(SEED).permutation(np.concatenate(rows))
    wanted = HOT_UTILISATION * HOT_CORES * HOT_HOSTS / HOT_SERVERS / (HOT_WANTED.cpu_milli / 1000)
    scaled = share * (wanted / share[:HOT_SERVERS, :LEARNED].mean())
    use: FloatArray = np.minimum(scaled, 1.0) * HOT_WANTED.cpu_milli
    return use


def _seen(pool: Pool, use: FloatArray, memory: FloatArray) -> Pool:
    """Return the pool with the past that is known of it; instances are numbered by name."""
    count = len(pool.instances)
    cpu: Samples = use[:count].astype(np.float32)
    held = np.repeat(memory[:count, None], cpu.shape[1], axis=1).astype(np.float32)
    zeros = np.zeros(count)
    history = History(STEP_S, STEP_S * LEARNED, pool.instances.id, cpu, held, zeros, zeros)
    now = replace(
        pool.instances, cpu_used=frozen(cpu[:, -1].copy()), memory_used=frozen(held[:, -1].copy())
    )
    return replace(pool, instances=now, taken_at=STEP_S * LEARNED, history=history)


def _filled(pool: Pool, fit: list[int], count: int) -> Pool:
    """Return the pool with as many servers more on each host as fit."""
    more: list[Instance] = []
    for name, number in zip(pool.hosts.id, fit, strict=True):
        for _ in range(number):
            row = count + len(more)
            more.append(Instance(f"server{row:04}", HOT_WANTED, host=name, state=State.RUNNING))
    return Pool.build(pool.host_views(), [*pool.instance_views(), *more], shapes=pool.shapes)


def empty_room(cpu_ratio: float, memory_ratio: float) -> int:
    """Return how many servers the empty pool sells at given ratios."""
    empty = pool_hot(0)
    ratios = np.full(HOT_HOSTS, cpu_ratio), np.full(HOT_HOSTS, memory_ratio)
    hosts = replace(empty.hosts, cpu_ratio=frozen(ratios[0]), memory_ratio=frozen(ratios[1]))
    return Room.of(replace(empty, hosts=hosts)).fit(HOT_WANTED)
