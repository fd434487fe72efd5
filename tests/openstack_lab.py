# SPDX-License-Identifier: Apache-2.0
"""A real OpenStack for the tests: one lab for all of a run, started when the first test asks.

BILLOW_OPENSTACK_TEST_LAB names the folder of a lab that is used as it is and left running: to start
one takes a minute, and whoever writes tests need not wait for it each time. Tests remove every
server of that lab, and those that need a part that it does not have are skipped.
"""

import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
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
    with _running() as lab:
        yield lab


@pytest.fixture(scope="session")
def parts_lab() -> Iterator["Lab"]:
    """Bring up a lab with a real Cinder, a real Gnocchi, three machines of a real Ironic."""
    with _running(parts=("metrics", "volumes"), metal=MACHINES) as lab:
        yield lab


@contextmanager
def _running(parts: Collection[str] = (), metal: int = 0) -> Iterator["Lab"]:
    from labs.openstack import Lab

    told = os.environ.get("BILLOW_OPENSTACK_TEST_LAB")
    if told:
        lab = Lab.started(Path(told), COMPUTES)
        lab.gates.clear()
        lab.seeding.wipe()
        lab.machines.restore()
        yield lab
        lab.close()
        return
    with tempfile.TemporaryDirectory(prefix="bo", dir="/tmp", ignore_cleanup_errors=True) as folder:
        lab = Lab.laid_out(Path(folder), VENV, parts=parts, metal=metal)
        try:
            lab.up(COMPUTES)
            yield lab
        finally:
            lab.down()


@pytest.fixture
def fresh_cloud(openstack_lab: "Lab", monkeypatch: pytest.MonkeyPatch) -> Iterator["Lab"]:
    """Give a test the lab, without servers or faults, as its cloud; put right what it leaves."""
    yield from _fresh(openstack_lab, monkeypatch)


@pytest.fixture
def fresh_volumes(parts_lab: "Lab", monkeypatch: pytest.MonkeyPatch) -> Iterator["Lab"]:
    """Give a test the lab with Cinder likewise."""
    yield from _fresh(parts_lab, monkeypatch, "volumes")


@pytest.fixture
def fresh_metrics(parts_lab: "Lab", monkeypatch: pytest.MonkeyPatch) -> Iterator["Lab"]:
    """Give a test the lab with Gnocchi likewise, which knows no server."""
    yield from _fresh(parts_lab, monkeypatch, "metrics")


@pytest.fixture
def fresh_machines(parts_lab: "Lab", monkeypatch: pytest.MonkeyPatch) -> Iterator["Lab"]:
    """Give a test the lab with machines of Ironic's likewise: available, and on."""
    yield from _fresh(parts_lab, monkeypatch, "metal")


def _fresh(lab: "Lab", monkeypatch: pytest.MonkeyPatch, *parts: str) -> Iterator["Lab"]:
    for part in parts:
        if part not in lab.places.parts:
            pytest.skip(f"{lab.places.root} has no {part}: bring it up with --{part}")
    for name, value in lab.environment.items():
        monkeypatch.setenv(name, value)
    yield lab
    lab.restore()
