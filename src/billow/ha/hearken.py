# SPDX-License-Identifier: Apache-2.0
"""The ear's process: `python -m billow.ha.hearken HANDLE` with a socket that its controller holds.

It ends when its controller does. Started by `billow.ha.ear` alone.
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from threading import Lock
from typing import Any, Final

from billow.act.clock import SystemClock
from billow.errors import BillowError
from billow.ha.ear import Hearing, Report
from billow.ha.lines import Listening, proving
from billow.ha.matrix import Matrix
from billow.ha.receiver import Receiver
from billow.model.ha.evidence import AgentReport
from billow.telemetry import start_logging

_EVERY_S: Final = 0.1


@dataclass
class _Voice:
    """What is told to the controller."""

    line: Connection
    lock: Lock = field(default_factory=Lock)
    hosts: tuple[str, ...] | None = None
    told: dict[str, AgentReport] = field(default_factory=dict)

    def answer(self, host: str, body: Mapping[str, Any]) -> None:
        """Hand an agent's answer on."""
        self.say(("answer", (host, dict(body))))

    def fail(self, host: str, order_id: str, why: str) -> None:
        """Say that an order was not sent."""
        self.say(("fail", (host, order_id, why)))

    def say(self, words: object) -> None:
        """Say something; threads take turns."""
        with self.lock:
            self.line.send(words)

    def report(self, receiver: Receiver, matrix: Matrix) -> None:
        """Say what was heard, and what is new."""
        events = receiver.events()
        snapshot = matrix.snapshot()
        hosts = None if snapshot.hosts is self.hosts else snapshot.hosts
        reports = snapshot.reports.items()
        fresh = {host: each for host, each in reports if self.told.get(host) is not each}
        self.hosts, self.told = snapshot.hosts, dict(snapshot.reports)
        heard = snapshot.heard.tobytes()
        self.say(Report(snapshot.looked, snapshot.woke, hosts, heard, fresh, events))


def hearken(line: Connection) -> None:
    """Hear until the controller ends, or says so."""
    hearing: Hearing = line.recv()
    bell = os.eventfd(0, os.EFD_CLOEXEC)
    matrix = Matrix(SystemClock(), hearing.limit_s, first_s=hearing.first_s)
    voice = _Voice(line)
    try:
        listening = Listening(hearing.places, proving(hearing.papers), hearing.probe_port)
        receiver = Receiver(listening, matrix, voice, lambda: os.eventfd_write(bell, 1))
        receiver.start()
    except BillowError as error:
        line.send(error)
        return
    voice.say(dict(receiver.ports()))
    deeds: dict[str, Callable[..., None]] = {
        "expect": receiver.expect,
        "revoke": receiver.revoke,
        "acknowledge": receiver.acknowledge,
        "post": receiver.post,
        "prove": lambda: receiver.prove(proving(hearing.papers)),
    }
    try:
        while True:
            ready = wait([line, bell], _EVERY_S)
            if bell in ready:
                os.eventfd_read(bell)
            if line in ready:
                name, arguments = line.recv()
                if name == "stop":
                    return
                deeds[name](*arguments)
            voice.report(receiver, matrix)
    except (EOFError, OSError):
        return  # the controller is gone
    finally:
        receiver.stop()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # its controller ends it in order
    start_logging()
    hearken(Connection(int(sys.argv[1])))
