# SPDX-License-Identifier: Apache-2.0
"""Real QEMU for the tests, in a state folder and namespaces of their own, all gone afterwards."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.engines.qemu.world import QemuStand, processes_of

from billow.act.durable import save
from billow.engines.qemu.probe import Findings, probe


@pytest.fixture
def anyio_backend() -> str:
    """Run in asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """Return what this machine can do, looked at once."""
    return asyncio.run(probe(tmp_path_factory.mktemp("probe"), os.environ))


@pytest.fixture
async def stand(tmp_path: Path, findings: Findings) -> AsyncIterator[QemuStand]:
    """Build a world, and clear it away."""
    stand = QemuStand(tmp_path / "state", findings)
    stand.folder.root.mkdir()
    save(stand.folder.settings, stand.plan)
    yield stand
    await stand.clear()
    assert processes_of(tmp_path) == []
