# SPDX-License-Identifier: Apache-2.0
"""Replay a day in the simulator, sample by sample, with or without `mixed` at the wheel."""

import argparse
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from billow.capabilities.mixed import Mixed, MixedPolicy
from billow.engines.sim.setting import Setting
from billow.engines.sim.usage import Usage
from billow.engines.sim.world import World
from billow.model.action import Action
from billow.model.history import History, Samples
from billow.model.policy import Limits
from billow.model.pool import Pool
from billow.model.resources import CPU, FloatArray
from billow.plan.compose import Stamp, compose
from billow.ports import Trace


@dataclass
class Day:
    """What a day came to.

    Attributes:
        wait_share: Of their time, over all latency-sensitive instances and samples.
        worst_wait_share: The same for the one that waited most.
        used_share: Of all CPUs, over the day.
    """

    wait_share: float = 0.0
    worst_wait_share: float = 0.0
    used_share: float = 0.0
    batch_cpu_hours: float = 0.0
    slowest_s: float = 0.0
    steps: Counter[str] = field(default_factory=Counter)


def replayed(pool: Pool, usage: Usage, arguments: argparse.Namespace, *, control: bool) -> Day:
    """Return what a day comes to. Names that begin with `batch` are batch."""
    return _Replay(pool, usage, arguments.step).run(arguments.hours * 3600, control=control)


class _Replay:
    def __init__(self, pool: Pool, usage: Usage, step_s: float) -> None:
        self._world = World(pool, Setting(usage=usage))
        self._step_s = step_s
        self._batch = np.array([name.startswith("batch") for name in pool.instances.id])
        self._cpu: list[Samples] = []
        self._settled = np.zeros(len(pool.instances))
        self._row = pool.instances.row
        self._policy = MixedPolicy()
        self._day = Day()
        self._times: list[float] = []

    def run(self, length_s: float, *, control: bool) -> Day:
        waits: list[FloatArray] = []
        used: list[float] = []
        for number in range(int(length_s / self._step_s)):
            self._world.advance(number * self._step_s)
            seen = self._world.seen()[0]
            self._cpu.append(seen.instances.cpu_used)
            waits.append(seen.instances.cpu_wait[~self._batch].astype(np.float64))
            used.append(float(seen.hosts.cpu_used.sum() / seen.hosts.capacity[..., CPU].sum()))
            if control:
                self._control(seen, number)
        got = np.array(self._cpu)[:, self._batch].sum(dtype=np.float64)
        by_instance = np.mean(waits, axis=0)
        self._day.wait_share = float(by_instance.mean())
        self._day.worst_wait_share = float(by_instance.max())
        self._day.used_share = float(np.mean(used))
        self._day.batch_cpu_hours = float(got) * self._step_s / 3600 / 1000
        self._day.slowest_s = float(np.quantile(self._times, 0.99)) if self._times else 0.0
        return self._day

    def _control(self, seen: Pool, number: int) -> None:
        window = self._policy.window_samples + self._policy.horizon_samples
        samples = np.array(self._cpu[-window:]).T
        past = History(
            step_s=self._step_s,
            until=self._world.now,
            instances=seen.instances.id,
            cpu=samples,
            memory=samples[:, :0],
            born=np.zeros(len(samples)),
            settled=self._settled,
        )
        pool = seen.with_history(past)
        started = time.process_time()
        proposal = Mixed().propose(pool, self._policy)
        self._times.append(time.process_time() - started)
        plan = compose(pool, [proposal], Limits(), Stamp(f"p{number}"))
        for wave in plan.waves:
            self._perform([step.action for step in wave])

    def _perform(self, wave: list[Action]) -> None:
        """Do what stands in one wave, side by side, and let the world's time pass."""
        operations = [self._world.submit(action, 1) for action in wave]
        while running := [each for each in operations if each.trace is Trace.RUNNING]:
            self._world.advance(min(each.due for each in running))
        for operation in operations:
            assert operation.trace is Trace.DONE, operation.error
            self._day.steps[operation.action.name] += 1
            if operation.action.name == "migrate":
                row = self._row[operation.action.subject.removeprefix("instance/")]
                self._settled[row] = self._world.now
