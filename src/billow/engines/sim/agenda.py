# SPDX-License-Identifier: Apache-2.0
"""The queue of what will happen in a simulated world, and its only time."""

import heapq
from collections import deque
from collections.abc import Callable
from itertools import count

_REMEMBERED = 10_000


class Agenda:
    """Seconds of the world, what falls due, and what has happened.

    Attributes:
        now: Seconds since the world began.
        history: The last things that happened: `(seconds, what)`.
    """

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self.history: deque[tuple[float, str]] = deque(maxlen=_REMEMBERED)
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = count()

    def schedule(self, at: float, happen: Callable[[], None]) -> None:
        """Let something happen at a moment; what has one moment happens as it was scheduled."""
        heapq.heappush(self._queue, (max(at, self.now), next(self._sequence), happen))

    def advance(self, to: float) -> None:
        """Let everything happen that falls due until then; an earlier moment changes nothing."""
        while self._queue and self._queue[0][0] <= to:
            self.now, _, happen = heapq.heappop(self._queue)
            happen()
        self.now = max(self.now, to)

    def tell(self, text: str) -> None:
        """Remember that something happened now."""
        self.history.append((self.now, text))
