# SPDX-License-Identifier: Apache-2.0
"""A real agent beats to controllers on loopback: on each network, with what changed, and again."""

import itertools
import os
import signal
import ssl
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from billow.agent.line import Line, Route, State
from billow.model.ha.evidence import NETWORKS, Network
from billow.model.ha.wire import MOST_BYTES, Frame, decode
from tests.agent.controller import Controller
from tests.agent.ground import Host

Begin = Callable[..., Controller]


def workers(parent: int) -> dict[str, int]:
    """Return the agent's processes by role."""
    found = {}
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    for pid in map(int, children):
        with suppress(OSError):  # it ended while we looked
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            if "--role" in words:  # one that has just ended has no words
                found[words[words.index("--role") + 1]] = pid
    return found


def test_it_beats_on_every_network_and_states_what_was_acknowledged(
    host: Host, controllers: Begin
) -> None:
    one, two = controllers("c1"), controllers("c2")
    host.agent("--controller", f"c1={one.address}", "--controller", f"c2={two.address}")
    one.until(lambda: len(one.of(Frame.BEAT)) >= 30 and len(two.of(Frame.BEAT)) >= 30)
    kinds = [message.kind for _, message in one.heard]
    assert kinds.count(Frame.HELLO) == len(NETWORKS)
    hello = one.of(Frame.HELLO)[0][1].body
    assert hello["host"] == "h1"
    assert hello["quarantined"] is True
    assert hello["lease_s"] == 0
    for network in NETWORKS:
        beats = [(at, each) for at, each in one.of(Frame.BEAT) if each.network is network]
        gaps = [later[0] - earlier[0] for earlier, later in itertools.pairwise(beats)]
        assert statistics.median(gaps) == pytest.approx(0.2, abs=0.05)
        numbers = [each.number for _, each in beats]
        assert numbers == sorted(set(numbers))
        assert all(0 <= age < 0.6 for age in one.said[network]["acked"]["c2"].values())
    assert sum(bool(each.body) for _, each in one.of(Frame.BEAT)[12:]) <= 3


def test_a_controller_that_does_not_acknowledge_is_named(host: Host, controllers: Begin) -> None:
    one, two = controllers("c1"), controllers("c2")
    host.agent("--controller", f"c1={one.address}", "--controller", f"c2={two.address}")
    one.until(lambda: len(one.of(Frame.BEAT)) >= 12)
    two.acks = False
    acked = one.until(
        lambda: (one.said[Network.TENANT]["acked"]["c2"]["tenant"] > 1) and one.said, 6
    )[Network.TENANT]["acked"]
    assert all(age > 0.5 for age in acked["c2"].values())
    assert all(age < 0.5 for age in acked["c1"].values())


def test_a_line_that_broke_is_there_again_within_a_second(host: Host, controllers: Begin) -> None:
    first = controllers("c1")
    port = first.listener.getsockname()[1]
    host.agent("--controller", f"c1={first.address}")
    first.until(lambda: len(first.lines) == 3)
    first.close()
    time.sleep(1.0)
    again = controllers("c1", port=port)
    began = time.monotonic()
    again.until(lambda: {each.network for _, each in again.of(Frame.BEAT)} == set(NETWORKS))
    assert time.monotonic() - began < 1.5
    assert again.said[Network.STORAGE]["guests"] == []


def test_who_is_no_controller_hears_nothing(host: Host, controllers: Begin) -> None:
    thief = controllers("h9", role="host")
    true = controllers("c1")
    host.agent("--controller", f"c9={thief.address}", "--controller", f"c1={true.address}")
    true.until(lambda: len(true.of(Frame.BEAT)) >= 12)
    assert thief.of(Frame.HELLO) == []
    assert set(true.said[Network.MANAGEMENT]["acked"]["c9"].values()) == {-1}


@pytest.mark.parametrize("role", ["speaker", "prober"])
def test_a_process_of_it_that_dies_is_begun_anew_and_no_guest_is_touched(
    host: Host, controllers: Begin, role: str
) -> None:
    controller = controllers("c1")
    guest = host.guest("i1")
    agent = host.agent("--controller", f"c1={controller.address}")
    controller.until(lambda: controller.said[Network.TENANT]["guests"] == ["i1"])
    parent = agent.pid
    old = controller.until(lambda: workers(parent)[role])
    os.kill(old, signal.SIGKILL)
    controller.until(lambda: workers(parent).get(role, old) != old)
    if role == "speaker":
        controller.until(lambda: len(controller.of(Frame.HELLO)) >= 6)
    controller.until(lambda: controller.said[Network.TENANT]["guests"] == ["i1"])
    assert guest.poll() is None


def test_what_is_too_long_for_a_frame_does_not_end_a_line() -> None:
    line = Line(Route("c1", Network.TENANT, "", ("", 0)), ssl.create_default_context())
    line.state = State.UP
    line.beat(1.0, b"x" * (MOST_BYTES + 1))
    [beat] = decode(line._outgoing)
    assert (beat.kind, beat.body, line.state) == (Frame.BEAT, {}, State.UP)
    line.send(Frame.ANSWER, 1.0, b"x" * (MOST_BYTES + 1))
    assert line._outgoing == b""
    assert line.state is State.UP


def test_it_ends_in_order_and_leaves_its_guests(host: Host, controllers: Begin) -> None:
    controller = controllers("c1")
    guest = host.guest("i1")
    agent = host.agent("--controller", f"c1={controller.address}")
    controller.until(lambda: all(controller.said[n]["guests"] == ["i1"] for n in NETWORKS))
    agent.terminate()
    controller.until(lambda: len(controller.of(Frame.BYE)) == 3)
    assert agent.wait(5) == 0
    assert guest.poll() is None
