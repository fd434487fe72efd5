# SPDX-License-Identifier: Apache-2.0
"""Whether and how a live migration will end, before it begins: time, bytes, standstill, slow-down.

Pre-copy goes in rounds: the first sends all memory, each next one what was written meanwhile, until
what is left fits into the downtime (Akoush et al., MASCOTS 2010). Here a vCPU writes at its own
rate and never more than its working set per round, and the two brakes that QEMU has act as they do
there (docs/devel/migration/dirty-limit.rst; `migration/ram.c` for auto-converge). The constants
were fitted to real migrations of QEMU 10 on this project's own lab; nothing here does I/O.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from billow.model.assessment import Assessment, Guest, Link, Way
from billow.plan.channel import changed_rate
from billow.plan.held import held
from billow.plan.shares import HOPELESS_FROM, LONGEST_S, SURE_BELOW
from billow.plan.steering import CHANGES_ROUND

SETUP_S = 0.35
"""Before the first byte flows, and after the last: connections, devices, the first sync."""
SWITCH_S = 0.02
"""Standstill for the devices' state, beside what is left of the memory."""
_MOST_ROUNDS = 1000
_FIRST_STEP, _STEP, _MOST_THROTTLE = 0.2, 0.1, 0.99
_CHECK_S, _HIGH, _HIGHS = 1.0, 0.5, 2


class Verdict(StrEnum):
    """Whether a move will end."""

    CONVERGES = "converges"
    WITH_LIMIT = "converges-with-limit"
    WILL_NOT = "will-not"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What one way of moving will come to.

    Attributes:
        ends: Whether it ends within `LONGEST_S`; else times are infinite or not a number.
        seconds: From the order to the end, the standstill counted.
        sent_mib: What flows; where it does not end, what flowed until that was clear.
        speeds: Work of each vCPU during the copy over its work without it, 0 to 1.
        limits_mib_s: What each vCPU may write at first; not a number where it is left alone.
        throttle: Share of time that auto-converge took from all vCPUs in the end.
    """

    way: Way
    ends: bool
    seconds: float
    downtime_s: float
    sent_mib: float
    rounds: int
    speeds: tuple[float, ...]
    limits_mib_s: tuple[float, ...]
    throttle: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether any vCPU is held to a limit."""
        return not all(map(math.isnan, self.limits_mib_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What to expect of a move.

    Attributes:
        sure: Whether the time is as good as the figures that it rests on; near the link's
            bandwidth the smallest error in them changes it much.
        chosen: What the verdict rests on: the way that hurts least and ends.
        others: The other ways.
    """

    verdict: Verdict
    sure: bool
    chosen: Prediction
    others: tuple[Prediction, ...]


def outlook(assessment: Assessment) -> Outlook:
    """Return whether a move will end: as the engine does it, else by the gentlest way there is."""
    guest, link = assessment.guest, assessment.link
    ways = [way for way in Way if way in assessment.ways or way is Way.PLAIN]
    found = {way: predict(guest, link, way) for way in ways}
    pressure = guest.dirty_mib_s / link.share_mib_s
    harmless = guest.working_mib <= link.share_mib_s * link.downtime_s
    plain = found[Way.PLAIN]
    steered = found.get(assessment.used) if assessment.used is Way.DIRTY_LIMIT else None
    if steered is not None and steered.ends:
        chosen = steered if steered.holds else plain if plain.ends else steered
    elif plain.ends and (harmless or pressure < HOPELESS_FROM):
        chosen = plain
    else:
        chosen = _ending(found, assessment.used)
    verdict = Verdict.WILL_NOT
    if chosen.ends:
        slows = chosen.holds or chosen.way is Way.AUTO_CONVERGE
        verdict = Verdict.WITH_LIMIT if slows else Verdict.CONVERGES
    sure = harmless or pressure < SURE_BELOW or chosen is not plain or not chosen.ends
    sure = sure and guest.writes_known
    others = tuple(each for each in found.values() if each is not chosen)
    return Outlook(verdict=verdict, sure=sure, chosen=chosen, others=others)


def _ending(found: Mapping[Way, Prediction], used: Way) -> Prediction:
    """Return what slows writers down and ends; post-copy only where the engine uses it."""
    if used is Way.POST_COPY and used in found:
        return found[used]  # it can lose the guest: nobody gets it who did not ask
    ending = [found[way] for way in _SLOWING if way in found and found[way].ends]
    return ending[0] if ending else found[Way.PLAIN]


def predict(guest: Guest, link: Link, way: Way) -> Prediction:
    """Return what moving a guest over a link comes to; at most a thousand rounds of its vCPUs.

    A disk that moves along goes first, and ends whatever is written to it.
    """
    found = _of_memory(guest, link, way)
    seconds = found.seconds + guest.disk_mib / link.share_mib_s
    return replace(found, seconds=seconds, sent_mib=found.sent_mib + guest.disk_mib)


def _of_memory(guest: Guest, link: Link, way: Way) -> Prediction:
    if way is Way.POST_COPY:
        return _fetched(guest, link)
    if way is Way.DIRTY_LIMIT:
        return _held(guest, link)
    copy, brake = _Copy(guest, link), _BRAKES[way](guest, link)
    while copy.goes_on:
        left, settled = copy.left_mib, brake.settled
        copy.send(brake.speeds(copy.next_s))
        brake.look(copy)
        if settled and copy.rounds > 1 and copy.left_mib >= left * (1 - 1e-9):
            break
    seconds = copy.seconds + copy.left_mib / link.share_mib_s
    ends = copy.fits and seconds <= LONGEST_S
    return Prediction(
        way=way,
        ends=ends,
        seconds=seconds + SETUP_S if ends else math.inf,
        downtime_s=SWITCH_S + copy.left_mib / link.share_mib_s if ends else math.nan,
        sent_mib=copy.sent_mib + (copy.left_mib if ends else 0.0),
        rounds=copy.rounds,
        speeds=copy.speeds,
        limits_mib_s=brake.limits,
        throttle=brake.throttle,
    )


def _fetched(guest: Guest, link: Link) -> Prediction:
    """Return what post-copy comes to: one round at full speed, then what was written meanwhile."""
    copy, everybody = _Copy(guest, link), (1.0,) * len(guest.writers)
    copy.send(everybody)
    return Prediction(
        way=Way.POST_COPY,
        ends=True,
        seconds=SETUP_S + copy.seconds + copy.next_s,
        downtime_s=SWITCH_S,
        sent_mib=copy.sent_mib + copy.left_mib,
        rounds=copy.rounds,
        speeds=everybody,
        limits_mib_s=(math.nan,) * len(everybody),
    )


def _held(guest: Guest, link: Link) -> Prediction:
    """Return what it comes to when the steering may hold writers, and what if it need not."""
    found, plain = held(guest, link), predict(guest, link, Way.PLAIN)
    if plain.ends and not found.limited:
        return replace(plain, way=Way.DIRTY_LIMIT)
    return Prediction(
        way=Way.DIRTY_LIMIT,
        ends=found.ends,
        seconds=SETUP_S + found.seconds if found.ends else math.inf,
        downtime_s=SWITCH_S + found.downtime_s,
        sent_mib=found.sent_mib,
        rounds=found.rounds,
        speeds=found.speeds,
        limits_mib_s=found.limits_mib_s,
    )


class _Copy:
    """Memory on its way, round by round."""

    def __init__(self, guest: Guest, link: Link) -> None:
        self._guest, self._link = guest, link
        self.left_mib = guest.memory_mib * (1.0 - guest.empty_share)
        self.seconds = self.sent_mib = 0.0
        self.last_s = self.last_mib = 0.0
        self.rounds = 0
        self._worked = [0.0] * len(guest.writers)
        self._again_mib_s = changed_rate(link.share_mib_s, guest.changes)

    @property
    def fits(self) -> bool:
        """Whether what is left goes over within the downtime."""
        return self.left_mib <= self._link.share_mib_s * self._link.downtime_s

    @property
    def goes_on(self) -> bool:
        """Whether there is another round; the first one always is."""
        if self.rounds == 0:
            return True
        return not self.fits and self.rounds < _MOST_ROUNDS and self.seconds <= LONGEST_S

    @property
    def next_s(self) -> float:
        """How long the next round takes; what was sent twice may go by its changes."""
        again = self.rounds + 1 >= CHANGES_ROUND
        return self.left_mib / (self._again_mib_s if again else self._link.share_mib_s)

    @property
    def speeds(self) -> tuple[float, ...]:
        """Work of each vCPU until now over its work without a move."""
        if self.seconds <= 0:
            return (1.0,) * len(self._worked)
        return tuple(min(1.0, worked / self.seconds) for worked in self._worked)

    def send(self, speeds: Sequence[float]) -> None:
        """Send what is left, while vCPUs write at a share of their speed."""
        passed_s, written = self.next_s, 0.0
        for each, (writer, speed) in enumerate(zip(self._guest.writers, speeds, strict=True)):
            written += min(writer.working_mib, writer.dirty_mib_s * speed * passed_s)
            self._worked[each] += speed * passed_s
        self.seconds += passed_s
        self.sent_mib += min(self.left_mib, self._link.share_mib_s * passed_s)
        self.last_s, self.last_mib = passed_s, self.left_mib
        self.left_mib = min(self._guest.memory_mib, written)
        self.rounds += 1


class _Brake(Protocol):
    """What slows vCPUs down."""

    limits: tuple[float, ...]
    throttle: float

    @property
    def settled(self) -> bool:
        """Whether nothing will change any more, however the rounds go."""

    def speeds(self, seconds: float) -> tuple[float, ...]:
        """Return the share of its speed that each vCPU has over a round of this length."""

    def look(self, copy: _Copy) -> None:
        """Look at a round that ended, and act."""


class _None:
    """Slows nobody down."""

    throttle = 0.0
    settled = True

    def __init__(self, guest: Guest, _: Link) -> None:
        self.limits = (math.nan,) * len(guest.writers)

    def speeds(self, _: float) -> tuple[float, ...]:
        """Return full speed for all."""
        return (1.0,) * len(self.limits)

    def look(self, _: _Copy) -> None:
        """Change nothing."""


class _AutoConverge:
    """Takes time from all vCPUs, in steps, while more than half of what was sent is written."""

    def __init__(self, guest: Guest, _: Link) -> None:
        self._busy = tuple(writer.busy for writer in guest.writers)
        self.limits = (math.nan,) * len(self._busy)
        self.throttle = 0.0
        self._highs = 0
        self._passed_s = self._written = self._sent = 0.0

    @property
    def settled(self) -> bool:
        """Whether no step is left."""
        return self.throttle >= _MOST_THROTTLE

    def speeds(self, _: float) -> tuple[float, ...]:
        """Return what the throttle leaves; it takes idle time first."""
        left = 1.0 - self.throttle
        return tuple(min(1.0, left / busy) if busy > 0 else 1.0 for busy in self._busy)

    def look(self, copy: _Copy) -> None:
        """Take a step after each second look, a second apart at least, that sees too much."""
        self._passed_s += copy.last_s
        self._sent += copy.last_mib
        self._written += copy.left_mib
        if self._passed_s >= _CHECK_S:
            self._highs += self._written > _HIGH * self._sent
            self._passed_s = min(self._passed_s - _CHECK_S, _CHECK_S)
            self._written = self._sent = 0.0
        if self._highs >= _HIGHS:
            self._highs = 0
            step = _STEP if self.throttle else _FIRST_STEP
            self.throttle = min(self.throttle + step, _MOST_THROTTLE)


_BRAKES: Mapping[Way, Callable[[Guest, Link], _Brake]] = {
    Way.PLAIN: _None,
    Way.AUTO_CONVERGE: _AutoConverge,
}
_SLOWING = (Way.DIRTY_LIMIT, Way.AUTO_CONVERGE)
