# SPDX-License-Identifier: Apache-2.0
"""The agent of a host: what it costs at rest, and how soon it tells that a process has died.

A real agent in a network namespace of its own speaks to controllers on three networks over real
TLS; they answer every fifth beat, as the real ear does. Guests are processes called as QEMU is.
"""

import argparse
import functools
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tests.agent.controller import Controller
from tests.agent.ground import LOCAL, Host
from tests.agent.papers import Authority

from benchmarks.figure import Figure
from billow.model.ha.evidence import NETWORKS, Network
from billow.model.ha.wire import Frame

ACKED_EVERY = 5


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say how long it is watched at rest, and how many processes die."""
    parser.add_argument("--controllers", type=int, default=3)
    parser.add_argument("--guests", type=int, default=40, help="that run while it is at rest")
    parser.add_argument("--rest", type=float, default=30.0, help="seconds")
    parser.add_argument("--deaths", type=int, default=100, help="guests that die")
    parser.add_argument("--restarts", type=int, default=20, help="times that the agent dies")


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Yield what an agent costs, and how soon deaths are seen."""
    with tempfile.TemporaryDirectory() as folder, _running(arguments, Path(folder)) as trial:
        yield from _at_rest(trial, arguments)
        deaths = 1000 * np.array([trial.guest_dies(n) for n in range(arguments.deaths)])
        yield Figure("guest killed -> told, p50", float(np.percentile(deaths, 50)), "ms")
        yield Figure("guest killed -> told, p99", float(np.percentile(deaths, 99)), "ms", 100)
        pairs = [trial.agent_dies() for _ in range(arguments.restarts)]
        seen, again = 1000 * np.array(pairs).T
        yield Figure("agent killed -> line ended, p99", float(np.percentile(seen, 99)), "ms", 100)
        yield Figure("agent killed -> heard again, p50", float(np.percentile(again, 50)), "ms")
        yield Figure("agent killed -> heard again, p99", float(np.percentile(again, 99)), "ms")
        yield Figure("guests that ended with an agent", trial.guests_lost, "guests", 0)


def _at_rest(trial: "Trial", arguments: argparse.Namespace) -> Iterator[Figure]:
    """Yield memory and CPU of all processes of the agent together."""
    trial.quiet()
    began_s, began = trial.cpu_s(), time.monotonic()
    time.sleep(arguments.rest)
    percent = 100 * (trial.cpu_s() - began_s) / (time.monotonic() - began)
    lines = arguments.controllers * len(NETWORKS)
    yield Figure(f"CPU at 200 ms beats on {lines} lines", percent, "% of a core", goal=1)
    yield Figure("resident memory, all processes", trial.memory_mib("Rss"), "MiB", goal=60)
    yield Figure("of that its own share", trial.memory_mib("Pss"), "MiB")


@dataclass
class Trial:
    """An agent, its guests and its controllers."""

    host: Host
    agent: int
    controllers: list[Controller]
    guests: int
    guests_lost: int = 0

    def processes(self) -> dict[str, int]:
        """Return its processes by role."""
        children = Path(f"/proc/{self.agent}/task/{self.agent}/children").read_text().split()
        found = {"parent": self.agent}
        for pid in map(int, children):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            if "--role" in words:
                found[words[words.index("--role") + 1]] = pid
        return found

    def cpu_s(self) -> float:
        """Return the CPU time of all of its threads, seconds."""
        tasks = [
            task / "schedstat"
            for pid in self.processes().values()
            for task in Path(f"/proc/{pid}/task").iterdir()
        ]
        return sum(int(each.read_text().split()[0]) for each in tasks) / 1e9

    def memory_mib(self, what: str) -> float:
        """Return the memory of all of its processes, MiB, by a name of smaps_rollup."""
        kib = 0
        for pid in self.processes().values():
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            kib += next(int(line.split()[1]) for line in rollup if line.startswith(f"{what}:"))
        return kib / 1024

    def quiet(self) -> None:
        """Wait until all lines are up, all guests known and the start is over."""
        first = self.controllers[0]
        first.until(lambda: all(len(each.lines) == len(NETWORKS) for each in self.controllers), 20)
        first.until(lambda: len(first.said[Network.TENANT]["guests"]) == self.guests, 30)
        time.sleep(5)

    def guest_dies(self, number: int) -> float:
        """Kill one guest; return how long it took until a controller was told, seconds."""
        name, first = f"dies{number}", self.controllers[0]
        process = self.host.guest(name)
        first.until(lambda: name in first.said[Network.MANAGEMENT]["guests"], 20)
        time.sleep(0.013 * (number % 16))  # at any moment between two beats
        first.heard.clear()
        killed_at = time.monotonic()
        os.kill(process.pid, signal.SIGKILL)
        told = first.until(lambda: _told(first, name), 20)
        process.wait()
        return told - killed_at

    def agent_dies(self) -> tuple[float, float]:
        """Kill the speaker; return how long until its line ended, and until it is heard again."""
        first = self.controllers[0]
        speaker = first.until(lambda: self.processes().get("speaker", 0), 20)
        first.ended.clear()
        first.heard.clear()
        killed_at = time.monotonic()
        os.kill(speaker, signal.SIGKILL)
        seen = first.until(lambda: min(first.ended, default=0.0), 20)
        again = first.until(lambda: _greeted(first, killed_at), 20)
        time.sleep(3)
        first.until(lambda: len(first.said[Network.TENANT]["guests"]) == self.guests, 20)
        self.guests_lost += sum(each.poll() is not None for each in self.host.processes[1:41])
        return seen - killed_at, again - killed_at


def _told(controller: Controller, name: str) -> float:
    """Return when the death of a guest was first heard of; 0 for not yet."""
    for at, message in reversed(controller.of(Frame.BEAT)[-200:]):
        died = message.body.get("died", [])
        if isinstance(died, list) and any(each["instance"] == name for each in died):
            found = at
            break
    else:
        return 0.0
    return found


def _greeted(controller: Controller, since: float) -> float:
    """Return when an agent was first heard after a moment; 0 for not yet."""
    return min((at for at, _ in controller.of(Frame.HELLO) if at > since), default=0.0)


@contextmanager
def _running(arguments: argparse.Namespace, folder: Path) -> Iterator[Trial]:
    authority = Authority()
    host = Host("h1", authority.papers(folder / "h1", "host", "h1"))
    try:
        controllers = []
        for number in range(1, arguments.controllers + 1):
            papers = authority.papers(folder / f"c{number}", "controller", f"c{number}")
            controllers.append(host.inside(functools.partial(Controller, papers)))
            controllers[-1].every = ACKED_EVERY
        named = [
            word
            for number, controller in enumerate(controllers, 1)
            for word in ("--controller", f"c{number}={controller.address}")
        ]
        pool = ("--pool", f"pool={folder}", "--gateway", LOCAL[Network.TENANT])
        agent = host.agent(*named, *pool)
        for number in range(arguments.guests):
            host.guest(f"i{number}")
        yield Trial(host, agent.pid, controllers, arguments.guests)
    finally:
        host.close()
