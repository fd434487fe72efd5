# SPDX-License-Identifier: Apache-2.0
"""New papers reach the questions between peers: after the old ones ended they still get answers."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from billow.agent.memory import Memory
from billow.agent.options import Options
from billow.agent.peers import PROMISED_S, Answering, Asking
from billow.agent.trust import as_client, as_server
from billow.model.ha.evidence import Network
from tests.agent.controller import Controller
from tests.agent.ground import LOCAL, Host
from tests.agent.papers import Authority
from tests.agent.test_memory import until

Begin = Callable[..., Controller]
SHORT = timedelta(seconds=2)
PORT = 8601
LEASE_S = 6.0


def answering(host: Host, state: Path) -> Answering:
    """Begin the answers of a host that has been unserved for long."""
    local = {Network.MANAGEMENT: "127.0.8.1"}
    options = Options(host="p1", state=state, boot="b", local=local, listen=PORT)
    made = Answering(options, Memory(state, "b"))
    made._began_at -= PROMISED_S
    host.inside(made.start)
    return made


def test_peers_excuse_each_other_after_their_first_papers_ended(
    host: Host, authority: Authority, tmp_path: Path
) -> None:
    theirs = authority.papers(tmp_path / "p1", "host", "p1", SHORT)
    ours = authority.papers(tmp_path / "h2", "host", "h2", SHORT)
    peer = answering(host, theirs)

    def unserved(context: ssl.SSLContext) -> int:
        asked = {"p1": {"management": f"127.0.8.1:{PORT}"}}
        return host.inside(lambda: Asking(context).unserved(asked))

    first = as_client(ours)
    assert unserved(first) == 1
    until(lambda: unserved(first) == 0)
    (ours / "agent.crt").write_bytes(authority.renewed(ours, "host", "h2"))
    assert unserved(as_client(ours)) == 0, "the other's have ended as well"
    (theirs / "agent.crt").write_bytes(authority.renewed(theirs, "host", "p1"))
    peer.renew()
    until(lambda: unserved(as_client(ours)) == 1)


@contextlib.contextmanager
def asked(host: Host, state: Path, address: tuple[str, int]) -> Iterator[list[int]]:
    """Be a peer that is asked; yield the numbers of the certificates that it was shown."""
    numbers: list[int] = []
    listener = host.inside(lambda: socket.create_server(address))

    def answer() -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = listener.accept()
                with plain, as_server(state).wrap_socket(plain, server_side=True) as secure:
                    numbers.append(number_of(secure))
                    secure.sendall(b'{"unserved": true}')

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    yield numbers
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def number_of(secure: ssl.SSLSocket) -> int:
    shown = secure.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


def shown_by(host: Host, state: Path) -> int:
    """Ask the agent as a peer does; return the number of the certificate that it shows."""

    def ask() -> int:
        address = (LOCAL[Network.TENANT], PORT)
        with (
            socket.create_connection(address, 2) as plain,
            as_client(state).wrap_socket(plain) as secure,
        ):
            return number_of(secure)

    return host.inside(ask)


@pytest.mark.slow
def test_an_agent_shows_its_peers_the_papers_that_a_controller_renewed(
    host: Host, controllers: Begin, authority: Authority, tmp_path: Path
) -> None:
    controller = controllers("c1")
    peer = authority.papers(tmp_path / "p1", "host", "p1")
    own = ("--watchdog", "stand-in", "--lease", str(LEASE_S), "--listen", str(PORT))
    host.agent("--controller", f"c1={controller.address}", "--beat", "0.05", *own)
    controller.until(lambda: len(controller.lines) == 3)
    old = x509.load_pem_x509_certificate((host.folder / "agent.crt").read_bytes()).serial_number
    assert shown_by(host, peer) == old
    peers = {"p1": {"tenant": f"127.0.9.1:{PORT}"}}
    said = controller.asked("arm", do="arm", fence=1, lease_s=LEASE_S, peers=peers)
    assert said["ok"], said
    new = authority.renewed(host.folder, "host", "h1")
    papers: dict[str, Any] = {"certificate": new.decode(), "ca": authority.pem().decode()}
    assert controller.asked("p1", do="papers", **papers)["ok"]
    number = x509.load_pem_x509_certificate(new).serial_number
    until(partial(_shows, host, peer, number))
    with asked(host, peer, ("127.0.9.1", PORT)) as numbers:
        controller.acks = False
        until(lambda: bool(numbers))
        controller.acks = True
    assert set(numbers) == {number}


def _shows(host: Host, peer: Path, number: int) -> bool:
    return shown_by(host, peer) == number
