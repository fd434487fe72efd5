# SPDX-License-Identifier: Apache-2.0
"""Whether other hosts are served: asked only when this one is not, over mutually proved lines.

The answer decides whether a host that lost every controller keeps its promise and ends, or knows
that all have lost them and runs on. Two threads, apart from the beats: one answers, one asks.
"""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from billow.agent.line import named
from billow.agent.options import Address, address_of

ANSWER_S: Final = 0.5
_MOST: Final = 256


class Answering:
    """A thread that tells other agents how long ago this one was served.

    Args:
        age_s: Returns seconds since the last acknowledged send.
    """

    def __init__(self, context: ssl.SSLContext, age_s: Callable[[], float]) -> None:
        self._context = context
        self._age_s = age_s

    def start(self, addresses: Iterable[Address]) -> None:
        """Begin to listen. Raises OSError when an address is taken or not its own."""
        for address in addresses:
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            listener = socket.create_server(address, family=family)
            threading.Thread(target=self._serve, args=(listener,), daemon=True).start()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            with suppress(OSError, ValueError):
                plain, _ = listener.accept()
                with plain:
                    plain.settimeout(ANSWER_S)
                    self._answer(plain)

    def _answer(self, plain: socket.socket) -> None:
        with self._context.wrap_socket(plain, server_side=True) as secure:
            named(secure.getpeercert() or {}, "host")
            secure.sendall(json.dumps({"age_s": round(self._age_s(), 3)}).encode())


class Asking:
    """Asks peers whether they are served."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="peer")

    def unserved(self, peers: dict[str, dict[str, str]], limit_s: float) -> int:
        """Return how many peers say that nobody has acknowledged them for `limit_s`.

        Each is asked on all of its addresses at once; takes at most a second.
        """
        asked = {
            peer: [self._pool.submit(self._age, peer, text) for text in addresses.values()]
            for peer, addresses in peers.items()
        }
        ages = [[each.result() for each in futures] for futures in asked.values()]
        return sum(_counted(answers) > limit_s for answers in ages)

    def _age(self, peer: str, text: str) -> float | None:
        """Return seconds since a peer was served; None when it cannot be asked here."""
        try:
            with socket.create_connection(address_of(text), timeout=ANSWER_S) as plain:
                return self._read(peer, plain)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _read(self, peer: str, plain: socket.socket) -> float | None:
        with self._context.wrap_socket(plain) as secure:
            if named(secure.getpeercert() or {}, "host") != peer:
                return None
            return float(json.loads(secure.recv(_MOST))["age_s"])


def _counted(answers: list[float | None]) -> float:
    """Return the age that counts of one peer: its youngest answer; -1 without one."""
    return min((each for each in answers if each is not None), default=-1.0)
