# SPDX-License-Identifier: Apache-2.0
"""A lab of real libvirtd hosts for the tests, in namespaces of its own, gone afterwards."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from labs.libvirt.lab import Lab
from tests.engines.libvirt.world import LibvirtStand, clear

CACHE = Path(__file__).parents[3] / ".cache" / "libvirt"
"""What libvirt found out about this machine's QEMU: the first look takes it seconds."""


@pytest.fixture
def anyio_backend() -> str:
    """Run in asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Bring two hosts up, once for all tests."""
    if os.geteuid() != 0:
        pytest.skip("namespaces with a libvirtd in each need root, as CI has it")
    with tempfile.TemporaryDirectory(prefix="bw", dir="/tmp") as folder:  # short
        lab = Lab(Path(folder), 2, CACHE)
        try:
            lab.up()
            yield lab
        finally:
            lab.down()


@pytest.fixture
async def stand(lab: Lab, tmp_path: Path) -> AsyncIterator[LibvirtStand]:
    """Give a test the empty lab and a state folder of its own."""
    yield LibvirtStand(lab, tmp_path)
    await clear(lab.hosts)
