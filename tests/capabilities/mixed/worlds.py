# SPDX-License-Identifier: Apache-2.0
"""Pools in which both classes share hosts, with measurements of every kind."""

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from billow.model.history import History
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import Service, State
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.testing.strategies import pools

_SHAPES = {cpus: Shape(f"c{cpus}", cpus * 1000, 512) for cpus in (1, 2, 4, 8, 16)}
_SHARES = (float("nan"), 0.0, 0.05, 0.3, 0.6, 0.95, 1.0)
_WAITS = (float("nan"), 0.0, 0.0, 0.002, 0.01, 0.4)


@st.composite
def shared_pools(draw: st.DrawFn) -> Pool:
    """Draw a pool, its instances of both classes, measured or not, with and without a past."""
    base = draw(pools())
    dice = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    waits = float(dice.choice([0.0, 1.0]))
    instances = [_measured(each, dice, waits) for each in base.instance_views()]
    hosts = [
        replace(host, cpu_pressure=float(dice.choice(_SHARES[:6])), cpu_used_milli=float("nan"))
        for host in base.host_views()
    ]
    pool = Pool.build(hosts, instances, groups=base.groups, taken_at=base.taken_at)
    return pool.with_history(_past(pool, dice)) if draw(st.booleans()) else pool


def _measured(each: Instance, dice: np.random.Generator, waits: float) -> Instance:
    size = each.shape.cpu_milli
    batch = dice.random() < 0.6
    limit = int(size * dice.choice([0.0, 0.0, 0.05, 0.3, 0.9])) if batch else 0
    used = float(dice.choice(_SHARES)) * (limit or size) * (each.state is not State.PAUSED)
    return replace(
        each,
        service=Service.BATCH if batch else Service.LATENCY,
        cpu_limit_milli=limit,
        cpu_used_milli=used,
        cpu_wait=float(dice.choice(_WAITS)) * waits,
    )


def _past(pool: Pool, dice: np.random.Generator) -> History:
    count = len(pool.instances)
    samples = dice.random((count, int(dice.integers(0, 40)))).astype(np.float32) * 4000
    samples[dice.random(samples.shape) < 0.1] = np.nan
    return History(
        step_s=300.0,
        until=pool.taken_at,
        instances=pool.instances.id,
        cpu=samples,
        memory=samples,
        born=np.zeros(count),
        settled=pool.taken_at - dice.random(count) * 4000,
    )


def crowded_pools() -> st.SearchStrategy[Pool]:
    """Draw pools of full hosts, in which all that can be done to batch is done; quick to make."""
    return st.integers(0, 2**32 - 1).map(_crowded)


def _crowded(seed: int) -> Pool:
    dice = np.random.default_rng(seed)
    hosts = [
        Host(f"h{number}", (_node(dice),), cpu_ratio=20.0) for number in range(dice.integers(2, 6))
    ]
    room = {host.id: host.memory_mib for host in hosts}
    instances = []
    for number in range(int(dice.integers(1, 25))):
        host = f"h{dice.integers(0, len(hosts))}"
        room[host] -= 512
        if room[host] >= 0:
            instances.append(_resident(f"i{number}", host, dice))
    pool = Pool.build(hosts, instances, taken_at=1_700_000_000.0)
    return pool.with_history(_past(pool, dice)) if dice.random() < 0.3 else pool


def _node(dice: np.random.Generator) -> Node:
    return Node(int(dice.choice([4, 10, 16])) * 1000, int(dice.choice([4096, 65_536])))


def _resident(name: str, host: str, dice: np.random.Generator) -> Instance:
    cpus, batch = int(dice.choice(list(_SHAPES))), dice.random() < 0.5
    limit = int(cpus * 1000 * dice.choice([0, 0, 0, 0.05, 0.2, 0.8])) if batch else 0
    paused = batch and dice.random() < 0.15
    used = 0.0 if paused else float(dice.choice([0.0, 0.1, 0.5, 1.0])) * (limit or cpus * 1000)
    return Instance(
        name,
        _SHAPES[cpus],
        host=host,
        state=State.PAUSED if paused else State.RUNNING,
        priority=int(dice.choice([0, 5])),
        service=Service.BATCH if batch else Service.LATENCY,
        cpu_limit_milli=limit,
        cpu_used_milli=used,
        cpu_wait=float(dice.choice([0.0] * 9 + [0.001, 0.01, 0.3])),
    )
