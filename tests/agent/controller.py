# SPDX-License-Identifier: Apache-2.0
"""A controller on loopback that speaks the real frames over real TLS: it hears, acks, orders."""

import socket
import ssl
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from billow.model.ha.evidence import Network
from billow.model.ha.wire import Frame, Message, decode, encode

Found = TypeVar("Found")

SAID_WITHIN_S: Final = 0.01
"""After so long without a beat it is looked whether there is an order to give."""


class Controller:
    """Hears one agent on any number of lines; `acks` may be turned off."""

    def __init__(self, papers: Path, address: str = "127.0.0.1", port: int = 0) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(papers / "agent.crt", papers / "agent.key")
        self.context.load_verify_locations(papers / "ca.crt")
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.listener = socket.create_server((address, port), reuse_port=False)
        self.acks = True
        self.every = 1
        """Which beats are answered: each, or each so many of them."""
        self.ended: list[float] = []
        """When lines ended."""
        self.heard: list[tuple[float, Message]] = []
        self.lines: dict[Network, ssl.SSLSocket] = {}
        self.said: dict[Network, dict[str, Any]] = {}
        self._given: defaultdict[ssl.SSLSocket, deque[bytes]] = defaultdict(deque)
        """What is to be said over each line; only the thread that reads it may also write."""
        self._number = 0
        self._ended = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """Where it listens."""
        host, port = self.listener.getsockname()[:2]
        return f"{host}:{port}"

    def _accept(self) -> None:
        while not self._ended:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        self._hear(plain)
        self.ended.append(time.monotonic())

    def _hear(self, plain: socket.socket) -> None:
        with suppress(OSError), self.context.wrap_socket(plain, server_side=True) as line:
            data, own = bytearray(), {}
            line.settimeout(SAID_WITHIN_S)
            while not self._ended:
                while self._given[line]:
                    line.sendall(self._given[line].popleft())
                try:
                    read = line.recv(65_536)
                except TimeoutError:
                    continue
                if not read:
                    return
                data += read
                for message in decode(data):
                    self.heard.append((time.monotonic(), message))
                    self.lines[message.network] = line
                    own.update(message.body)
                    self.said[message.network] = own
                    counts = message.number % self.every == 0
                    if message.kind is Frame.BEAT and self.acks and counts:
                        answer = Message(Frame.ACK, message.network, message.number, message.at, {})
                        line.sendall(encode(answer))

    def order(self, body: dict[str, object], network: Network = Network.MANAGEMENT) -> None:
        """Give an order over a line."""
        self._number += 1
        order = Message(Frame.ORDER, network, self._number, time.monotonic(), body)
        self._given[self.lines[network]].append(encode(order))

    def asked(self, name: str, timeout_s: float = 20.0, **body: object) -> dict[str, Any]:
        """Give an order and return its answer."""
        self.order({"id": name, **body})
        return self.until(lambda: self.answers(name), timeout_s)[0]

    def answers(self, name: str) -> list[dict[str, Any]]:
        """Return every answer to an order so far."""
        kind = Frame.ANSWER
        return [
            each.body
            for _, each in list(self.heard)
            if each.kind is kind and each.body["id"] == name
        ]

    def of(self, kind: Frame) -> list[tuple[float, Message]]:
        """Return what was heard of a kind, and when."""
        return [each for each in list(self.heard) if each[1].kind is kind]

    def until(self, ready: Callable[[], Found], timeout_s: float = 20.0) -> Found:
        """Wait until something is so, and return it."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            with suppress(KeyError):
                if found := ready():
                    return found
            time.sleep(0.005)
        raise AssertionError(f"not so within {timeout_s} s; heard {self.heard[-5:]}")

    def close(self) -> None:
        """Go, and take every line along."""
        self._ended = True
        self.listener.close()
        for line in self.lines.values():
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
                line.close()
