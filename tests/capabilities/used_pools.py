# SPDX-License-Identifier: Apache-2.0
"""Random pools whose instances are seen to use something, with and without a past."""

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from billow.model.column import frozen
from billow.model.history import History
from billow.model.pool import Pool
from billow.model.resources import CPU, MEMORY
from billow.testing.strategies import pools

STEP_S = 300.0


@st.composite
def used_pools(draw: st.DrawFn) -> Pool:
    """Draw a pool of which use is seen; hosts sell up to four times their CPUs."""
    pool = draw(pools(most_instances=16))
    dice = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    samples = draw(st.sampled_from((0, 1, 3, 24)))
    heat = draw(st.sampled_from((0.3, 1.0, 3.0)))
    count = len(pool.instances)
    bought = pool.demand[pool.instances.shape]
    use = dice.gamma(1.0, heat, (count, max(samples, 1))) * bought[:, [CPU]]
    held = dice.uniform(0.2, 1.0, (count, max(samples, 1))) * bought[:, [MEMORY]]
    use[dice.random(use.shape) < 0.1] = np.nan
    instances = replace(
        pool.instances,
        cpu_used=frozen(use[:, -1].astype(np.float32)),
        memory_used=frozen(held[:, -1].astype(np.float32)),
        cpu_wait=frozen(dice.choice([np.nan, 0.0, 0.3], count).astype(np.float32)),
        service=frozen(dice.integers(0, 2, count).astype(np.uint8)),
    )
    ratio = frozen(dice.choice([1.0, 2.0, 4.0], len(pool.hosts)))
    hosts = replace(
        pool.hosts,
        cpu_ratio=ratio,
        load=frozen(dice.choice([np.nan, 1.0, 200.0], len(pool.hosts))),
        memory_pressure=frozen(dice.choice([np.nan, 0.0, 0.9], len(pool.hosts))),
    )
    past = None
    if samples:
        past = History(
            STEP_S,
            pool.taken_at,
            pool.instances.id,
            use.astype(np.float32),
            held.astype(np.float32),
            np.full(count, pool.taken_at - 86_400.0),
            pool.taken_at - dice.choice([60.0, 86_400.0], count),
        )
    return replace(pool, hosts=hosts, instances=instances, history=past)
