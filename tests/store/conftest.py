# SPDX-License-Identifier: Apache-2.0
"""Stores for tests, on each kind of database."""

from collections.abc import AsyncIterator

import pytest

from billow.store import Store


@pytest.fixture
def anyio_backend() -> str:
    """SQLAlchemy speaks asyncio only."""
    return "asyncio"


@pytest.fixture
async def store(database_url: str, anyio_backend: str) -> AsyncIterator[Store]:
    """An open store on an empty database."""
    opened = await Store.open(database_url)
    yield opened
    await opened.aclose()
