# SPDX-License-Identifier: Apache-2.0
"""Whether other hosts are served: asked only when this one is not, over mutually proved lines.

A host that lost every controller runs on while a majority of its peers say "unserved", for then all
have lost them. A controller that wants to take a host's lease for over makes the peers promise not
to say so to that host any more (`refuse`), and knows by their answers that no word of theirs still
counts. Threads, apart from the beats: some answer, one asks.
"""

import json
import socket
import ssl
import threading
from contextlib import suppress
from functools import partial
from typing import Final

from billow.agent.clock import now
from billow.agent.line import named
from billow.agent.memory import Memory
from billow.agent.options import Options, address_of
from billow.agent.orders import Order
from billow.agent.talk import say
from billow.agent.threads import begin
from billow.agent.trust import as_server
from billow.errors import Invalid, NotFound

ANSWER_S: Final = 0.5
UNSERVED_S: Final = 2.5
"""Without an acknowledgement for so long it is unserved: every fifth beat is answered."""
PROMISED_S: Final = 60.0
"""How long a refusal holds, and how long an agent runs before it says "unserved" at all: one that
began anew has forgotten what it refused."""
_MOST: Final = 256


class Answering:
    """Tells other agents whether this one is unserved."""

    def __init__(self, options: Options, memory: Memory) -> None:
        self.served_at = 0.0
        """When the last beat was sent that was acknowledged; the speaker's."""
        self._options = options
        self._memory = memory
        self._began_at = now()
        self._refused_until: dict[str, float] = {}
        self._said_at: dict[str, float] = {}
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None

    def start(self) -> None:
        """Begin to listen on every address of this host, where a port was named."""
        if not self._options.listen:
            return
        self._context = as_server(self._options.state)
        for address in sorted(set(self._options.local.values())):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            try:
                listener = socket.create_server((address, self._options.listen), family=family)
            except OSError as error:
                say(f"peers cannot ask on {address}: {error}")
                continue
            begin("peers", partial(self._serve, listener))

    def renew(self) -> None:
        """Show the new papers that lie on the disk from now on; a thread reads them."""
        if self._context is not None:
            begin("papers", self._read_papers)

    def _read_papers(self) -> None:
        try:
            self._context = as_server(self._options.state)
        except (OSError, NotFound) as error:
            say(f"peers see the old papers: {error}")

    def unserved(self, asker: str) -> bool:
        """Return whether it says to a host that it is unserved, and remember that it did."""
        moment = now()
        with self._lock:
            young = moment - self._began_at < PROMISED_S
            refused = moment < self._refused_until.get(asker, 0.0)
            served = moment - max(self.served_at, self._began_at) < UNSERVED_S
            if young or refused or served:
                return False
            self._said_at[asker] = moment
            return True

    def refuse(self, order: Order, waited_s: float) -> Order:
        """Promise not to say it to a host; ok only when no word to it can still count."""
        del waited_s
        host, moment = str(order.get("host", "")), now()
        with self._lock:
            self._refused_until[host] = moment + PROMISED_S
            said_at = self._said_at.get(host, self._began_at)
        asked_s = order.get("lease_s", 0.0)
        lease_s = max(
            self._options.lease_s,
            self._memory.obeyed.lease_s,
            float(asked_s) if isinstance(asked_s, int | float) else 0.0,
        )
        left_s = max(0.0, round(said_at + lease_s - moment, 3))
        return {"ok": left_s == 0, "text": f"refused to {host}", "left_s": left_s}

    def _serve(self, listener: socket.socket) -> None:
        while True:
            with suppress(OSError, ValueError):
                plain, _ = listener.accept()
                with plain:
                    plain.settimeout(ANSWER_S)
                    if context := self._context:
                        self._answer(plain, context)

    def _answer(self, plain: socket.socket, context: ssl.SSLContext) -> None:
        with context.wrap_socket(plain, server_side=True) as secure:
            asker = named(secure.getpeercert() or {}, "host")
            secure.sendall(json.dumps({"unserved": self.unserved(asker)}).encode())


class Asking:
    """Asks peers whether they are unserved."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    def unserved(self, peers: dict[str, dict[str, str]]) -> int:
        """Return how many peers say that they are unserved.

        Each is asked on all of its addresses at once; takes at most a second or two.
        """
        said: dict[str, list[bool | None]] = {peer: [] for peer in peers}
        asking = [
            begin("asking", partial(self._ask, peer, text, said[peer]))
            for peer, addresses in peers.items()
            for text in addresses.values()
        ]
        for each in asking:
            each.join(2 * ANSWER_S)
        return sum(_agreed(answers) for answers in said.values())

    def _ask(self, peer: str, text: str, said: list[bool | None]) -> None:
        said.append(self._says(peer, text))

    def _says(self, peer: str, text: str) -> bool | None:
        """Return what a peer says; None when it cannot be asked on this address."""
        try:
            with socket.create_connection(address_of(text), timeout=ANSWER_S) as plain:
                return self._read(peer, plain)
        except (OSError, ValueError, KeyError, TypeError, Invalid):
            return None

    def _read(self, peer: str, plain: socket.socket) -> bool | None:
        with self._context.wrap_socket(plain) as secure:
            if named(secure.getpeercert() or {}, "host") != peer:
                return None
            return json.loads(secure.recv(_MOST))["unserved"] is True


def _agreed(answers: list[bool | None]) -> bool:
    """Return whether a peer said it wherever it could be asked, and could be asked somewhere."""
    said = [each for each in answers if each is not None]
    return bool(said) and all(said)
