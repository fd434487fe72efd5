# SPDX-License-Identifier: Apache-2.0
"""A host that beats and is of no use says so: frozen storage, a starved agent, a hanging prober."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from billow.model.ha.evidence import NETWORKS, Hardware, Network
from billow.model.ha.wire import Frame
from tests.agent.controller import Controller
from tests.agent.ground import Host, run
from tests.agent.test_beats import workers

pytestmark = pytest.mark.thorough

Begin = Callable[..., Controller]
WINDOW_S = 7.0


def symptom(controller: Controller, probe: str, subject: str = "") -> dict[str, Any]:
    """Wait until something is told on every network; return it."""

    def told(network: Network) -> list[dict[str, Any]]:
        return [
            each
            for each in controller.said[network].get("symptoms", [])
            if each["probe"] == probe and each["subject"] == subject
        ]

    controller.until(lambda: all(told(network) for network in NETWORKS), WINDOW_S)
    return told(Network.MANAGEMENT)[0]


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that can be frozen."""
    image, place = tmp_path / "image", tmp_path / "pool"
    with image.open("wb") as stream:
        stream.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    place.mkdir()
    run("mount", "-o", "loop", str(image), str(place))
    yield place
    subprocess.run(["fsfreeze", "-u", str(place)], check=False, capture_output=True)
    subprocess.run(["mount", "-o", "remount,rw", str(place)], check=False, capture_output=True)
    run("umount", "--lazy", str(place))


def test_storage_that_stands_still_while_beats_go_on(
    host: Host, controllers: Begin, pool: Path
) -> None:
    controller = controllers("c1")
    host.agent("--controller", f"c1={controller.address}", "--pool", f"disks={pool}")
    controller.until(lambda: "storage/disks" in controller.said[Network.TENANT]["progress"])
    assert controller.said[Network.TENANT]["symptoms"] == []
    began = time.monotonic()
    run("fsfreeze", "-f", str(pool))
    found = symptom(controller, "storage", "disks")
    assert time.monotonic() - began < WINDOW_S
    assert (found["grade"], found["network"]) == (Hardware.HURTING, "storage")
    beats = len(controller.of(Frame.BEAT))
    controller.until(lambda: len(controller.of(Frame.BEAT)) > beats + 20)
    run("fsfreeze", "-u", str(pool))
    controller.until(lambda: controller.said[Network.TENANT]["symptoms"] == [])


def test_storage_that_became_read_only(host: Host, controllers: Begin, pool: Path) -> None:
    controller = controllers("c1")
    host.agent("--controller", f"c1={controller.address}", "--pool", f"disks={pool}")
    controller.until(lambda: "storage/disks" in controller.said[Network.TENANT]["progress"])
    time.sleep(1)
    run("mount", "-o", "remount,ro", str(pool))
    found = symptom(controller, "storage", "disks")
    assert (found["grade"], found["network"]) == (Hardware.HURTING, None), "it can be read"
    assert "Read-only" in found["text"]


def test_an_agent_that_does_not_get_the_cpu(host: Host, controllers: Begin) -> None:
    controller = controllers("c1")
    agent = host.agent("--controller", f"c1={controller.address}")
    controller.until(lambda: len(controller.of(Frame.BEAT)) > 6)
    speaker = workers(agent.pid)["speaker"]
    for _ in range(3):
        os.kill(speaker, signal.SIGSTOP)
        time.sleep(0.8)
        os.kill(speaker, signal.SIGCONT)
        time.sleep(0.3)
    found = symptom(controller, "cpu", "agent")
    assert found["grade"] == Hardware.HURTING


def test_a_prober_that_hangs(host: Host, controllers: Begin) -> None:
    controller = controllers("c1")
    agent = host.agent("--controller", f"c1={controller.address}", "--window", "1.5")
    controller.until(lambda: "agent/prober" in controller.said[Network.TENANT]["progress"])
    prober = workers(agent.pid)["prober"]
    os.kill(prober, signal.SIGSTOP)
    found = symptom(controller, "agent", "prober")
    assert found["grade"] == Hardware.PREDICTED
    os.kill(prober, signal.SIGCONT)
    controller.until(lambda: controller.said[Network.TENANT]["symptoms"] == [])


def test_a_panic_is_told_at_once(host: Host, controllers: Begin, tmp_path: Path) -> None:
    log = tmp_path / "kmsg"
    os.mkfifo(log)
    writer = os.open(log, os.O_RDWR)
    controller = controllers("c1")
    host.agent("--controller", f"c1={controller.address}", "--kmsg", str(log))
    controller.until(lambda: "agent/prober" in controller.said[Network.TENANT]["progress"])
    time.sleep(0.5)
    began = time.monotonic()
    os.write(writer, b"0,9,1,-;Kernel panic - not syncing: Fatal hardware error!\n")
    controller.until(lambda: len(controller.of(Frame.GASP)) == len(NETWORKS))
    assert time.monotonic() - began < 0.5
    assert symptom(controller, "kernel")["grade"] == Hardware.FATAL
    os.close(writer)
