# SPDX-License-Identifier: Apache-2.0
"""Find the guests that come, in a thread of its own: what hangs there holds up no beat."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from billow.agent.clock import now
from billow.agent.guests import Guest, namespace, processes, running, take
from billow.agent.threads import begin

EVERY_S: Final = 1.0
FENCED_EVERY_S: Final = 0.1
"""How often, while nothing may run here."""
_NONE: Final = frozenset[int]()
FORGET_AFTER: Final = 10
"""Looks, after which one that was no guest is looked at again."""


class Census:
    """A thread that holds every guest it finds and hands it over.

    Args:
        ring: Called in the thread when a guest was found.
    """

    def __init__(self, ring: Callable[[], None], net: int | None = None) -> None:
        self.net = namespace() if net is None else net
        self.found: deque[Guest] = deque()
        self.looked_at = 0.0
        """When it began the last look that it finished."""
        self._ring = ring
        self._known: frozenset[int] = frozenset()
        self._once = self._twice = _NONE
        self._looks = 0
        self._wake = threading.Event()
        self._fenced = False

    def start(self) -> None:
        """Begin to look."""
        begin("census", self._run)

    def hurry(self, *, fenced: bool) -> None:
        """Look now, and often from now on while nothing may run here."""
        self._fenced = fenced
        self._wake.set()

    def _run(self) -> None:
        while True:
            began = now()
            self.look()
            self.looked_at = began
            self._wake.wait(FENCED_EVERY_S if self._fenced else EVERY_S)
            self._wake.clear()

    def look(self) -> None:
        """Look at every process that may be one, and hand over those that are.

        A process becomes a hypervisor after it began, so others are looked at twice, and all of
        them again every few seconds; while nothing may run here, all of them each time.
        """
        living = processes()
        self._known &= living
        others = living - self._known
        self._once &= others
        self._twice = (
            self._twice & others if self._looks % FORGET_AFTER and not self._fenced else _NONE
        )
        self._looks += 1
        looked_at = others - self._twice
        for pid in running(self.net, looked_at):
            if guest := take(pid, self.net):
                self._known |= {pid}
                self.found.append(guest)
                self._ring()
        self._twice |= self._once & looked_at
        self._once = looked_at - self._twice - self._known
