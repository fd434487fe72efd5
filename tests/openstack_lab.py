# SPDX-License-Identifier: Apache-2.0
"""A real OpenStack for the tests: one lab for all of a run, started when the first test asks.

BILLOW_OPENSTACK_TEST_LAB names the folder of a lab that is used as it is and left running: to start
one takes a minute, and whoever writes tests need not wait for it each time. Tests remove every
server of that lab.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from labs.openstack import Lab

VENV = Path(__file__).parents[1] / ".cache" / "openstack"
"""Where OpenStack is installed, once for all runs."""
COMPUTES = 6
MACHINES = 3


@pytest.fixture(scope="session")
def openstack_lab() -> Iterator["Lab"]:
    """Bring six computes up, once; a test that takes it leaves nothing running, or wipes."""
    from labs.openstack import Lab

    told = os.environ.get("BILLOW_OPENSTACK_TEST_LAB")
    if told:
        lab = Lab.started(Path(told), COMPUTES)
        lab.gates.clear()
        lab.seeding.wipe()
        yield lab
        lab.close()
        return
    with tempfile.TemporaryDirectory(prefix="bo", dir="/tmp", ignore_cleanup_errors=True) as folder:
        lab = Lab.laid_out(Path(folder), VENV)
        try:
            lab.up(COMPUTES)
            yield lab
        finally:
            lab.down()


@pytest.fixture(scope="session")
def metal_lab(openstack_lab: "Lab") -> "Lab":
    """Let an Ironic drive three machines beside the computes, from the first test that asks on."""
    from labs.openstack import Lab

    with Lab.started(openstack_lab.places.root, COMPUTES, metal=MACHINES):
        return openstack_lab


@pytest.fixture
def fresh_cloud(openstack_lab: "Lab") -> Iterator["Lab"]:
    """Give a test the lab without servers or faults, and put right what it leaves."""
    yield openstack_lab
    openstack_lab.restore()


@pytest.fixture
def fresh_machines(metal_lab: "Lab", fresh_cloud: "Lab") -> "Lab":
    """Give a test the lab with machines of Ironic's, available and on."""
    metal_lab.machines.restore()
    return fresh_cloud
