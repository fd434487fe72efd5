# SPDX-License-Identifier: Apache-2.0
"""Real control planes to look at: a made-up pool, and one whose names mean harm."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser

from billow.model.group import Gap, Group
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import Rule, State
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.sense.files import write_pool
from tests.control_planes import ControlPlane, control_plane
from tests.web.browsing import chromium
from tests.web.visitor import Visitor

SCRIPT = "<script>alert(1)</script>"
ATTRIBUTE = "x`onmouseover>{{7*7}}"
TURNED = "\u05d0\u05d1<b>\u0639\u0631"  # written from right to left
LONG = "a" * 200
HARMFUL = (SCRIPT, ATTRIBUTE, TURNED, LONG, "../../etc", "%2e%2e", "a/ask/delete", "?q", "&amp;")


@pytest.fixture(scope="module")  # its driver holds the thread's event loop as long as it lives
def browser() -> Iterator[Browser]:
    """Return a browser for the tests of a module."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="package")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Return a control plane over a made-up pool; a minute passes in a second."""
    state = tmp_path_factory.mktemp("console")
    with control_plane(state, "--hosts", "90", "--speed", "60") as plane:
        yield plane


@pytest.fixture(scope="package")
def harmful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Return a control plane over a pool in which every name means harm."""
    state = tmp_path_factory.mktemp("harmful")
    write_pool(harmful_pool(), state / "harmful.json")
    with control_plane(state, "--pool", str(state / "harmful.json")) as plane:
        yield plane


@pytest.fixture(scope="package")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Return a control plane over a world in which every second migration fails half-way."""
    state = tmp_path_factory.mktemp("faulty")
    (state / "faults").write_text("on 2nd migrate fails at 0.5\n")
    (state / "billow.toml").write_text(f'faults = "{state / "faults"}"\n')
    with control_plane(state, "--hosts", "30", "--speed", "60") as plane:
        yield plane


def harmful_pool() -> Pool:
    """Return a pool of names that a page must not believe."""
    node = (Node(64_000, 262_144),)
    hosts = [
        Host(name, node, zone=SCRIPT, rack=TURNED, cordon=SCRIPT, traits=frozenset({SCRIPT}))
        for name in HARMFUL
    ]
    shape = Shape(SCRIPT, 1000, 1024)
    instances = [
        Instance(name, shape, host=host.id, state=State.RUNNING, group=SCRIPT, tenant=SCRIPT,
                 image=SCRIPT, immovable=SCRIPT)
        for name, host in zip(HARMFUL, hosts, strict=True)
    ]  # fmt: skip
    groups = [Group(SCRIPT, Rule.ANTI_AFFINITY)]
    gaps = [Gap(f"host/{SCRIPT}", SCRIPT)]
    return Pool.build(hosts, instances, groups=groups, gaps=gaps)


@pytest.fixture
def admin(plane: ControlPlane) -> Iterator[Visitor]:
    with Visitor.entered(plane, plane.token) as visitor:
        yield visitor


@pytest.fixture
def viewer(plane: ControlPlane) -> Iterator[Visitor]:
    with Visitor.entered(plane, plane.token_for("viewer")) as visitor:
        yield visitor


@pytest.fixture
def nobody(plane: ControlPlane) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=plane.url, trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Return where a failed journey leaves its picture."""
    return tmp_path
