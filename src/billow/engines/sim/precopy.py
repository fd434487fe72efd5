# SPDX-License-Identifier: Apache-2.0
"""One live migration as a fluid: memory flows to the target while the instance writes it anew.

Pre-copy in rounds (Akoush et al., MASCOTS 2010): the first round sends all memory, each next one
what was written meanwhile, until the rest fits into the downtime limit. Between two calls the rate
is constant, so each figure is exact at any moment; who shares the link is the network's business,
not this module's.
"""

import math
from dataclasses import dataclass
from enum import Enum, auto

from billow.engines.sim.timing import Timing
from billow.model.run import Progress

_SLOW_ROUNDS = 2
_FIRST_THROTTLE, _MORE_THROTTLE, _MOST_THROTTLE = 0.2, 0.1, 0.99


class Turn(Enum):
    """What a migration comes to when its stretch ends."""

    COPY = auto()
    """Another round begins."""
    SWITCH = auto()
    """The instance stands still, the last memory goes over, then it runs on the target."""
    STUCK = auto()
    """It writes faster than it can be copied, and there were rounds enough."""
    STRUCK = auto()
    """It has come to where the script wants it to fail."""


@dataclass(slots=True)
class Precopy:
    """The state of one migration; all amounts in MiB, times in seconds of the world.

    Attributes:
        memory_mib: What the instance holds, and the most that it can write anew.
        dirty_mib_s: How fast it writes while it is not throttled.
        fails_at: The share of its memory after which the script makes it fail; NaN for never.
        rate: What flows now, MiB/s; set by `flow`.
    """

    source: str
    target: str
    memory_mib: float
    dirty_mib_s: float
    timing: Timing
    since: float
    fails_at: float = math.nan
    rate: float = 0.0
    left: float = 0.0
    written: float = 0.0
    copied: float = 0.0
    sent: float = 0.0
    rounds: int = 1
    slow_rounds: int = 0
    throttled: float = 0.0
    switching: bool = False
    downtime_s: float = 0.0

    def __post_init__(self) -> None:
        self.left = self.memory_mib

    @property
    def dirty_now(self) -> float:
        """How fast the instance writes now, MiB/s."""
        return 0.0 if self.switching else self.dirty_mib_s * (1.0 - self.throttled)

    @property
    def turns_at(self) -> float:
        """When this stretch ends, if the rate stays."""
        if self.switching:
            return self.since + self.downtime_s
        return self.since + min(self.left, self._until_struck()) / self.rate

    def flow(self, rate: float, now: float) -> None:
        """Let memory flow at another rate from now on."""
        self._settle(now)
        self.rate = rate

    def turn(self, now: float) -> Turn:
        """End this stretch and begin the next one."""
        struck = self._until_struck() <= self.left
        self._settle(now)
        if struck:
            return Turn.STRUCK
        self.left, self.written = self.written, 0.0
        if self.left <= self.rate * self.timing.downtime_limit_s:
            self.switching = True
            self.downtime_s = self.timing.switch_s + self.left / self.rate
            return Turn.SWITCH
        if self.rounds >= self.timing.most_rounds:
            return Turn.STUCK
        self._next_round()
        return Turn.COPY

    def progress(self, now: float) -> Progress:
        """Return how far it is, without changing anything."""
        if self.switching:
            left_s = max(self.since + self.downtime_s - now, 0.0)
            left = self.left * left_s / self.downtime_s
            done = self.copied + self.left - left
            return self._progress("switching", done, left, left_s)
        flown = min(self.rate * (now - self.since), self.left)
        ratio = self.dirty_now / self.rate
        left = (self.left - flown) / (1.0 - min(ratio, 0.9))
        return self._progress("copying", self.copied + flown, left, left / self.rate)

    def _progress(self, phase: str, done: float, left: float, left_s: float) -> Progress:
        total = done + left
        fraction = done / total if total else 1.0
        return Progress(fraction, phase, left_s, copied_mib=done, total_mib=total)

    def _until_struck(self) -> float:
        """MiB still to flow until the script strikes; infinite when it does not."""
        if math.isnan(self.fails_at):
            return math.inf
        return max(self.fails_at * self.memory_mib - self.copied, 0.0)

    def _settle(self, now: float) -> None:
        passed = now - self.since
        flown = min(self.rate * passed, self.left)
        self.left -= flown
        self.copied += flown
        self.sent += flown
        self.written = min(self.memory_mib, self.written + self.dirty_now * passed)
        self.since = now

    def _next_round(self) -> None:
        """Begin a round; throttle an instance that keeps writing half of what is sent (as QEMU)."""
        self.slow_rounds += self.left > self.sent / 2
        if self.timing.throttle and self.slow_rounds >= _SLOW_ROUNDS:
            more = _MORE_THROTTLE if self.throttled else _FIRST_THROTTLE
            self.throttled = min(self.throttled + more, _MOST_THROTTLE)
            self.slow_rounds = 0
        self.sent = 0.0
        self.rounds += 1
