# SPDX-License-Identifier: Apache-2.0
"""One line to one controller over one network: TCP and TLS that never wait.

It owns its socket and nothing else; the speaker owns the epoll loop and says when to do what. A
line that fails is closed with the reason and begun anew after a short pause.
"""

import errno
import random
import select
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from billow.agent.options import Address
from billow.agent.talk import say
from billow.errors import Invalid
from billow.model.ha.evidence import Network
from billow.model.ha.wire import MOST_BYTES, Frame, Message, decode, framed

PAUSE_S: Final = (0.05, 0.5)
"""Between a failure and the next try, at least and at most; between them it is diced."""
OPENING_S: Final = 1.5
"""A line that is not up by then is given up: a lost first packet is otherwise tried for long."""
SILENT_MS: Final = 2000
"""Data that nobody acknowledges for so long ends the connection."""
REMEMBERED: Final = 64
_READ: Final = 65_536
_IN, _OUT = select.EPOLLIN, select.EPOLLOUT


class State(Enum):
    """How far a line is."""

    DOWN = 0
    CONNECTING = 1
    PROVING = 2
    UP = 3


@dataclass(frozen=True, slots=True)
class Route:
    """From where to where a line goes."""

    controller: str
    network: Network
    local: str
    remote: Address


class Line:
    """A connection that is always tried again."""

    def __init__(self, route: Route, context: ssl.SSLContext) -> None:
        self.route = route
        self.state = State.DOWN
        self.why = "not tried yet"
        self.acked_at = 0.0
        """When the last beat was sent that was acknowledged; 0 for never."""
        self.controller = route.controller
        """Its name by its certificate; until it was seen, what the agent was told."""
        self.seen: dict[str, int] = {}
        """Which version of each part of the report was sent on this connection."""
        self._context = context
        self._socket: socket.socket | ssl.SSLSocket | None = None
        self._due_at = 0.0
        self._since = 0.0
        self._renew_at = 0.0
        self._number = 0
        self._sent: dict[int, float] = {}
        self._incoming = bytearray()
        self._outgoing = bytearray()

    def fileno(self) -> int:
        """Return the number of its socket; -1 without one."""
        return self._socket.fileno() if self._socket else -1

    def due(self, now: float) -> bool:
        """Tell whether it is time to begin."""
        return self.state is State.DOWN and now >= self._due_at

    def renew(self, context: ssl.SSLContext, at: float) -> None:
        """Show new papers from now on; a line that is up does so after `at`."""
        self._context, self._renew_at = context, at

    def outdated(self, now: float) -> bool:
        """Tell whether it is time to close it for new papers."""
        return 0 < self._renew_at <= now

    def overdue(self, now: float) -> bool:
        """Tell whether it has been opening for too long."""
        opening = self.state in {State.CONNECTING, State.PROVING}
        return opening and now - self._since > OPENING_S

    def begin(self, now: float) -> None:
        """Begin to connect. A failure closes the line again."""
        self._since = now
        try:
            self._socket = _socket(self.route)
            code = self._socket.connect_ex(self.route.remote)
        except OSError as error:
            self.close(f"cannot begin: {error.strerror or error}", now)
            return
        if code not in {0, errno.EINPROGRESS}:
            self.close(f"cannot connect: {errno.errorcode.get(code, code)}", now)
            return
        self.state = State.CONNECTING

    def wants(self) -> int:
        """Return the epoll events that it waits for."""
        if self.state is State.CONNECTING:
            return _OUT
        return _IN | (_OUT if self._outgoing or self.state is State.PROVING else 0)

    def open(self, now: float) -> bool:
        """Go on opening after an event; True once, when the line has just come up."""
        try:
            if self.state is State.CONNECTING:
                self._connected()
            if self.state is State.PROVING:
                return self._proved()
        except ssl.SSLCertVerificationError as error:
            self.close(f"the controller's certificate: {error.verify_message}", now)
        except (OSError, ValueError) as error:
            self.close(f"cannot open: {error}", now)
        return False

    def _connected(self) -> None:
        plain = self._socket
        if plain is None:
            return
        if code := plain.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(code, errno.errorcode.get(code, "unknown"))
        self._socket = self._context.wrap_socket(plain, do_handshake_on_connect=False)
        self.state = State.PROVING

    def _proved(self) -> bool:
        secure = self._socket
        if not isinstance(secure, ssl.SSLSocket):
            return False
        try:
            secure.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        self.controller = named(secure.getpeercert() or {}, "controller")
        self.state, self.why = State.UP, ""
        self.seen = {}
        return True

    def beat(self, now: float, body: bytes) -> None:
        """Send a beat; `now` is what the lease counts from when it is acknowledged."""
        self.send(Frame.BEAT, now, body if len(body) <= MOST_BYTES else b"")
        self._sent[self._number] = now
        if len(self._sent) > REMEMBERED:
            del self._sent[next(iter(self._sent))]

    def send(self, kind: Frame, now: float, body: bytes = b"") -> None:
        """Send a frame, or as much of it as the socket takes now; one that is too long is not sent.

        A line that would end for what it cannot say would end again and again.
        """
        if self.state is not State.UP:
            return
        self._number += 1
        try:
            self._outgoing += framed(kind, self.route.network, (self._number, now), body)
        except Invalid as error:
            say(f"{kind.name} is not sent: {error}")
            return
        self.flush(now)

    def flush(self, now: float) -> None:
        """Send what still waits. A failure closes the line."""
        secure = self._socket
        if not (self._outgoing and isinstance(secure, ssl.SSLSocket)):
            return
        try:
            while self._outgoing:
                del self._outgoing[: secure.send(self._outgoing)]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        except OSError as error:
            self.close(f"cannot send: {error}", now)

    def receive(self, now: float) -> Iterator[Message]:
        """Yield what came; acknowledgements are taken here. A failure closes the line."""
        try:
            self._read()
            for message in decode(self._incoming):
                if message.kind is Frame.ACK:
                    self._acknowledged(message.number)
                else:
                    yield message
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except (OSError, Invalid) as error:
            self.close(f"lost: {error}", now)

    def _read(self) -> None:
        secure = self._socket
        if not isinstance(secure, ssl.SSLSocket):
            return
        data = secure.recv(_READ)
        if not data:
            raise OSError("the controller closed it")
        self._incoming += data

    def _acknowledged(self, number: int) -> None:
        """Take an answer to a beat: it answers all older ones, too."""
        sent_at = self._sent.get(number, 0.0)
        self.acked_at = max(self.acked_at, sent_at)
        for old in [each for each in self._sent if each <= number]:
            del self._sent[old]

    def close(self, why: str, now: float) -> None:
        """End the connection and say why; it is tried again after a short pause."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self.state, self.why = State.DOWN, why
        self._due_at = now + random.uniform(*PAUSE_S)  # noqa: S311 (spreads tries, hides nothing)
        self._renew_at = 0.0
        self._sent.clear()
        self._incoming.clear()
        self._outgoing.clear()


def named(certificate: Mapping[str, object], role: str) -> str:
    """Return the name in the certificate's `billow://ROLE/NAME`. Raises ValueError without one."""
    entries = certificate.get("subjectAltName", ())
    for entry in entries if isinstance(entries, tuple) else ():
        kind, value = entry
        if kind == "URI" and value.startswith(f"billow://{role}/"):
            return str(value.removeprefix(f"billow://{role}/"))
    raise ValueError(f"the other side's certificate is not that of a {role}")


def _socket(route: Route) -> socket.socket:
    family = socket.AF_INET6 if ":" in route.remote[0] else socket.AF_INET
    plain = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    plain.setblocking(False)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_MS)
    plain.bind((route.local, 0))
    return plain
