# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests of the engine `openstack`."""

import pytest

from billow.engines.openstack import cloud, patience, place
from billow.engines.openstack.recover import metal


@pytest.fixture
def anyio_backend() -> str:
    """Run in asyncio."""
    return "asyncio"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, as suits a cloud in memory: it does at once what others do in seconds."""
    monkeypatch.setattr(patience, "FIRST_LOOK_S", 0.02)
    monkeypatch.setattr(patience, "LAST_LOOK_S", 0.05)
    monkeypatch.setattr(patience, "CERTAIN_S", 0.2)
    monkeypatch.setattr(place, "LATE_S", 0.3)
    monkeypatch.setattr(cloud, "WAITS_S", (0.01, 0.02, 0.05))
    monkeypatch.setattr(metal, "APART_S", 0.05)
