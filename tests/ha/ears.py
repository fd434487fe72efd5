# SPDX-License-Identifier: Apache-2.0
"""A controller's ear on loopback with real papers, and agents' lines that tests speak over."""

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from billow.act.authority import secret
from billow.act.clock import SystemClock
from billow.ha.enrol import Enrolment
from billow.ha.event import Event, Kind
from billow.ha.lines import Listening, proving
from billow.ha.matrix import Matrix
from billow.ha.orders import Waiting
from billow.ha.receiver import Receiver
from billow.ha.snapshot import Views
from billow.model.ha.evidence import NETWORKS, Network
from billow.model.ha.view import View
from billow.model.ha.wire import Frame, Message, decode, encode

BEAT_S = 0.05
LIMIT_S = 5 * BEAT_S
MANAGEMENT = Network.MANAGEMENT


def enrolled(enrolment: Enrolment, host: str, folder: Path) -> Path:
    """Enrol a host as its agent does; return the folder with its papers."""
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    signed = enrolment.enrol(enrolment.token(host), host, requested(key))
    (folder / "agent.key").write_bytes(secret(key))
    (folder / "agent.crt").write_text(signed.certificate)
    (folder / "ca.crt").write_text(signed.ca)
    return folder


def requested(key: ec.EllipticCurvePrivateKey) -> str:
    """Return a certificate signing request."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def dialled(folder: Path, port: int) -> ssl.SSLSocket:
    """Return a proved line with papers of a folder. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_cert_chain(folder / "agent.crt", folder / "agent.key")
    context.load_verify_locations(folder / "ca.crt")
    plain = socket.create_connection(("127.0.0.1", port), timeout=3)
    try:
        return context.wrap_socket(plain)
    except OSError:
        plain.close()
        raise


@dataclass
class Speaker:
    """One line of an agent."""

    line: ssl.SSLSocket
    network: Network
    number: int = 0
    spoke_at: float = 0.0
    inbox: bytearray = field(default_factory=bytearray)

    def say(self, kind: Frame, body: dict[str, object] | None = None, number: int = 0) -> None:
        """Send a frame."""
        self.number = number or self.number + 1
        self.spoke_at = time.monotonic()
        message = Message(kind, self.network, self.number, self.spoke_at, body or {})
        self.line.sendall(encode(message))

    def hear(self, kind: Frame, within_s: float = 3.0) -> Message:
        """Return the next frame of a kind. Raises TimeoutError, ConnectionError."""
        self.line.settimeout(within_s)
        while True:
            for message in decode(self.inbox):
                if message.kind is kind:
                    return message
            data = self.line.recv(65_536)
            if not data:
                raise ConnectionResetError
            self.inbox += data

    def closed(self, within_s: float = 3.0) -> bool:
        """Return whether the controller closes the line."""
        self.line.settimeout(within_s)
        try:
            while self.line.recv(65_536):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def beat_for(self, seconds: float) -> None:
        """Beat for a while."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.say(Frame.BEAT)
            time.sleep(BEAT_S)


@dataclass
class Ear:
    """A controller's ear."""

    receiver: Receiver
    matrix: Matrix
    enrolment: Enrolment
    folder: Path
    waiting: Waiting
    views: Views
    seen: list[Event] = field(default_factory=list)
    lines: list[ssl.SSLSocket] = field(default_factory=list)

    def dial(
        self, host: str, network: Network = MANAGEMENT, papers: Path | None = None
    ) -> ssl.SSLSocket:
        """Return a proved line, nothing said on it yet."""
        folder = papers or self.folder / host
        if not folder.exists():
            enrolled(self.enrolment, host, folder)
        self.lines.append(dialled(folder, self.receiver.ports()[network]))
        return self.lines[-1]

    def speaker(self, host: str, network: Network = MANAGEMENT, **body: object) -> Speaker:
        """Return a line that is greeted."""
        speaker, came = (
            Speaker(self.dial(host, network), network),
            self.kinds(host).count(Kind.CAME),
        )
        speaker.say(Frame.HELLO, {"host": host, "boot": "b1", "lease_s": 0.0, **body})
        self.until(lambda: self.kinds(host).count(Kind.CAME) > came)
        return speaker

    def until(self, holds: Callable[[], bool], within_s: float = 20.0) -> None:
        """Wait until something holds; fail when it does not."""
        end = time.monotonic() + within_s
        while True:
            self.seen.extend(self.receiver.events())
            if holds():
                return
            assert time.monotonic() < end, f"it does not come to hold; seen: {self.seen}"
            time.sleep(0.002)

    def kinds(self, host: str) -> list[Kind]:
        """Return what was noticed of a host so far."""
        self.seen.extend(self.receiver.events())
        return [each.kind for each in self.seen if each.host == host]

    def missed(self, network: Network) -> bool:
        """Return whether anybody was missed on a network so far."""
        self.seen.extend(self.receiver.events())
        return any(each.kind is Kind.MISSED and each.network is network for each in self.seen)

    def publish(self) -> None:
        """Publish a view, as a controller does."""
        self.receiver.acknowledge(*self.views.acknowledgeable(self.view()))

    def view(self) -> View:
        """Return what was heard."""
        return self.views.view(self.matrix.snapshot(), SystemClock().now())

    async def order(self, host: str, network: Network, body: dict[str, object]) -> dict[str, Any]:
        """Send an order and return the answer."""
        return await self.waiting.ask(self.receiver.post, host, network, body, 2.0)


@contextlib.contextmanager
def ear_in(folder: Path, probe_port: int = 1, port: int = 0) -> Iterator[Ear]:
    """Hear on loopback, on three ports, or on one for all networks."""
    enrolment = Enrolment(folder / "authority", "test", "c1", SystemClock())
    matrix, waiting = Matrix(SystemClock(), LIMIT_S, first_s=1.0), Waiting()
    places = dict.fromkeys(NETWORKS, ("127.0.0.1", port))
    listening = Listening(places, proving(enrolment.papers()), probe_port)
    receiver = Receiver(listening, matrix, waiting)
    receiver.start()
    try:
        ear = Ear(receiver, matrix, enrolment, folder / "agents", waiting, Views("c1", LIMIT_S))
        yield ear
        for line in ear.lines:
            line.close()
    finally:
        receiver.stop()
