# SPDX-License-Identifier: Apache-2.0
"""Keep the promise of a lease: arm it, let the watchdog be fed while it holds, ask the peers.

The speaker calls it each time round; it waits for nothing. Asking runs in a thread.
"""

import ssl
import threading
from typing import Final

from billow.agent.board import Board
from billow.agent.clock import now
from billow.agent.lease import Lease, possible_s
from billow.agent.memory import Memory
from billow.agent.options import Options
from billow.agent.orders import Order
from billow.agent.peers import Asking
from billow.agent.threads import begin
from billow.agent.watchdog import wanted_s

ARMING_S: Final = 3.0
"""The watchdog must have been fed by then, or the lease is not promised."""
ASK_EVERY_S: Final = 0.3
FAR: Final = 1e18
"""An instant that never comes: a watchdog that cannot be stopped is fed for ever."""


class Promise:
    """What binds this host now."""

    def __init__(self, options: Options, memory: Memory, context: ssl.SSLContext) -> None:
        self._options = options
        self._memory = memory
        self._board = Board(options.state)
        self._asking = Asking(context)
        self._excused_at = 0.0
        self._feed_unless_promised()
        self._acked_at = self._board.feed_until - self._left_s if self._restored else now()
        self._ask = threading.Event()
        begin("lease", self._ask_for_ever)

    @property
    def _left_s(self) -> float:
        return self.lease.lease_s - self.lease.device_s

    @property
    def _restored(self) -> bool:
        """Whether an agent before this one promised, and the watchdog knows until when."""
        return bool(self.lease.lease_s) and 0 < self._board.feed_until < FAR

    @property
    def lease(self) -> Lease:
        """What was promised."""
        obeyed = self._memory.obeyed
        return Lease(obeyed.lease_s, self._board.device_s, len(obeyed.peers))

    @property
    def possible_s(self) -> float:
        """What could be promised."""
        if not self._options.watchdog:
            return 0.0
        device_s = self._board.device_s or wanted_s(self._options.watchdog, self._options.lease_s)
        return possible_s(self._options.lease_s, device_s, self._options.beat_s)

    def keep(self, acked_at: float) -> None:
        """Say until when the watchdog may be fed, and have the peers asked when it is time."""
        self._acked_at = max(self._acked_at, acked_at)
        lease, moment = self.lease, now()
        self._board.spoke_at = moment
        if lease.lease_s:
            self._board.feed_until = lease.feed_until(self._acked_at, self._excused_at)
            if lease.asks(moment, self._acked_at):
                self._ask.set()
        else:
            self._feed_unless_promised()

    def _feed_unless_promised(self) -> None:
        """Have a watchdog that runs fed for ever while nothing is promised: nothing shall reset."""
        if self._board.device_s and not self.lease.lease_s:
            self._board.feed_until = FAR

    def disarm(self, order: Order, waited_s: float) -> Order:
        """End the promise; a watchdog that runs is fed for ever."""
        del order, waited_s
        self._memory.change(lease_s=0.0, peers={})
        self._board.feed_until = 0.0
        self._feed_unless_promised()
        return {"ok": True, "text": "no lease binds"}

    def renew(self, context: ssl.SSLContext) -> None:
        """Show new papers to the peers from now on."""
        self._asking = Asking(context)

    def arm(self, order: Order, waited_s: float) -> Order | None:
        """Begin the promise; None while the watchdog has not been fed yet."""
        why = self._armed(order, waited_s)
        return None if why is None else {"ok": not why, "text": why or "the lease binds"}

    def _armed(self, order: Order, waited_s: float) -> str | None:
        wanted = order.get("lease_s", self._options.lease_s)
        if not isinstance(wanted, int | float) or not self._options.watchdog:
            return "no watchdog was named: --watchdog and --lease"
        peers, bound = order.get("peers"), self._memory.obeyed
        if bound.lease_s and isinstance(peers, dict) and peers.keys() != bound.peers.keys():
            return "it is armed with other peers, and they stay until it is disarmed, or boots"
        self._board.feed_until = max(self._board.feed_until, now() + ASK_EVERY_S)
        if now() - self._board.fed_at > ASK_EVERY_S * 2:
            return "the watchdog cannot be fed" if waited_s > ARMING_S else None
        return self._promised(float(wanted), order.get("peers"))

    def _promised(self, wanted_s: float, peers: object) -> str:
        lease_s = possible_s(wanted_s, self._board.device_s, self._options.beat_s)
        if not lease_s:
            return f"{wanted_s:g} s is too short for a watchdog of {self._board.device_s:g} s"
        self._acked_at = now()
        self._memory.change(lease_s=lease_s, peers=peers if isinstance(peers, dict) else {})
        self.keep(self._acked_at)
        return ""

    def _ask_for_ever(self) -> None:
        while True:
            self._ask.wait()
            self._ask.clear()
            lease, peers, began = self.lease, self._memory.obeyed.peers, now()
            unserved = self._asking.unserved(peers)
            if lease.excuses(unserved):
                self._excused_at = began
            threading.Event().wait(ASK_EVERY_S)
