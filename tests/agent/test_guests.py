# SPDX-License-Identifier: Apache-2.0
"""A real agent sees its guests come and go, ends them when told to, and refuses who is too late."""

import os
import signal
import time
from collections.abc import Callable

from billow.agent.guests import instance_of, runs_guest
from billow.model.ha.evidence import Network
from billow.model.ha.wire import Frame
from tests.agent.controller import Controller
from tests.agent.ground import Host

Begin = Callable[..., Controller]
HERE = Network.MANAGEMENT


def heard_of(controller: Controller, *names: str) -> bool:
    """Wait until just these guests are said to run."""
    return controller.until(lambda: bool(controller.said[HERE]["guests"] == sorted(names)))


def hello(controller: Controller) -> dict[str, object]:
    """Return what the last HELLO said."""
    return controller.of(Frame.HELLO)[-1][1].body


def test_the_end_of_a_guest_is_told_before_the_next_beat(host: Host, controllers: Begin) -> None:
    controller = controllers("c1")
    host.agent("--controller", f"c1={controller.address}")
    took = []
    for number in range(8):
        guest = host.guest(f"i{number}")
        heard_of(controller, f"i{number}")
        struck = time.monotonic()
        os.kill(guest.pid, signal.SIGKILL)
        heard_of(controller)
        last = controller.said[HERE]["died"][-1]
        took.append(time.monotonic() - struck)
        assert last["instance"] == f"i{number}"
        guest.wait()
    assert min(took) < 0.1, took  # the next beat alone would tell it 0.2 s later


def test_a_fence_ends_every_guest_and_those_that_come_until_it_is_clean(
    host: Host, controllers: Begin
) -> None:
    controller = controllers("c1")
    host.agent("--controller", f"c1={controller.address}")
    guests = [host.guest("i1"), host.guest("i2")]
    heard_of(controller, "i1", "i2")
    answer = controller.asked("o1", do="fence", fence=7)
    assert answer["ok"]
    assert sorted(answer["gone"]) == ["i1", "i2"]
    assert all(guest.wait(1) == -signal.SIGKILL for guest in guests)
    assert host.guest("i3").wait(3) == -signal.SIGKILL
    controller.until(
        lambda: hello(controller)["fenced"] is True and hello(controller)["fence"] == 7
    )
    assert controller.asked("o2", do="clean", fence=7, instances=["i1"])["gone"] == ["i1"]
    controller.until(lambda: hello(controller)["quarantined"] is False)
    stays = host.guest("i4")
    heard_of(controller, "i4")
    time.sleep(0.5)
    assert stays.poll() is None


def test_an_order_by_name_ends_that_guest_only(host: Host, controllers: Begin) -> None:
    controller = controllers("c1")
    host.agent("--controller", f"c1={controller.address}")
    struck, stays = host.guest("i1"), host.guest("i2")
    heard_of(controller, "i1", "i2")
    answer = controller.asked("o1", do="clean", fence=1, instances=["i1", "i9"])
    assert answer["gone"] == ["i1", "i9"]
    assert struck.wait(1) == -signal.SIGKILL
    assert stays.poll() is None


def test_an_older_fence_is_refused_over_a_restart_and_a_boot(
    host: Host, controllers: Begin
) -> None:
    controller = controllers("c1")
    own = ("--controller", f"c1={controller.address}")
    first = host.agent(*own, "--boot", "one")
    controller.until(lambda: len(controller.lines) == 3)
    assert controller.asked("o1", do="clean", fence=9)["ok"]
    time.sleep(0.2)  # the disk is written beside
    first.terminate()
    first.wait()
    controller.lines.clear()
    host.agent(*own, "--boot", "two")
    controller.until(lambda: len(controller.lines) == 3)
    assert (hello(controller)["quarantined"], hello(controller)["fence"]) == (True, 9)
    guest = host.guest("i1")
    heard_of(controller, "i1")
    refused = controller.asked("o2", do="fence", fence=8)
    assert (refused["ok"], refused["text"]) == (False, "older fence 8: 9 was obeyed")
    assert guest.poll() is None


def test_a_cleaning_that_was_meant_for_another_boot_is_refused(
    host: Host, controllers: Begin
) -> None:
    controller = controllers("c1")
    host.agent("--controller", f"c1={controller.address}", "--boot", "two")
    controller.until(lambda: len(controller.lines) == 3)
    late = controller.asked("o1", do="clean", fence=1, boot="one")
    assert (late["ok"], late["text"]) == (False, "it is of another boot: one")
    assert hello(controller)["quarantined"] is True
    assert controller.asked("o2", do="clean", fence=1, boot="two")["ok"]
    controller.until(lambda: hello(controller)["quarantined"] is False)


def test_the_same_order_is_obeyed_once_and_answered_alike(host: Host, controllers: Begin) -> None:
    controller = controllers("c1")
    host.agent("--controller", f"c1={controller.address}")
    host.guest("i1")
    heard_of(controller, "i1")
    first = controller.asked("o1", do="clean", fence=1, instances=["i1"])
    again = host.guest("i1")
    heard_of(controller, "i1")
    controller.order({"id": "o1", "do": "clean", "fence": 1, "instances": ["i1"]})
    controller.until(lambda: len(controller.answers("o1")) >= 6)
    assert all(each == first for each in controller.answers("o1"))
    assert again.poll() is None


def test_a_command_line_names_its_instance() -> None:
    assert instance_of(["qemu", "-name", "guest=i1,debug-threads=on", "-uuid", "x"]) == "i1"
    assert instance_of(["qemu", "-name", "i2"]) == "i2"
    assert instance_of(["firecracker", "--id", "i3"]) == "i3"
    assert instance_of(["qemu-nbd", "-t", "disk"]) == ""


def test_programs_that_run_guests() -> None:
    assert runs_guest("qemu-system-x86_64")
    assert runs_guest("qemu-system-x86")  # its short name
    assert runs_guest("qemu-nbd")
    assert not runs_guest("qemu-img")
    assert not runs_guest("kvm-nx-lpage-re")
