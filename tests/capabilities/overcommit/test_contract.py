# SPDX-License-Identifier: Apache-2.0
"""Overcommit keeps what every capability promises, with and without measurements."""

from hypothesis import strategies as st

from billow.capabilities.overcommit import Overcommit, OvercommitPolicy
from billow.testing.capability_contract import CapabilityContract
from tests.capabilities.used_pools import used_pools

POLICIES = (
    OvercommitPolicy(),
    OvercommitPolicy(least_samples=1, reach=10.0, risk=0.01),
    OvercommitPolicy(least_samples=3, seen_share=0.1, most_memory_ratio=1.0),
    OvercommitPolicy(least_samples=1, seen_share=0.01, risk=0.2, plain_traits=frozenset({"ssd"})),
)


class TestOvercommit(CapabilityContract):
    capability = Overcommit()
    policies = st.sampled_from(POLICIES)
    pools = used_pools()


class TestOvercommitBlind(CapabilityContract):
    capability = Overcommit()
