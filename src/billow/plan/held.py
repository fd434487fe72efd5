# SPDX-License-Identifier: Apache-2.0
"""Foretell a move whose writers may be held: the real steering steers a model of QEMU's copy.

What the steering will do is not written a second time here, so a forecast cannot drift from it. The
model is a fluid: a round sends what is left while vCPUs write at a constant rate, each no more than
its working set. It knows what QEMU does late: rates are told a second after the start, the link is
known a little earlier, a limit works after a while and not at all near a vCPU's own rate.
"""

import math
from dataclasses import dataclass, field
from typing import Final

from billow.model.assessment import Guest, Link, Way
from billow.plan.channel import DELTAS_PAY, changed_rate
from billow.plan.shares import LONGEST_S, SETTLES_ABOVE_MIB_S, TOLERANCE_MIB_S
from billow.plan.steering import CHANGES_ROUND, Course, Seen, Steering, Turn, allowed_s

KNOWN_S: Final = 1.0
"""So long after the start it is known what each vCPU writes."""
LINK_KNOWN_S: Final = 0.6
"""So long after the start it is known what the link carries."""
LAG_S: Final = 0.5
"""What a limit takes until it works, on average: QEMU acts once a second."""
SETTLES_SHARE: Final = 0.2
"""Part of a limit by which a vCPU comes to rest above it, `SETTLES_ABOVE_MIB_S` at most."""
PIECE_S: Final = 0.05
"""QEMU sends for so long before it looks whether what is left goes over within the window."""
MOST_ROUNDS: Final = 100
_STEP_S: Final = 0.1
_PART: Final = 4
"""A look at every so manieth part of what is left of a round, and not more often than a step."""
_LEAST_MIB: Final = 1e-9


@dataclass(slots=True)
class Held:
    """A copy on its way; `go` takes it to its end.

    Attributes:
        limits_mib_s: The first limits that were set; NaN for a vCPU without one.
    """

    guest: Guest
    link: Link
    course: Course
    left_mib: float = 0.0
    seconds: float = 0.0
    sent_mib: float = 0.0
    downtime_s: float = math.nan
    rounds: int = 1
    limits_mib_s: tuple[float, ...] = ()
    _never_sent: float = 0.0
    _window_s: float = 0.0
    _limits: tuple[float, ...] = ()
    _next: tuple[float, ...] = ()
    _works_at: float = math.inf
    _written: list[float] = field(default_factory=list)
    _worked: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        count = len(self.guest.writers)
        self.left_mib = self.guest.memory_mib * (1.0 - self.guest.empty_share)
        self._never_sent = self.left_mib
        self._window_s = allowed_s(self.link.downtime_s)
        self._limits = self.limits_mib_s = (math.nan,) * count
        self._written, self._worked = [0.0] * count, [0.0] * count

    @property
    def ends(self) -> bool:
        """Whether it came to its end."""
        return not math.isnan(self.downtime_s)

    @property
    def limited(self) -> bool:
        """Whether anybody was ever held."""
        return not all(map(math.isnan, self.limits_mib_s))

    @property
    def speeds(self) -> tuple[float, ...]:
        """Work of each vCPU until it stands still over its work without a move."""
        copied_s = self.seconds - (self.downtime_s if self.ends else 0.0)
        if copied_s <= 0:
            return (1.0,) * len(self._worked)
        return tuple(min(1.0, worked / copied_s) for worked in self._worked)

    def go(self) -> None:
        """Steer it until it ends, or until it is clear that it will not."""
        steering = Steering(self.course, self.link.downtime_s)
        while self.rounds <= MOST_ROUNDS and self.seconds <= LONGEST_S:
            turn = steering.look(self._seen())
            if turn.hopeless:
                return
            self._obey(turn)
            self._flow()
            if self._looks() and self._fits():
                return

    def _seen(self) -> Seen:
        known, link = self.seconds >= KNOWN_S, self.seconds >= LINK_KNOWN_S
        return Seen(
            seconds=self.seconds,
            rounds=self.rounds,
            left_mib=self.left_mib,
            carried_mib_s=self.link.share_mib_s if link else math.nan,
            rates=self._rates() if known else (),
        )

    def _obey(self, turn: Turn) -> None:
        if not math.isnan(turn.window_s):
            self._window_s = turn.window_s
        if turn.limits:
            if not self.limited:
                self.limits_mib_s = turn.limits
            self._next = turn.limits
            self._works_at = min(self._works_at, self.seconds + LAG_S)

    @property
    def _sends(self) -> float:
        """What is sent of a page: of one that was sent twice it may be what changed in it."""
        return self.guest.changes if self.rounds >= CHANGES_ROUND else 1.0

    def _flow(self) -> None:
        """Send for a step, while vCPUs write."""
        sends, link = self._sends, self.link.share_mib_s
        carried = changed_rate(link, sends)
        until = self.left_mib / carried - self._window_s * (link / carried) + PIECE_S / 2
        until = min(max(until, PIECE_S / 2), self.left_mib / carried)
        step_s = min(until, max(_STEP_S, until / _PART))
        if self._works_at > self.seconds:
            step_s = min(step_s, self._works_at - self.seconds)
        for each, (writer, rate) in enumerate(zip(self.guest.writers, self._rates(), strict=True)):
            most = self._written[each] + rate * step_s
            self._written[each] = min(writer.working_mib, most)
            self._worked[each] += step_s * (rate / writer.dirty_mib_s if rate else 1.0)
        self.left_mib = max(0.0, self.left_mib - carried * step_s)
        self._never_sent = max(0.0, self._never_sent - carried * step_s)
        self.sent_mib += min(link, carried * sends) * step_s
        self.seconds += step_s
        if self.seconds >= self._works_at:
            self._limits, self._works_at = self._next, math.inf

    def _looks(self) -> bool:
        """Let QEMU look at what was written, when little enough is left; return whether it did.

        What is left of a round is sent in the next. But for what was never sent, it is memory that
        is written again and again, and counts once.
        """
        if self.left_mib > self.link.share_mib_s * self._window_s + _LEAST_MIB:
            return False
        written = self.left_mib + math.fsum(self._written)
        self.left_mib = min(self._never_sent + self.guest.working_mib, written)
        self._written = [0.0] * len(self._written)
        self.rounds += 1
        return True

    def _fits(self) -> bool:
        """Hand over, if what is left goes over within the window; return whether it did."""
        last_s = self.left_mib / self.link.share_mib_s
        if last_s > self._window_s:
            return False
        self.seconds += last_s
        self.sent_mib += self.left_mib
        self.downtime_s = last_s
        return True

    def _rates(self) -> tuple[float, ...]:
        """Return what each vCPU writes now."""
        pairs = zip(self.guest.writers, self._limits, strict=True)
        return tuple(_held(writer.dirty_mib_s, limit) for writer, limit in pairs)


def _held(rate: float, limit: float) -> float:
    """Return what a vCPU writes under a limit; within its tolerance QEMU leaves it alone."""
    if math.isnan(limit) or rate <= limit + TOLERANCE_MIB_S:
        return rate
    return min(rate, limit + min(SETTLES_SHARE * limit, SETTLES_ABOVE_MIB_S))


def held(guest: Guest, link: Link, *, early: bool = False) -> Held:
    """Return what moving a guest comes to when its writers may be held."""
    deltas = guest.changes <= DELTAS_PAY
    found = Held(guest, link, Course(way=Way.DIRTY_LIMIT, early=early, deltas=deltas))
    found.go()
    return found
