# SPDX-License-Identifier: Apache-2.0
"""Mixed deployment: a simulated day of latency-sensitive load with batch beside it, three ways.

The day is replayed without batch, with batch that nobody controls, with batch that no host can
tell from the rest, and with `mixed`. The controller sees only samples up to now. How long somebody
waits is the simulator's model (src/billow/engines/sim/README.md), not a measurement of real hosts.
"""

import argparse
import gzip
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.figure import Better, Figure, Peer
from benchmarks.mixed_replay import Day, replayed
from billow.engines.sim.trace import Recorded
from billow.engines.sim.usage import DAY_S, Diurnal, Usage
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import Service, State
from billow.model.pool import Pool
from billow.model.resources import CPU, FloatArray
from billow.model.shape import Shape

HOST_CPUS, HOST_GIB = 32, 256
LATENCY = tuple(Shape(f"c{cpus}", cpus * 1000, cpus * 2048) for cpus in (1, 2, 4, 8))
BATCH = Shape("batch", 8000, 8192)
BATCH_PER_HOST = 4
SOLD = 1.5
"""Latency-sensitive CPUs sold per physical one, so that hosts would be well used without batch."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the size, the length, the seed, and a recorded day."""
    parser.add_argument("--hosts", type=int, default=12)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--step", type=float, default=60.0, help="seconds between two samples")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trace", type=Path, help="a PlanetLab day instead of a made-up one")


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Measure how long latency-sensitive instances wait, and what hosts are used for."""
    alone = replayed(_pool(arguments, 0), _usage(arguments), arguments, control=False)
    both = _pool(arguments, BATCH_PER_HOST)
    equal = replayed(_one_class(both), _usage(arguments), arguments, control=False)
    free = replayed(both, _usage(arguments), arguments, control=False)
    mixed = replayed(both, _usage(arguments), arguments, control=True)
    yield from _waits(alone, equal, free, mixed)
    for name, peer in (("no batch", alone), ("batch without control", free)):
        yield Figure(
            f"CPUs used with mixed, beside {name}",
            100 * mixed.used_share,
            "%",
            better=Better.HIGHER,
            peer=Peer(f"{name}, %", 100 * peer.used_share),
        )
    yield Figure(
        "CPU time that batch got with mixed",
        mixed.batch_cpu_hours,
        "CPU h",
        better=Better.HIGHER,
        peer=Peer("without control", free.batch_cpu_hours),
    )
    for verb in ("throttle", "suspend", "resume", "migrate"):
        steps = mixed.steps[verb] / arguments.hosts * DAY_S / (arguments.hours * 3600)
        yield Figure(f"steps of mixed per host and day, {verb}", steps, "steps")
    yield Figure("one proposal, p99", 1000 * mixed.slowest_s, "ms")


def _waits(alone: Day, equal: Day, free: Day, mixed: Day) -> Iterator[Figure]:
    for name, peer in (
        ("batch without control", free),
        ("batch that hosts cannot tell from the rest", equal),
        ("no batch at all", alone),
    ):
        yield Figure(
            f"time that latency-sensitive instances wait with mixed, beside {name}",
            100 * mixed.wait_share,
            "%",
            goal=0.1,
            peer=Peer(f"{name}, %", 100 * peer.wait_share),
        )
    yield Figure(
        "the same for the instance that waits most",
        100 * mixed.worst_wait_share,
        "%",
        peer=Peer("without control, %", 100 * free.worst_wait_share),
    )


def _pool(arguments: argparse.Namespace, batch: int) -> Pool:
    """Return hosts with latency-sensitive instances and so many batch ones each."""
    dice = np.random.default_rng(arguments.seed)
    node = Node(HOST_CPUS * 1000, HOST_GIB * 1024)
    hosts = [Host(f"h{number:02}", (node,), cpu_ratio=4.0) for number in range(arguments.hosts)]
    instances: list[Instance] = []
    for host in hosts:
        sold = 0
        while sold < SOLD * HOST_CPUS * 1000:
            shape = LATENCY[int(dice.integers(len(LATENCY)))]
            name = f"web-{len(instances):04}"
            instances.append(Instance(name, shape, host=host.id, state=State.RUNNING))
            sold += shape.cpu_milli
    crowd = [
        Instance(
            f"batch-{host.id}-{number}",
            BATCH,
            host=host.id,
            state=State.RUNNING,
            priority=number % 2,
            service=Service.BATCH,
            dirty_mib_s=10.0,
        )
        for host in hosts
        for number in range(batch)
    ]
    return Pool.build(hosts, [*instances, *crowd])


def _one_class(pool: Pool) -> Pool:
    """Return the pool as a cloud has it that does not know what is batch."""
    plain = [replace(each, service=Service.LATENCY) for each in pool.instance_views()]
    return Pool.build(pool.host_views(), plain)


class _Mixed(Usage):
    """Latency-sensitive instances as another usage has them, with sudden peaks; batch takes all."""

    def __init__(self, first: Usage, seed: int, step_s: float) -> None:
        self._first = first
        self._seed = seed
        self.every_s = step_s

    def measure(self, pool: Pool, now: float) -> tuple[FloatArray, FloatArray]:
        """Return what instances want."""
        cpu, memory = self._first.measure(pool, now)
        size = pool.demand[pool.instances.shape, CPU].astype(np.float64)
        batch = np.array([name.startswith("batch") for name in pool.instances.id])
        cpu = np.where(np.isnan(cpu), 0.0, cpu) * self._peaks(len(size), now)
        return np.where(batch, size, np.minimum(cpu, size)), np.nan_to_num(memory)

    def _peaks(self, count: int, now: float) -> FloatArray:
        """Let one in fifty want two and a half times as much for ten minutes."""
        dice = np.random.default_rng([self._seed, int(now // 600)])
        return np.where(dice.random(count) < 0.02, 2.5, 1.0)


def _usage(arguments: argparse.Namespace) -> Usage:
    names = [each.id for each in _pool(arguments, 0).instance_views()]
    if arguments.trace is None:
        first: Usage = Diurnal(arguments.seed)
    else:
        with gzip.open(arguments.trace, "rt") as lines:
            first = Recorded.read_planetlab(lines, names)
    return _Mixed(first, arguments.seed, arguments.step)
