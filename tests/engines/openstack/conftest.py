# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests of the engine `openstack`."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from labs.openstack import Lab, Sizes

from billow.engines.openstack import cloud, patience

pytest.register_assert_rewrite(
    "billow.testing.engine_contract",
    "billow.testing.engine_evacuation",
    "billow.testing.engine_refusals",
)


@pytest.fixture
def anyio_backend() -> str:
    """Run in asyncio."""
    return "asyncio"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, as suits a cloud in memory: it does at once what others do in seconds."""
    monkeypatch.setattr(patience, "FIRST_LOOK_S", 0.02)
    monkeypatch.setattr(patience, "LAST_LOOK_S", 0.1)
    monkeypatch.setattr(patience, "CERTAIN_S", 0.2)
    monkeypatch.setattr(cloud, "WAITS_S", (0.01, 0.02, 0.05))


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Bring three hosts up, or use those of BILLOW_OPENSTACK_LAB, a folder; nobody else may."""
    root = os.environ.get("BILLOW_OPENSTACK_LAB")
    sizes = Sizes(vcpus=8, memory_mib=32768, cpu_ratio=1.0, moves_at_once=8)
    with Lab.started(Path(root) if root else None, computes=3, sizes=sizes) as found:
        found.seeding.wipe()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in found.environment.items():
                patch.setenv(name, value)
            yield found
