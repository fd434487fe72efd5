# SPDX-License-Identifier: Apache-2.0
"""The controller's ear as the rest of it sees it: a process of its own, undisturbed by plans.

The process (`billow.ha.hearken`) holds the lines; this end keeps what it heard last. When it dies,
another is started, and until that one has heard for a while this controller's view is old: it has
no voice among the others then, and acknowledges nobody.
"""

import contextlib
import socket
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import structlog

from billow.errors import Invalid, Unavailable
from billow.ha.event import Event
from billow.ha.orders import Waiting
from billow.ha.snapshot import Snapshot, Views
from billow.model.ha.evidence import NETWORKS, AgentReport, Network
from billow.model.ha.view import View

_AGAIN_S: Final = 1.0
_SILENT_S: Final = 5.0
"""A process that tells nothing for so long hangs."""
_PATIENCE: Final = struct.pack("ll", 1, 0)
"""A second, as the kernel wants it: so long the process may take to be told something."""
Told: TypeAlias = tuple[str, tuple[Any, ...]]
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearing:
    """How an ear hears.

    Attributes:
        controller: Its controller's name among others.
        places: For each of the three networks, the address and port to listen on; networks may
            share them, but port 0 takes a free one for each.
        papers: The folder with `controller.crt`, `controller.key` and `ca.crt`.
        limit_s: Who is not heard for so long is missed.
        first_s: The same for who was never heard.
        probe_port: A port of hosts at which a kernel is asked whether it lives.
        answer_s: An order without an answer for so long has none.
    """

    controller: str
    places: Mapping[Network, tuple[str, int]]
    papers: Path
    limit_s: float = 1.0
    first_s: float = 10.0
    probe_port: int = 8523
    answer_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Report:
    """What the ear's process tells, ten times a second and when something happens.

    Attributes:
        looked: When it looked last.
        woke: When it went on after it was held up last.
        hosts: Whom it watches; None for the same as before.
        heard: The bytes of a snapshot's array.
        reports: What agents said since the report before.
    """

    looked: float
    woke: float
    hosts: tuple[str, ...] | None
    heard: bytes
    reports: Mapping[str, AgentReport]
    events: tuple[Event, ...]


class Ear:
    """The ear. Any thread may call what is public; `wake` is called in a thread of the ear's."""

    def __init__(self, hearing: Hearing, wake: Callable[[], None] = lambda: None) -> None:
        """Take how to hear."""
        self._hearing, self._wake = hearing, wake
        self._views = Views(hearing.controller, hearing.limit_s)
        self._waiting = Waiting()
        self._telling = threading.Lock()
        self._snapshot = Snapshot(-np.inf, (), np.zeros((0, len(NETWORKS))), {})
        self._events: deque[Event] = deque(maxlen=10_000)
        self._standing: dict[str, tuple[Any, ...]] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Connection | None = None
        self._ports: dict[Network, int] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="billow-ear", daemon=True)

    def start(self) -> None:
        """Begin to hear.

        Raises:
            Invalid: a network has no address: every host would be missed there.
            Unavailable: it cannot listen, or has no papers.
        """
        if lacking := [each for each in NETWORKS if each not in self._hearing.places]:
            names = " and ".join(f"ha_{each}" for each in lacking)
            raise Invalid(
                f"agents must be heard on all three networks, and there is no {names}",
                fix=f"set {names}; networks that share a wire may have the same ADDRESS:PORT",
            )
        self._begin()
        self._thread.start()

    def stop(self) -> None:
        """End every line."""
        self._stopping.set()
        self._tell("stop")
        if self._thread.ident is not None:
            self._thread.join()
        self._end()

    def ports(self) -> Mapping[Network, int]:
        """Return the ports on which it listens."""
        return self._ports

    @property
    def process_id(self) -> int:
        """Return the id of the process; 0 while there is none."""
        return self._process.pid if self._process is not None else 0

    def expect(self, hosts: Iterable[str]) -> None:
        """Watch these hosts, and no others, from now on."""
        self._keep("expect", tuple(hosts))

    def revoke(self, serials: Iterable[int]) -> None:
        """Believe these certificates no more, whoever shows them, from now on."""
        self._keep("revoke", frozenset(serials))

    def prove(self) -> None:
        """Read this controller's papers anew, for those who come from now on."""
        self._tell("prove")

    def published(self, view: View) -> None:
        """Acknowledge, on the strength of the last view, which the others can read now."""
        self._tell("acknowledge", *self._views.acknowledgeable(view))

    def view(self, now: float) -> View:
        """Return what was heard, as of the ear's last look."""
        return self._views.view(self._snapshot, now)

    def reports(self) -> Mapping[str, AgentReport]:
        """Return what agents said last."""
        return self._snapshot.reports

    def events(self) -> tuple[Event, ...]:
        """Return what was noticed since this was asked last, oldest first."""
        events: list[Event] = []
        with contextlib.suppress(IndexError):
            while True:
                events.append(self._events.popleft())
        return tuple(events)

    async def order(
        self, host: str, network: Network, body: Mapping[str, object]
    ) -> dict[str, Any]:
        """Send an order and return the agent's answer; without an `id` it gets one.

        Raises Unavailable when there is no line to the agent, or no answer in time: it may have
        obeyed then.
        """
        return await self._waiting.ask(self._post, host, network, body, self._hearing.answer_s)

    def _post(self, host: str, network: Network, body: dict[str, object]) -> None:
        if not self._tell("post", host, network, body):
            self._waiting.fail(host, str(body["id"]), "cannot be told: the ear begins anew")

    def _keep(self, name: str, *arguments: object) -> None:
        """Tell the process what it must know after a restart, too."""
        if self._standing.get(name) != arguments:
            self._standing[name] = arguments
            self._tell(name, *arguments)

    def _tell(self, name: str, *arguments: object) -> bool:
        """Tell the process to do something; return whether it was told."""
        with self._telling:
            line, process = self._line, self._process
            if line is None:
                return False
            try:
                line.send((name, arguments))
            except OSError:
                if process is not None:
                    process.kill()  # it does not read, or is gone: another one is started
                return False
            return True

    def _begin(self) -> None:
        """Start the process. Raises Unavailable."""
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _PATIENCE)
        handle = theirs.fileno()
        command = [sys.executable, "-m", "billow.ha.hearken", str(handle)]
        self._process = subprocess.Popen(command, pass_fds=(handle,))  # noqa: S603 - our own
        theirs.close()
        line = Connection(ours.detach())
        try:
            line.send(self._hearing)
            begun = line.recv()
        except (OSError, EOFError) as error:
            begun = Unavailable(f"the ear did not begin: {error!r}", code="no-ear")
        if isinstance(begun, Exception):
            line.close()
            self._end()
            raise begun
        self._ports = begun
        with self._telling:
            self._line = line
        for name, arguments in tuple(self._standing.items()):
            self._tell(name, *arguments)

    def _end(self) -> None:
        with self._telling:
            line, self._line = self._line, None
        if line is not None:
            line.close()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(3)
            self._process.kill()
            self._process.wait()

    def _run(self) -> None:
        """Take in what the process tells; start another when it has died, or hangs."""
        while not self._stopping.is_set():
            try:
                if self._line is None:
                    self._begin()
                else:
                    self._take(_next(self._line))
            except (OSError, EOFError, Unavailable) as error:
                if self._stopping.is_set():
                    return
                log.warning("the ear has ended; it begins anew", why=str(error))
                self._end()
                self._stopping.wait(_AGAIN_S)

    def _take(self, told: Report | Told) -> None:
        if isinstance(told, Report):
            self._hear(told)
        elif told[0] == "answer":
            self._waiting.answer(*told[1])
        else:
            self._waiting.fail(*told[1])

    def _hear(self, told: Report) -> None:
        """Keep what was heard, and what is new."""
        before = self._snapshot
        hosts = before.hosts if told.hosts is None else told.hosts
        heard = np.frombuffer(told.heard).reshape(-1, len(NETWORKS))
        reports = {**before.reports, **told.reports} if told.reports else before.reports
        if told.hosts is not None:
            watched = set(hosts)
            reports = {host: each for host, each in reports.items() if host in watched}
        self._snapshot = Snapshot(told.looked, hosts, heard, reports, told.woke)
        if told.events:
            self._events.extend(told.events)
            self._wake()


def _next(line: Connection) -> Report | Told:
    """Return what the process tells next. Raises OSError, EOFError when it has ended or hangs."""
    if not line.poll(_SILENT_S):
        raise EOFError("it tells nothing any more")
    told: Report | Told = line.recv()
    return told
