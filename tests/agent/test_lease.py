# SPDX-License-Identifier: Apache-2.0
"""The lease: its arithmetic, and real agents with a stand-in that ends real processes."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from billow.agent.clock import now
from billow.agent.lease import EXCUSED_S, Lease, possible_s
from billow.agent.memory import Memory, runtime_folder
from billow.agent.options import Options
from billow.agent.peers import PROMISED_S, Answering, Asking
from billow.agent.trust import as_client
from billow.agent.watchdog import FOOD, STAND_IN, STAND_IN_S
from billow.model.ha.evidence import Network
from billow.model.ha.wire import Frame
from tests.agent.controller import Controller
from tests.agent.ground import Host
from tests.agent.papers import Authority
from tests.agent.test_memory import until

pytestmark = pytest.mark.thorough

Begin = Callable[..., Controller]
LEASE_S = 4.0
PEER_PORT = 8600


def test_food_ends_so_early_that_the_watchdog_acts_within_the_lease_of_the_send() -> None:
    lease = Lease(lease_s=10, device_s=4)
    assert lease.feed_until(acked_at=100, excused_at=0) == 106
    assert lease.feed_until(acked_at=100, excused_at=200) == 200 + EXCUSED_S
    assert Lease().feed_until(acked_at=100, excused_at=0) == 0


def test_a_majority_of_all_named_peers_excuses_not_of_those_that_answer() -> None:
    lease = Lease(lease_s=10, device_s=4, peers=4)
    assert [lease.excuses(count) for count in range(5)] == [False, False, False, True, True]
    assert not Lease(lease_s=10, device_s=4, peers=0).excuses(0)


def test_a_lease_that_leaves_no_room_for_beats_is_not_promised() -> None:
    assert possible_s(10, 5, 0.2) == 10
    assert possible_s(10, 8, 0.2) == 0
    assert possible_s(10, 0, 0.2) == 0


def armed(
    host: Host,
    controller: Controller,
    peers: dict[str, dict[str, str]] | None = None,
    lease_s: float = LEASE_S,
) -> None:
    """Start an agent with a stand-in and have it promise a lease."""
    own = ("--watchdog", "stand-in", "--lease", str(lease_s), "--beat", "0.05")
    host.agent("--controller", f"c1={controller.address}", *own)
    controller.until(lambda: len(controller.lines) == 3)
    first = controller.of(Frame.HELLO)[0][1].body
    assert (first["lease_s"], first["lease_possible_s"]) == (0, lease_s)
    said = controller.asked("arm", do="arm", fence=1, lease_s=lease_s, peers=peers or {})
    assert said["ok"], said
    controller.until(lambda: controller.of(Frame.HELLO)[-1][1].body["lease_s"] == lease_s)


def heard(controller: Controller, name: str) -> None:
    controller.until(lambda: controller.said[Network.MANAGEMENT]["guests"] == [name])


@pytest.mark.slow
def test_without_acknowledgements_nothing_runs_when_the_lease_is_over(
    host: Host, controllers: Begin
) -> None:
    controller = controllers("c1")
    guest = host.guest("i1")
    armed(host, controller)
    heard(controller, "i1")
    time.sleep(LEASE_S + 1)
    assert guest.poll() is None, "it was served all the time"
    controller.acks = False
    last = time.monotonic()
    assert guest.wait(LEASE_S + 5) == -signal.SIGKILL
    took = time.monotonic() - last
    assert 0.5 < took <= LEASE_S


@pytest.mark.slow
def test_food_counts_from_when_it_was_given_though_nobody_looked_for_a_while(host: Host) -> None:
    guest = host.guest("i1")
    pipe = runtime_folder(host.folder) / "food"
    os.mkfifo(pipe)
    own = ("--role", STAND_IN, "--state", str(host.folder), "--own-namespace")
    process = host.start(sys.executable, "-m", "billow.agent", *own)
    until((pipe.parent / "stand-in.lock").exists)
    process.send_signal(signal.SIGSTOP)
    fed_at = now()
    with pipe.open("rb+", buffering=0) as food:
        food.write(FOOD.pack(fed_at))
        time.sleep(STAND_IN_S / 2)
        process.send_signal(signal.SIGCONT)
        assert guest.wait(STAND_IN_S * 2) == -signal.SIGKILL
    assert STAND_IN_S / 2 < now() - fed_at <= STAND_IN_S


@pytest.mark.slow
def test_an_agent_that_dies_whole_leaves_nothing_running_after_the_lease(
    host: Host, controllers: Begin
) -> None:
    controller = controllers("c1")
    guest = host.guest("i1")
    armed(host, controller)
    heard(controller, "i1")
    agent = next(each for each in host.processes if each is not guest)
    os.kill(agent.pid, signal.SIGKILL)
    assert guest.wait(LEASE_S + 10) == -signal.SIGKILL


@pytest.mark.slow
def test_a_speaker_that_dies_goes_on_with_the_lease_and_costs_nothing(
    host: Host, controllers: Begin
) -> None:
    from tests.agent.test_beats import workers

    controller = controllers("c1")
    guest = host.guest("i1")
    lease_s = 10.0  # room for a restart on a busy machine
    armed(host, controller, lease_s=lease_s)
    agent = next(each for each in host.processes if each is not guest)
    os.kill(workers(agent.pid)["speaker"], signal.SIGKILL)
    controller.until(lambda: len(controller.of(Frame.HELLO)) >= 9)
    assert controller.of(Frame.HELLO)[-1][1].body["lease_s"] == lease_s
    time.sleep(lease_s + 1)
    assert guest.poll() is None


def peer(
    authority: Authority, host: Host, folder: Path, number: int, *, age_s: float = PROMISED_S
) -> tuple[Answering, dict[str, str]]:
    """Begin another host's answers in the namespace; it runs for `age_s` already."""
    state = authority.papers(folder / f"p{number}", "host", f"p{number}")
    address = f"127.0.9.{number}"
    local = {Network.MANAGEMENT: address}
    options = Options(host=f"p{number}", state=state, boot="b", local=local, listen=PEER_PORT)
    answering = Answering(options, Memory(state, "b"))
    answering._began_at -= age_s
    host.inside(answering.start)
    return answering, {"management": f"{address}:{PEER_PORT}"}


@pytest.mark.slow
def test_losing_every_controller_ends_nothing_and_losing_them_alone_does(
    host: Host, controllers: Begin, authority: Authority, tmp_path: Path
) -> None:
    controller = controllers("c1")
    guest = host.guest("i1")
    peers = [peer(authority, host, tmp_path, number) for number in (1, 2, 3)]
    armed(host, controller, {f"p{n}": addresses for n, (_, addresses) in enumerate(peers, 1)})
    heard(controller, "i1")
    controller.acks = False
    time.sleep(LEASE_S + 3)
    assert guest.poll() is None, "two of three peers, and the third, are unserved as well"
    for answering, _ in peers[:2]:
        answering.served_at = now() + 3600
    assert guest.wait(LEASE_S) == -signal.SIGKILL


def test_a_peer_says_it_only_when_it_may(host: Host, authority: Authority, tmp_path: Path) -> None:
    asker = authority.papers(tmp_path / "h2", "host", "h2")
    old, address = peer(authority, host, tmp_path, 1)
    _, young = peer(authority, host, tmp_path, 2, age_s=5)

    def unserved(peers: dict[str, dict[str, str]]) -> int:
        return host.inside(lambda: Asking(as_client(asker)).unserved(peers))

    assert unserved({"p1": address, "p2": young}) == 1
    assert unserved({"p9": address}) == 0, "it is not who it should be"
    first = old.refuse({"host": "h2", "lease_s": 2.0}, 0)
    assert not first["ok"]
    assert unserved({"p1": address}) == 0
    time.sleep(2.1)
    assert old.refuse({"host": "h2", "lease_s": 2.0}, 0)["ok"]
    assert unserved({"p1": address}) == 0
