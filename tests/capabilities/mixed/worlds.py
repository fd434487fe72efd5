# SPDX-License-Identifier: Apache-2.0
"""Pools in which both classes share hosts, with measurements of every kind."""

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from billow.model.history import History
from billow.model.instance import Instance
from billow.model.kinds import Service, State
from billow.model.pool import Pool
from billow.testing.strategies import pools

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
