# SPDX-License-Identifier: Apache-2.0
"""Hearing a thousand agents: from a cut host to the verdict, a dead process, and what it costs.

Real TLS lines over loopback, three per agent, from a process of their own. A cut host's lines fall
silent at a random moment of their period; the verdict is that it is missed on all three networks.
The bound beside it is the beats' own: what an ear without any delay would need, `missed * period`.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.figure import Figure, Peer
from billow.act.authority import authority_in, pem, secret
from billow.act.clock import SystemClock
from billow.ha.ear import Ear, Hearing
from billow.ha.enrol import Enrolment
from billow.ha.event import Event, Kind
from billow.ha.lines import HOST_URI
from billow.model.ha.evidence import NETWORKS

MISSED = 5
_PUBLISHED_EVERY_S = 0.5


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say how many agents, how often they beat, and how many are cut and killed."""
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--beat", type=float, default=0.2, help="seconds between beats")
    parser.add_argument("--cuts", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--busy", action="store_true", help="let the controller's thread compute")
    parser.add_argument("--seed", type=int, default=1)


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Yield how soon a cut host and a dead process are seen, and what hearing costs."""
    with tempfile.TemporaryDirectory() as folder, _heard(arguments, Path(folder)) as trial:
        took_s = np.array(trial.cut_all(arguments.cuts, random.Random(arguments.seed)))
        bound = Peer(f"{MISSED} beats of {arguments.beat:g} s, seen without delay", trial.limit_s)
        for name, share, goal in (("p50", 50, None), ("p99", 99, 1.2), ("p99.9", 99.9, 2.0)):
            value = float(np.percentile(took_s, share))
            yield Figure(f"host cut -> verdict, {name}", value, "s", goal, peer=bound)
        yield Figure("worst of them", float(took_s.max()), "s")
        yield Figure("hosts missed that were not cut", trial.falsely, "hosts", 0)
        yield Figure("CPU of the ear", trial.ear_percent, "% of a core")
        yield Figure("CPU of the agents' process", trial.load_percent, "% of a core")
        killed_ms = 1000 * np.array(trial.kill_all(arguments.kills))
        yield Figure("process killed -> told, p50", float(np.percentile(killed_ms, 50)), "ms")
        yield Figure("process killed -> told, p99", float(np.percentile(killed_ms, 99)), "ms", 100)
        yield Figure("hosts missed whose process was killed", trial.falsely_killed, "hosts", 0)


@dataclass
class Trial:
    """An ear, and the processes that speak to it."""

    ear: Ear
    folder: Path
    agents: int
    beat_s: float
    load: subprocess.Popen[str]
    noticed: dict[tuple[Kind, str], list[float]] = field(default_factory=dict)
    fell: threading.Condition = field(default_factory=threading.Condition)
    falsely: int = 0
    falsely_killed: int = 0
    ear_percent: float = 0.0
    load_percent: float = 0.0

    @property
    def limit_s(self) -> float:
        """After so long a silent host is missed."""
        return MISSED * self.beat_s

    def wake(self) -> None:
        """Note what the ear noticed, in its own thread, at once."""
        now = time.monotonic()
        with self.fell:
            for event in self.ear.events():
                self._note(event, now)
            self.fell.notify_all()

    def _note(self, event: Event, now: float) -> None:
        self.noticed.setdefault((event.kind, event.host), []).append(now)

    def cut_all(self, count: int, dice: random.Random) -> list[float]:
        """Cut hosts at random moments, many at a time; return how long each verdict took."""
        ear_s, load_s, begun = self._ear_s(), self._load_s(), time.monotonic()
        order = [each for _ in range(1 + count // self.agents) for each in self._shuffled(dice)]
        under_way: dict[int, float] = {}
        took_s: list[float] = []
        for number in order[:count]:
            under_way[number] = self._cut(number)
            time.sleep(dice.uniform(0.02, 0.08))
            took_s += self._settled(under_way)
        end = time.monotonic() + 10
        while under_way and time.monotonic() < end:
            time.sleep(0.1)
            took_s += self._settled(under_way)
        took_s += [float("inf")] * len(under_way)  # never noticed
        lasted_s = time.monotonic() - begun
        self.ear_percent = 100 * (self._ear_s() - ear_s) / lasted_s
        self.load_percent = 100 * (self._load_s() - load_s) / lasted_s
        missed = sum(len(each) for (kind, _), each in self.noticed.items() if kind is Kind.MISSED)
        self.falsely = missed - len(NETWORKS) * len(took_s)
        return took_s

    def _shuffled(self, dice: random.Random) -> list[int]:
        return dice.sample(range(self.agents), self.agents)

    def _settled(self, under_way: dict[int, float]) -> list[float]:
        """Return how long the verdicts took that are there, and mend those hosts."""
        took_s = []
        for number, cut_at in tuple(under_way.items()):
            with self.fell:
                times = [
                    at for at in self.noticed.get((Kind.MISSED, f"h{number}"), ()) if at > cut_at
                ]
            if len(times) >= len(NETWORKS):
                took_s.append(max(times) - cut_at)
                del under_way[number]
                self._ask(f"mend {number}")
        return took_s

    def kill_all(self, count: int) -> list[float]:
        """Start agents in processes of their own and kill them; return how long it took to see."""
        took_s = []
        for number in range(self.agents, self.agents + count):
            self.ear.expect([f"h{each}" for each in range(number + 1)])
            process = started(self.folder, self.ear, (number, 1), self.beat_s)
            time.sleep(self.beat_s)
            killed_at = time.monotonic()
            process.kill()
            process.communicate()
            took_s.append(self._await(Kind.DIED, f"h{number}", killed_at) - killed_at)
        time.sleep(self.limit_s + 0.5)  # the kernel lives, so nobody is missed
        with self.fell:
            hosts = {host for kind, host in self.noticed if kind is Kind.MISSED}
        self.falsely_killed = sum(int(host[1:]) >= self.agents for host in hosts)
        return took_s

    def _await(self, kind: Kind, host: str, since: float) -> float:
        """Return when something was noticed of a host first, and wait for it."""
        with self.fell:
            self.fell.wait_for(lambda: (kind, host) in self.noticed, timeout=5)
            times = [at for at in self.noticed.get((kind, host), ()) if at >= since]
        return min(times, default=float("inf"))

    def _cut(self, number: int) -> float:
        return float(self._ask(f"cut {number}").split()[2])

    def _load_s(self) -> float:
        return float(self._ask("cpu").split()[1])

    def _ask(self, command: str) -> str:
        to, fro = _pipes(self.load)
        print(command, file=to, flush=True)
        return fro.readline()

    def _ear_s(self) -> float:
        """Return the CPU time of the ear's process so far."""
        path = Path(f"/proc/{self.ear.process_id}/stat")
        fields = path.read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _heard(arguments: argparse.Namespace, folder: Path) -> Iterator[Trial]:
    """Let all agents come to an ear, and yield the trial."""
    enrolment = Enrolment(folder, "bench", "c1", SystemClock())
    trials: list[Trial] = []
    hearing = Hearing(
        controller="c1",
        places=dict.fromkeys(NETWORKS, ("127.0.0.1", 0)),
        papers=enrolment.papers(),
        limit_s=MISSED * arguments.beat,
        first_s=120.0,
        probe_port=1,
    )
    ear = Ear(hearing, lambda: trials[0].wake() if trials else None)
    hosts = [f"h{number}" for number in range(arguments.agents + arguments.kills)]
    _certify(folder, hosts)
    ear.start()
    ear.expect(hosts[: arguments.agents])
    load = started(folder, ear, (0, arguments.agents), arguments.beat)
    trials.append(Trial(ear, folder, arguments.agents, arguments.beat, load))
    over = threading.Event()
    publishing = threading.Thread(target=_publish, args=(trials[0], over))
    publishing.start()
    if arguments.busy:
        threading.Thread(target=_compute, args=(over,), daemon=True).start()
    try:
        time.sleep(3)
        trials[0].noticed.clear()  # who came first was silent until the last had come
        yield trials[0]
    finally:
        over.set()
        publishing.join()
        load.kill()
        load.communicate()
        ear.stop()


def _publish(trial: Trial, over: threading.Event) -> None:
    """Publish views as a controller does, so that agents are acknowledged."""
    while not over.wait(_PUBLISHED_EVERY_S):
        trial.ear.published(trial.ear.view(SystemClock().now()))


def _compute(over: threading.Event) -> None:
    """Compute without a pause, as a controller does that makes a large plan."""
    while not over.is_set():
        sum(each * each for each in range(100_000))


def _certify(folder: Path, hosts: list[str]) -> None:
    """Sign for all hosts at once, with one key: making keys is not what is measured."""
    moment = datetime.now(UTC)
    authority = authority_in(folder / "authority.pem", "bench", moment)
    key = ec.generate_private_key(ec.SECP256R1())
    (folder / "agent.key").write_bytes(secret(key))
    (folder / "ca.crt").write_bytes(authority.trusted(moment))
    for host in hosts:
        uri = x509.UniformResourceIdentifier(HOST_URI + host)
        signed = authority.certify(host, key.public_key(), (uri,), moment)
        (folder / f"{host}.crt").write_bytes(pem(signed))


def started(
    folder: Path, ear: Ear, numbers: tuple[int, int], beat_s: float
) -> subprocess.Popen[str]:
    """Start agents `(first, count)` in a process of their own; return when all have come."""
    ports = ear.ports()
    places = [f"127.0.0.1:{ports[network]}" for network in NETWORKS]
    first, count = numbers
    words = [str(folder), str(first), str(count), str(beat_s), *places]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.ha_load", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    _, fro = _pipes(process)
    if fro.readline() != "ready\n":
        raise RuntimeError("the agents did not come")
    return process


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the process has no pipes")
    return process.stdin, process.stdout
