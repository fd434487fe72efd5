# SPDX-License-Identifier: Apache-2.0
"""Agents that do nothing but beat: thousands of real TLS lines from one light process.

Not a benchmark of its own; `ha_beats` starts it: `python -m benchmarks.ha_load FOLDER FIRST COUNT
BEAT_S ADDRESS:PORT...`, one port per network. FOLDER holds `ca.crt`, `agent.key` (one key for all)
and `HOST.crt`. It says `ready` when all have come, and then reads lines:

    cut N       agent N falls silent, as a cable is cut: no beat, no FIN. Answer: `cut N SECONDS`
    mend N      it beats again
    cpu         answer: `cpu SECONDS` of this process so far
"""

import os
import select
import socket
import ssl
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from billow.model.ha.evidence import NETWORKS
from billow.model.ha.wire import Frame, Message, encode

_BATCH = 512


@dataclass(slots=True)
class Fake:
    """One agent: its lines, its number, and whether it was cut."""

    name: str
    lines: list[ssl.SSLSocket]
    number: int = 1
    silent: bool = False
    acked: int = 0


@dataclass
class Load:
    """All agents of this process."""

    folder: Path
    beat_s: float
    places: list[tuple[str, int]]
    fakes: list[Fake] = field(default_factory=list)
    by_handle: dict[int, tuple[Fake, ssl.SSLSocket]] = field(default_factory=dict)
    epoll: select.epoll = field(default_factory=select.epoll)

    def come(self, name: str) -> None:
        """Let an agent connect and greet on every network."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.load_cert_chain(self.folder / f"{name}.crt", self.folder / "agent.key")
        context.load_verify_locations(self.folder / "ca.crt")
        fake = Fake(name, [])
        for network, place in zip(NETWORKS, self.places, strict=True):
            plain = socket.create_connection(place, timeout=60)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line = context.wrap_socket(plain)
            body: dict[str, object] = {"host": name, "boot": "load", "lease_s": 0.0}
            line.sendall(encode(Message(Frame.HELLO, network, 1, time.monotonic(), body)))
            line.setblocking(False)
            fake.lines.append(line)
            self.by_handle[line.fileno()] = fake, line
            self.epoll.register(line.fileno(), select.EPOLLIN)
        self.fakes.append(fake)

    def beat(self, fake: Fake) -> None:
        """Beat once on every network, unless it is cut."""
        if fake.silent:
            return
        fake.number += 1
        at = time.monotonic()
        for network, line in zip(NETWORKS, fake.lines, strict=True):
            line.send(encode(Message(Frame.BEAT, network, fake.number, at, {})))

    def hear(self, wait_s: float) -> bool:
        """Read acknowledgements for a while; return whether a command waits."""
        commanded = False
        for handle, _ in self.epoll.poll(wait_s, _BATCH):
            if handle == sys.stdin.fileno():
                commanded = True
                continue
            fake, line = self.by_handle[handle]
            try:
                fake.acked += len(line.recv(4096)) > 0
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                continue
        return commanded

    def obey(self, words: list[str]) -> str:
        """Do a command; return the answer."""
        match words:
            case ["cut", number]:
                self.fakes[int(number)].silent = True
                return f"cut {number} {time.monotonic()!r}"
            case ["mend", number]:
                self.fakes[int(number)].silent = False
                return f"mend {number}"
            case ["cpu"]:
                return f"cpu {time.process_time()!r} {sum(each.acked for each in self.fakes)}"
        raise ValueError(words)

    def run(self) -> None:
        """Beat until the input ends; agents are spread evenly over the period."""
        os.set_blocking(sys.stdin.fileno(), False)
        self.epoll.register(sys.stdin.fileno(), select.EPOLLIN)
        count, begun, turn, text = len(self.fakes), time.monotonic(), 0, ""
        while True:
            due = begun + turn * self.beat_s / count
            while due <= time.monotonic():
                self.beat(self.fakes[turn % count])
                turn += 1
                due = begun + turn * self.beat_s / count
            if not self.hear(max(due - time.monotonic(), 0.0)):
                continue
            data = os.read(sys.stdin.fileno(), 4096).decode()
            if not data:
                return
            *whole, text = (text + data).split("\n")
            for line in whole:
                print(self.obey(line.split()), flush=True)


def main(arguments: list[str]) -> None:
    """Run as the module says."""
    folder, first, count, beat_s, *places = arguments
    ends = [place.rpartition(":") for place in places]
    load = Load(Path(folder), float(beat_s), [(each[0], int(each[2])) for each in ends])
    for number in range(int(first), int(first) + int(count)):
        load.come(f"h{number}")
    print("ready", flush=True)
    load.run()


if __name__ == "__main__":
    main(sys.argv[1:])
