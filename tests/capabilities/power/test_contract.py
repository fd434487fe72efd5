# SPDX-License-Identifier: Apache-2.0
"""Power keeps the contract of capabilities, whether use is known or not."""

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from billow.capabilities.power import Power, PowerPolicy
from billow.model.column import frozen
from billow.model.pool import Pool
from billow.model.resources import CPU
from billow.testing.capability_contract import CapabilityContract
from billow.testing.strategies import pools

POLICIES = st.builds(
    PowerPolicy,
    spare_hosts=st.sampled_from([0, 1, 2]),
    least_on_per_zone=st.sampled_from([0, 1]),
    overload_share=st.sampled_from([0.002, 0.05]),
    all_on=st.sampled_from([False, False, False, True]),
)


@st.composite
def used_pools(draw: st.DrawFn) -> Pool:
    """Draw a pool whose instances are seen to use some share of their CPUs, or more than theirs."""
    pool = draw(pools(requests=draw(st.booleans())))
    count = len(pool.instances)
    shares = draw(st.lists(st.sampled_from([0.1, 0.5, 1.0, 3.0]), min_size=count, max_size=count))
    size = pool.demand[pool.instances.shape, CPU] if count else np.zeros(0)
    used = (np.array(shares) * size).astype(np.float32)
    return replace(pool, instances=replace(pool.instances, cpu_used=frozen(used)))


class TestPower(CapabilityContract):
    capability = Power()
    policies = POLICIES


class TestPowerWithUse(CapabilityContract):
    capability = Power()
    policies = POLICIES
    pools = used_pools()
