# SPDX-License-Identifier: Apache-2.0
"""One agent's line on one network: its handshake, who it is, and its bytes in and out.

No call waits. What comes from outside is believed only as far as it was checked here; anything
else raises Invalid, and costs whoever sent it the line. This module must not know what other lines
there are.
"""

import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from select import EPOLLIN, EPOLLOUT
from typing import Final

from billow.errors import Invalid, Unavailable
from billow.model.ha.evidence import NETWORKS, Network
from billow.model.ha.wire import Message, decode, encode

HOST_URI: Final = "billow://host/"
CONTROLLER_URI: Final = "billow://controller/"
_MOST_WAITING: Final = 1 << 20
"""Bytes that an agent may leave unread before its line is closed."""


class Stage(IntEnum):
    """How far a line is."""

    SHAKING = 0
    GREETING = 1
    """It is proved whose it is; its first frame is awaited."""
    OPEN = 2


@dataclass(frozen=True, slots=True)
class Listening:
    """Where agents are heard, and how.

    Attributes:
        places: Per network, the address and port to listen on; port 0 takes a free one.
        proving: How this controller proves itself, and whom it believes.
        probe_port: A port of hosts at which a kernel is asked whether it lives.
    """

    places: Mapping[Network, tuple[str, int]]
    proving: ssl.SSLContext
    probe_port: int = 8523


@dataclass(slots=True, eq=False)
class Line:
    """One line.

    Attributes:
        place: The network, as a position in NETWORKS.
        address: The agent's address as this controller sees it.
        host: Whose it is, from its certificate; empty while that is not proved.
        cell: Of the matrix.
        number: Of the last frame.
        unacked: Beats since the last acknowledgement.
        wanted: The events to wait for.
    """

    socket: ssl.SSLSocket
    place: int
    address: str
    opened_at: float
    stage: Stage = Stage.SHAKING
    host: str = ""
    serial: int = 0
    ends_at: float = 0.0
    row: int = -1
    cell: int = -1
    number: int = 0
    at: float = 0.0
    unacked: int = 0
    parted: bool = False
    wanted: int = EPOLLIN
    inbox: bytearray = field(default_factory=bytearray)
    outbox: bytearray = field(default_factory=bytearray)

    @property
    def network(self) -> Network:
        """The network that it is on."""
        return NETWORKS[self.place]

    def shake(self) -> bool:
        """Go on with the handshake; return whether it is done. Raises OSError, Invalid."""
        try:
            self.socket.do_handshake()
        except ssl.SSLWantReadError:
            self.wanted = EPOLLIN
            return False
        except ssl.SSLWantWriteError:
            self.wanted = EPOLLOUT
            return False
        self.wanted, self.stage = EPOLLIN, Stage.GREETING
        shown = self.socket.getpeercert() or {}
        self.host = _host_of(shown)
        self.serial = int(str(shown.get("serialNumber", "0")), 16)
        self.ends_at = float(ssl.cert_time_to_seconds(str(shown["notAfter"])))
        return True

    def read(self, data: bytes | memoryview) -> Iterator[Message]:
        """Yield the frames that are whole by now. Raises Invalid."""
        self.inbox += data
        for message in decode(self.inbox):
            if message.network is not self.network:
                raise Invalid(f"a frame of the {message.network} network came over another one")
            if message.number <= self.number:
                raise Invalid(f"frame {message.number} came after frame {self.number}")
            self.number, self.at = message.number, message.at
            yield message

    def post(self, message: Message) -> None:
        """Put a frame behind what waits to be sent. Raises Invalid."""
        if len(self.outbox) > _MOST_WAITING:
            raise Invalid("its agent does not read what it is sent")
        self.outbox += encode(message)

    def flush(self) -> None:
        """Send what waits. Raises OSError."""
        self.wanted = EPOLLIN
        while self.outbox:
            try:
                count = self.socket.send(self.outbox)
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                self.wanted = EPOLLIN | EPOLLOUT
                return
            del self.outbox[:count]


def _host_of(shown: object) -> str:
    """Return the host that a certificate is of. Raises Invalid when it is of none, or of two."""
    names = shown.get("subjectAltName", ()) if isinstance(shown, dict) else ()
    hosts = [name for kind, name in names if kind == "URI" and name.startswith(HOST_URI)]
    if len(hosts) != 1 or len(hosts[0]) == len(HOST_URI):
        raise Invalid("its certificate is no host's")
    return str(hosts[0][len(HOST_URI) :])


def listening(address: str, port: int) -> socket.socket:
    """Listen. Raises Unavailable."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    ear = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ear.bind((address, port))
        ear.listen(4096)
    except OSError as error:
        ear.close()
        raise Unavailable(
            f"agents cannot be heard on {address} port {port}: {error.strerror}",
            fix="see that the address is this controller's, and that nobody else has the port",
            code="cannot-listen",
        ) from error
    return ear


def accepted(ear: socket.socket, place: int, proving: ssl.SSLContext | None) -> Line | None:
    """Return the line of whoever has come, not proved yet; None when it left, or may not come in.

    Args:
        ear: Where it came.
        place: The network, as a position in NETWORKS.
        proving: How the controller proves itself; None lets nobody in.
    """
    try:
        fresh, address = ear.accept()
    except OSError:
        return None
    try:
        if proving is None:
            raise ConnectionAbortedError
        fresh.setblocking(False)
        fresh.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        secret = proving.wrap_socket(fresh, server_side=True, do_handshake_on_connect=False)
    except OSError:
        fresh.close()
        return None
    return Line(secret, place, str(address[0]), time.monotonic())


def proving(folder: Path) -> ssl.SSLContext:
    """Return how this controller proves itself, and whom it believes.

    Args:
        folder: With `controller.crt`, `controller.key` and `ca.crt`.

    Raises:
        Unavailable: they cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0
    try:
        context.load_cert_chain(folder / "controller.crt", folder / "controller.key")
        context.load_verify_locations(folder / "ca.crt")
    except (OSError, ssl.SSLError) as error:
        raise Unavailable(
            "the papers of this controller cannot be read",
            details=(str(folder), str(error)),
            fix="remove controller.crt there and start again: new ones are made",
            code="bad-papers",
        ) from error
    return context
