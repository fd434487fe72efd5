# SPDX-License-Identifier: Apache-2.0
"""One live migration as a fluid: memory flows to the target while the instance writes it anew.

Pre-copy in rounds (Akoush et al., MASCOTS 2010): the first round sends all memory, each next one
what was written meanwhile, until the rest fits into the downtime limit; post-copy hands the
instance over after the first round and fetches the rest. Between two calls the rate is constant, so
each figure is exact at any moment; who shares the link is the network's business, whom to slow down
is the brake's. A disk that moves along goes before the memory, and what is written to it meanwhile
costs nothing here.
"""

import math
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from billow.engines.sim.brake import Brake, course_of
from billow.engines.sim.timing import Timing
from billow.model.assessment import Way
from billow.model.kinds import MigrationPolicy
from billow.model.run import Flow, Progress
from billow.plan.shares import LONGEST_S

_PATIENT_ROUNDS = 4
"""Rounds that nobody helps before it is said that they will not end."""
_LEAST_SHARE = 0.125
"""Part of a promised downtime that is left for memory, however long the switch itself takes."""


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
        dirty_mib_s: How fast it writes while it is not slowed down.
        fails_at: The share of memory and disk after which the script makes it fail; NaN for never.
        policy: What may be done to it.
        shares: The part of its writing that each vCPU does.
        promise_s: How long it may stand still; NaN for as the world's timing says.
        disk_mib: What there is of a disk that moves along.
        ahead: Whether it is the disk that flows.
        rate: What flows now, MiB/s; set by `flow`.
        fetches: Whether memory is left to be fetched after the switch.
        pulling: Whether it runs on the target, and what is left is fetched.
    """

    source: str
    target: str
    memory_mib: float
    dirty_mib_s: float
    timing: Timing
    since: float
    fails_at: float = math.nan
    policy: MigrationPolicy = MigrationPolicy.BALANCED
    shares: tuple[float, ...] = (1.0,)
    promise_s: float = math.nan
    disk_mib: float = 0.0
    ahead: bool = False
    rate: float = 0.0
    left: float = 0.0
    written: float = 0.0
    copied: float = 0.0
    sent: float = 0.0
    rounds: int = 1
    switching: bool = False
    fetches: bool = False
    pulling: bool = False
    downtime_s: float = 0.0
    began: float = 0.0
    memory_since: float = 0.0
    brake: Brake = field(init=False)

    def __post_init__(self) -> None:
        self.ahead = self.disk_mib > 0
        self.left = self.disk_mib if self.ahead else self.memory_mib
        self.began = self.memory_since = self.since
        rates = tuple(self.dirty_mib_s * share for share in self.shares)
        self.brake = Brake(course_of(self.policy, self.timing), rates)

    @property
    def dirty_now(self) -> float:
        """How fast the instance writes now, MiB/s."""
        still = self.switching or self.pulling or self.ahead
        return 0.0 if still else math.fsum(self.brake.writes)

    @property
    def fits(self) -> bool:
        """Whether what is left goes over while the instance stands still."""
        limit_s = self.timing.downtime_limit_s
        if not math.isnan(self.promise_s):
            least = _LEAST_SHARE * self.promise_s
            limit_s = max(self.promise_s - self.timing.switch_s, least)
        return self.left <= self.rate * limit_s

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

    def arrive(self, now: float) -> None:
        """Let the instance run on the target while the rest of its memory is fetched."""
        self.switching, self.pulling, self.since = False, True, now

    def turn(self, now: float) -> Turn:
        """End this stretch and begin the next one."""
        struck = self._until_struck() <= self.left
        self._settle(now)
        if struck:
            return Turn.STRUCK
        if self.ahead:
            self.ahead, self.left, self.sent, self.memory_since = False, self.memory_mib, 0.0, now
            return Turn.COPY
        self.left, self.written = self.written, 0.0
        post_copy = self.brake.course.way is Way.POST_COPY
        if self.fits or post_copy:
            self.switching = True
            self.fetches = post_copy and not self.fits
            last_s = 0.0 if self.fetches else self.left / self.rate
            self.downtime_s = self.timing.switch_s + last_s
            return Turn.SWITCH
        if self._is_hopeless(now):
            return Turn.STUCK
        self.brake.look(self.left, self.sent, self.rate)
        self.sent = 0.0
        self.rounds += 1
        return Turn.COPY

    def progress(self, now: float) -> Progress:
        """Return how far it is, without changing anything."""
        if self.switching:
            left_s = max(self.since + self.downtime_s - now, 0.0)
            left = self.left if self.fetches else self.left * left_s / self.downtime_s
            done = self.copied + self.left - left
            return self._progress("switching", done, left, left_s, now)
        flown = min(self.rate * (now - self.since), self.left)
        if self.ahead:
            left = self.left - flown + self.memory_mib
            done = self.copied + flown
            return self._progress("copying the disk", done, left, left / self.rate, now)
        ratio = self.dirty_now / self.rate
        left = (self.left - flown) / (1.0 - min(ratio, 0.9))
        phase = "fetching" if self.pulling else "copying"
        return self._progress(phase, self.copied + flown, left, left / self.rate, now)

    def end(self, now: float) -> Progress:
        """Return how far it is when all is done."""
        copied = self.copied + self.left
        flow = replace(self._flow(now), left_mib=0.0, downtime_s=self.downtime_s)
        return Progress(1.0, "done", 0.0, copied, copied, flow)

    def _progress(
        self, phase: str, done: float, left: float, left_s: float, now: float
    ) -> Progress:
        total = done + left
        fraction = done / total if total else 1.0
        return Progress(fraction, phase, left_s, done, total, self._flow(now))

    def _flow(self, now: float) -> Flow:
        """Return how it goes now, in the world's seconds."""
        flown = 0.0 if self.switching else min(self.rate * (now - self.since), self.left)
        still = self.switching or self.pulling
        return Flow(
            way=self.brake.way,
            seconds=max(now - self.began, 0.0),
            left_mib=self.left - flown,
            rate_mib_s=self.rate,
            pages_round=self.rounds,
            dirty_mib_s=tuple(0.0 for _ in self.shares) if still else self.brake.writes,
            limits_mib_s=() if still else self.brake.limits,
            throttle=0.0 if still else self.brake.throttle,
            why=self.brake.course.why,
        )

    def _is_hopeless(self, now: float) -> bool:
        """Return whether it is clear by now that it will not end."""
        if self.brake.course.way is Way.DIRTY_LIMIT:
            return now - self.memory_since > LONGEST_S
        grows = self.left >= self.sent and self.rounds >= _PATIENT_ROUNDS
        helped = self.brake.course.way is Way.AUTO_CONVERGE
        return self.rounds >= self.timing.most_rounds or (grows and not helped)

    def _until_struck(self) -> float:
        """MiB still to flow until the script strikes; infinite when it does not."""
        if math.isnan(self.fails_at):
            return math.inf
        whole = self.memory_mib + self.disk_mib
        return max(self.fails_at * whole - self.copied, 0.0)

    def _settle(self, now: float) -> None:
        passed = now - self.since
        flown = min(self.rate * passed, self.left)
        self.left -= flown
        self.copied += flown
        self.sent += flown
        self.written = min(self.memory_mib, self.written + self.dirty_now * passed)
        self.since = now
