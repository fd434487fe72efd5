# SPDX-License-Identifier: Apache-2.0
"""Power keeps the contract of capabilities."""

from hypothesis import strategies as st

from billow.capabilities.power import Power, PowerPolicy
from billow.testing.capability_contract import CapabilityContract


class TestPower(CapabilityContract):
    capability = Power()
    policies = st.builds(
        PowerPolicy,
        spare_hosts=st.sampled_from([0, 1, 2]),
        least_on_per_zone=st.sampled_from([0, 1]),
        overload_share=st.sampled_from([0.002, 0.05]),
        all_on=st.sampled_from([False, False, False, True]),
    )
