# SPDX-License-Identifier: Apache-2.0
"""The contracts of engines say what they found when they are broken."""

import pytest

pytest.register_assert_rewrite(
    "billow.testing.bmc_contract",
    "billow.testing.engine_contract",
    "billow.testing.engine_evacuation",
    "billow.testing.engine_refusals",
)
