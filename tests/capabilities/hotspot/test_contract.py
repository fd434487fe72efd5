# SPDX-License-Identifier: Apache-2.0
"""Hotspot keeps what every capability promises, with and without measurements."""

from hypothesis import strategies as st

from billow.capabilities.hotspot import Hotspot, HotspotPolicy
from billow.testing.capability_contract import CapabilityContract
from tests.capabilities.used_pools import used_pools

POLICIES = (
    HotspotPolicy(),
    HotspotPolicy(cpu_hot_share=0.5, cpu_target_share=0.4),
    HotspotPolicy(memory_hot_share=0.5, memory_target_share=0.4, risk_act=0.1, risk_hot=0.2),
    HotspotPolicy(window_samples=4, half_life_samples=2, horizon_samples=1),
)


class TestHotspot(CapabilityContract):
    capability = Hotspot()
    policies = st.sampled_from(POLICIES)
    pools = used_pools()


class TestHotspotBlind(CapabilityContract):
    capability = Hotspot()
