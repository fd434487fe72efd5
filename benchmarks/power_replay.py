# SPDX-License-Identifier: Apache-2.0
"""A day of CPU use, replayed step by step around a controller, by the rules of CloudSim's examples.

800 hosts, half HP ProLiant ML110 G4 (2 x 1,860 MIPS), half G5 (2 x 2,660 MIPS); the instance types
go by quarter of the name-sorted trace. One thousandth of a CPU stands for one MIPS. A controller
sees samples up to now; what it does counts from the next sample on. Memory decides how long a move
takes (half of 1 Gbit/s) and is not a limit; hosts wake at once; both as in those examples.
"""

import gzip
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from billow.model.column import frozen
from billow.model.history import History
from billow.model.hosts import Hosts
from billow.model.instances import Instances
from billow.model.kinds import Power, State, code_of
from billow.model.pool import Pool
from billow.model.shape import Shape

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

STEP_S = 300.0
HOSTS_OF_A_KIND = 400
CURVES = (
    (86, 89.4, 92.6, 96, 99.5, 102, 106, 108, 112, 114, 117),
    (93.7, 97, 101, 105, 110, 116, 121, 125, 129, 133, 135),
)
MIPS = (3720, 5320)
TYPES = ((2500, 870), (2000, 1740), (1000, 1740), (500, 613))
"""MIPS and MB of memory of the instances, by quarter of the trace."""
LINK_MB_S = 62.5
LOST_WHILE_MOVING = 0.1
JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True, eq=False)
class Day:
    """A trace: demand in MIPS, `(instances, samples)`, and what each instance is."""

    name: str
    demand: Array
    kind: Rows

    @property
    def memory_mb(self) -> Array:
        """Memory of each instance."""
        return np.array([float(memory) for _, memory in TYPES])[self.kind]

    @property
    def floor_kwh(self) -> float:
        """Every MIPS served on full G5 hosts, nothing idle: no controller can draw less."""
        joules = self.demand.sum() * STEP_S * CURVES[1][-1] / MIPS[1]
        return float(joules) / JOULES_PER_KWH


@dataclass
class Outcome:
    """What a day came to."""

    joules: float = 0.0
    moves: int = 0
    active_steps: int = 0
    overloaded_steps: int = 0
    lost: float = 0.0
    asked: float = 0.0
    switched_on: int = 0
    hosts: list[int] = field(default_factory=list)

    @property
    def kwh(self) -> float:
        """Energy of the day."""
        return self.joules / JOULES_PER_KWH

    @property
    def slatah(self) -> float:
        """Share of active host time in which less was given than asked."""
        return self.overloaded_steps / max(self.active_steps, 1)

    @property
    def pdm(self) -> float:
        """Share of what was asked that was lost while moving."""
        return self.lost / max(self.asked, 1e-9)


@dataclass(frozen=True, eq=False)
class Standing:
    """Where instances are and which hosts are on, between two samples."""

    host: Rows
    on: Mask


Controller = Callable[[Pool], Standing]
"""From the pool with its history up to now to what is from the next sample on."""


def read(path: Path) -> Day:
    """Return the day in a trace file: one line an instance, its name, then percent by sample."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt") as lines:
        rows = sorted(line.strip().split(",") for line in lines if line.strip())
    percent = np.array([[float(each) for each in row[1:]] for row in rows])
    kind = np.arange(len(rows)) * len(TYPES) // len(rows)
    mips = np.array([float(mips) for mips, _ in TYPES])[kind]
    return Day(path.name, percent * mips[:, None] / 100, kind)


def empty_pool(day: Day) -> Pool:
    """Return the hosts, all off, and the instances, on none."""
    count = HOSTS_OF_A_KIND
    capacity = np.zeros((2 * count, 1, 4), dtype=np.int64)
    capacity[:, 0, 0] = np.repeat(MIPS, count)
    capacity[:, 0, 1] = 4096
    texts = ["/".join(map(str, curve)) for curve in CURVES]
    hosts = Hosts.of_columns(
        [f"g{4 + kind}-{number:03}" for kind in range(2) for number in range(count)],
        capacity,
        power=np.full(2 * count, code_of(Power.OFF), dtype=np.uint8),
        cpu_ratio=np.full(2 * count, 1000.0),
        memory_ratio=np.full(2 * count, 100.0),
        power_curve=[text for text in texts for _ in range(count)],
    )
    shapes = [Shape(f"type{kind}", mips, memory) for kind, (mips, memory) in enumerate(TYPES)]
    instances = Instances.of_columns(
        [f"vm{number:05}" for number in range(len(day.demand))],
        day.kind.astype(np.int32),
        np.full(len(day.demand), -1, dtype=np.int32),
        state=np.full(len(day.demand), code_of(State.RUNNING), dtype=np.uint8),
    )
    return Pool.of_columns(hosts, instances, shapes=shapes)


def seen_at(pool: Pool, day: Day, state: Standing, step: int) -> Pool:
    """Return the pool as a controller sees it after a sample: nothing of what comes."""
    power = np.where(state.on, code_of(Power.ON), code_of(Power.OFF)).astype(np.uint8)
    until = (step + 1) * STEP_S
    past = day.demand[:, : step + 1].astype(np.float32)
    nothing = np.full(len(past), np.nan)
    history = History(STEP_S, until, pool.instances.id, past, past[:, :0], nothing, nothing)
    return replace(
        pool,
        taken_at=until,
        hosts=replace(pool.hosts, power=frozen(power)),
        instances=replace(pool.instances, host=frozen(state.host.astype(np.int32))),
        history=history,
    )


def replay(day: Day, start: Standing, controller: Controller) -> Outcome:
    """Return what a controller makes of a day."""
    pool, outcome, state = empty_pool(day), Outcome(), start
    _count(outcome, day, state, 0)
    for step in range(day.demand.shape[1] - 1):
        after = controller(seen_at(pool, day, state, step))
        _count_moves(outcome, day, state, after, step + 1)
        state = after
        _count(outcome, day, state, step + 1)
    return outcome


def _count(outcome: Outcome, day: Day, state: Standing, step: int) -> None:
    load = np.bincount(state.host, day.demand[:, step], 2 * HOSTS_OF_A_KIND)
    used = np.bincount(state.host, minlength=2 * HOSTS_OF_A_KIND) > 0
    mips = np.repeat(MIPS, HOSTS_OF_A_KIND)
    on = state.on | used
    outcome.joules += float(watts(load / mips)[on].sum()) * STEP_S
    outcome.active_steps += int(used.sum())
    outcome.overloaded_steps += int((load > mips + 1e-6).sum())
    outcome.asked += float(day.demand[:, step].sum()) * STEP_S
    outcome.hosts.append(int(on.sum()))


def _count_moves(outcome: Outcome, day: Day, old: Standing, new: Standing, step: int) -> None:
    """Count moves, what is lost while they last, and what hosts draw until they are left."""
    moved = old.host != new.host
    seconds = day.memory_mb / LINK_MB_S
    outcome.moves += int(moved.sum())
    outcome.switched_on += int((new.on & ~old.on).sum())
    demand = day.demand[:, step]
    outcome.lost += LOST_WHILE_MOVING * float((demand * seconds)[moved].sum())
    load = np.bincount(old.host, demand, 2 * HOSTS_OF_A_KIND)
    drawn = watts(load / np.repeat(MIPS, HOSTS_OF_A_KIND))
    for host in np.flatnonzero(old.on & ~new.on):
        left = seconds[moved & (old.host == host)]
        outcome.joules += float(drawn[host] * left.max(initial=0.0))


def watts(load: Array) -> Array:
    """Return what every host draws at its load."""
    points = np.linspace(0, 1, len(CURVES[0]))
    half, clipped = HOSTS_OF_A_KIND, np.clip(load, 0.0, 1.0)
    parts = [np.interp(clipped[:half], points, CURVES[0])]
    parts.append(np.interp(clipped[half:], points, CURVES[1]))
    return np.concatenate(parts)
