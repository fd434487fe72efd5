# SPDX-License-Identifier: Apache-2.0
"""What the simulator's tests share."""

import pytest

pytest.register_assert_rewrite(
    "billow.testing.engine_contract",
    "billow.testing.engine_evacuation",
    "billow.testing.engine_refusals",
)


@pytest.fixture
def anyio_backend() -> str:
    """Run in asyncio."""
    return "asyncio"
