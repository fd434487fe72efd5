# SPDX-License-Identifier: Apache-2.0
"""What every capability promises, kept by defragmentation."""

from hypothesis import strategies as st

from billow.capabilities.defrag import Defrag, DefragPolicy
from billow.testing.capability_contract import CapabilityContract

some = st.sampled_from


class TestDefrag(CapabilityContract):
    capability = Defrag()
    policies = st.one_of(
        st.just(DefragPolicy()),
        st.builds(
            DefragPolicy,
            cpu_milli=some([1000, 4000]),
            memory_mib=some([0, 2048]),
            numa_nodes=some([0, 1, 2]),
            count_memory=st.booleans(),
            slots_wanted=some([0, 0, 3]),
        ),
    )
