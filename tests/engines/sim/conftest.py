# SPDX-License-Identifier: Apache-2.0
"""What the simulator's tests share."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Run in asyncio."""
    return "asyncio"
