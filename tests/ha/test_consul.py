# SPDX-License-Identifier: Apache-2.0
"""Consul's rings as evidence: what they say of whom, and when they have no say.

The last test forms three real rings in the lab.
"""

import asyncio
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from labs.ha import consul, space
from labs.ha.faults import struck
from labs.ha.lab import Lab
from labs.ha.space import LabError

from billow.ha.consul import LIMIT_S, Rings, members_of
from billow.model.ha.evidence import NETWORKS, Network
from billow.model.ha.view import View

CACHE = Path(__file__).parents[2] / ".cache" / "consul"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root: it makes namespaces")
H1_LIVES = b'[{"Name": "c1", "Status": 1}, {"Name": "h1", "Status": 1}]'
H1_FAILED = b'[{"Name": "c1", "Status": 1}, {"Name": "h1", "Status": 4}]'
H1_REAPED = b'[{"Name": "c1", "Status": 1}]'


class Ring:
    """A ring that says what it is told to say."""

    def __init__(self) -> None:
        self.says = H1_LIVES
        self.asked_with = ""
        ring = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                ring.asked_with = self.headers.get("X-Consul-Token", "")
                self.send_response(200 if ring.says else 500)
                self.end_headers()
                self.wfile.write(ring.says)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def rings() -> Iterator[dict[Network, Ring]]:
    made = {network: Ring() for network in NETWORKS}
    yield made
    for ring in made.values():
        ring.server.shutdown()
        ring.server.server_close()


class Time:
    now = 50.0

    def __call__(self) -> float:
        return self.now


def views(rings: dict[Network, Ring], *turns: Callable[[Time], None]) -> list[View]:
    """Ask the rings, then again after each change."""
    clock, seen = Time(), []

    async def run() -> None:
        source = Rings(
            "c1",
            {network: ring.url for network, ring in rings.items()},
            token="secret",
            monotonic=clock,
        )
        for change in (lambda _: None, *turns):
            change(clock)
            await source.turn()
            seen.append(source.view(1000.0 + clock.now))
        await source.aclose()

    asyncio.run(run())
    return seen


def missed(view: View, host: str = "h1") -> list[bool]:
    row = view.hosts.index(host)
    found: list[bool] = view.missed(view.at)[row].tolist()
    return found


def later(clock: Time) -> None:
    clock.now += LIMIT_S + 0.1


def test_members_are_heard_and_the_token_is_shown(rings: dict[Network, Ring]) -> None:
    (view,) = views(rings)
    assert view.hosts == ("c1", "h1")
    assert view.sound == (True, True, True)
    assert view.heard_at.tolist() == [[1050.0] * 3] * 2
    assert rings[Network.TENANT].asked_with == "secret"


def test_a_failed_member_is_missed_on_its_ring_only(rings: dict[Network, Ring]) -> None:
    def fail(clock: Time) -> None:
        rings[Network.STORAGE].says = H1_FAILED
        later(clock)

    first, second = views(rings, fail)
    assert missed(first) == [False, False, False]
    assert missed(second) == [False, False, True]
    assert missed(second, "c1") == [False, False, False]


def test_a_host_that_was_dead_when_the_watch_began_is_missed(rings: dict[Network, Ring]) -> None:
    for ring in rings.values():
        ring.says = H1_FAILED
    _, second = views(rings, later)
    assert missed(second) == [True, True, True]


def test_a_host_reaped_from_one_ring_is_missed_there_and_nowhere_else(
    rings: dict[Network, Ring],
) -> None:
    rings[Network.TENANT].says = H1_REAPED
    _, second = views(rings, later)
    assert missed(second) == [False, True, False]


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b"no", b'[{"Status": 1}]'])
def test_a_ring_without_an_answer_is_not_sound_and_accuses_nobody_on_its_word(
    rings: dict[Network, Ring], answer: bytes
) -> None:
    def silence(clock: Time) -> None:
        rings[Network.MANAGEMENT].says = answer
        later(clock)

    _, second = views(rings, silence)
    assert second.sound == (False, True, True)
    assert missed(second)[1:] == [False, False]


def test_a_network_without_a_ring_is_not_sound(rings: dict[Network, Ring]) -> None:
    del rings[Network.STORAGE]
    (view,) = views(rings)
    assert view.sound == (True, True, False)
    assert np.isfinite(view.heard_at).all()


def test_a_member_without_a_status_is_no_member() -> None:
    with pytest.raises(ValueError, match="status"):
        members_of([{"Name": "h1"}])


@pytest.fixture(scope="module")
def program() -> Path:
    try:
        return consul.program(CACHE)
    except (LabError, OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"needs Consul 1.8.7 of Debian bullseye, which cannot be had here: {error}")


@as_root
@pytest.mark.thorough
def test_real_rings_tell_of_a_cut_network_and_of_a_dead_host(tmp_path: Path, program: Path) -> None:
    lab = Lab.planned(tmp_path / "lab", 2, controllers=1)
    lab.up()
    try:
        consul.start(lab, program, lab.layout.nodes)
        with ThreadPoolExecutor(1) as thread:
            thread.submit(_follow, lab).result()
    finally:
        lab.down()


def _follow(lab: Lab) -> None:
    brain = lab.controllers[0]
    with space.entered(brain.netns):
        asyncio.run(_cases(lab, {each: consul.address(brain, each) for each in NETWORKS}))


async def _cases(lab: Lab, addresses: dict[Network, str]) -> None:
    source = Rings("c1", addresses)
    everywhere = [False, False, False]
    await _until(source, lambda view: len(view.hosts) == 3 and missed(view) == everywhere)
    with struck("link", lab, lab.hosts[0], networks=(Network.STORAGE,)):
        view = await _until(source, lambda view: missed(view) == [False, False, True])
        assert missed(view, "h2") == everywhere
    lab.power_off(lab.hosts[1])
    view = await _until(source, lambda view: missed(view, "h2") == [True, True, True])
    assert view.sound == (True, True, True)
    await source.aclose()


async def _until(source: Rings, true: Callable[[View], bool]) -> View:
    end = time.monotonic() + 40
    while True:
        await source.turn()
        view = source.view(time.time())
        if true(view):
            return view
        assert time.monotonic() < end, view
        await asyncio.sleep(0.1)
