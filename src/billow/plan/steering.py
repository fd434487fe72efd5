# SPDX-License-Identifier: Apache-2.0
"""Steer a live migration while it runs: what to set, seen what was seen. No I/O, no clock.

An engine tells what it sees a few times a second (`Seen`) and does what it is told (`Turn`). The
rule: nobody is slowed down who does not write, nobody at all before it is seen to be needed, and
those who write too fast just enough that what is left shrinks to what the promised downtime can
carry. Vocabulary and traps are QEMU's (docs/devel/migration/dirty-limit.rst): a limited vCPU sleeps
when its dirty ring is full, so a limit decides how long one sleep is; limits are followed within a
tolerance and adjusted once a second.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from billow.model.assessment import Way
from billow.model.kinds import MigrationPolicy
from billow.plan.shares import SETTLES_ABOVE_MIB_S, SURE_BELOW, TOLERANCE_MIB_S, limits

RESERVE_S: Final = 0.03
"""Kept of a promised downtime for what QEMU does not count: devices, and waking the guest."""
USED: Final = 0.75
"""Share of what is left of a promise that memory may take; the rest is for the unforeseen."""
LEAD_S: Final = 0.5
"""A limit works so long after it was set, on average: it is set that much before a round ends."""
WORKS_S: Final = 1.0
"""QEMU acts once a second: by then every limit works."""
JUDGED_S: Final = 2.0
"""Whether limits bring anything is judged after so long."""
NEAR: Final = 2.0
"""What is left over what goes over in time: below this the last rounds shrink less and less."""
SHRINKS: Final = 0.9
"""Left over left before: more than this is no progress."""
CHANGED: Final = 0.25
"""Part by which the bandwidth must change before limits are set anew."""
LEAST_MIB_S: Final = 1.0
OWN_SHARE: Final = 0.5
"""Of the bandwidth, for each vCPU, where QEMU limits by itself: the best of a measured range."""
CLOSED_S: Final = 0.001
"""A window through which nothing fits."""
COUNTED_S: Final = 1.0
"""So long a new round may look empty because it is not counted yet."""
LEAST_ROUND_S: Final = 0.2
"""A shorter round says little of how fast a guest writes."""
MOST_TIGHT: Final = 1 / 8
"""Limits are tightened so far: a vCPU that sleeps longer is felt, and helps no more."""
OPEN_S: Final = 0.25
"""A window that was not used for so long is closed until another round has been sent."""
PACED_S: Final = 0.6
"""So long a round must go on before it is judged how quickly changes get across."""
CHANGES_ROUND: Final = 3
"""From this round on, only what changed is sent of a page: until then it is kept."""
_SECOND_ROUND: Final = 2
_PATIENT_ROUNDS: Final = 4
_NEARLY_THERE_ROUNDS: Final = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What both ends of a move can do.

    Attributes:
        limits: Hold a single vCPU to a dirty rate, at any time (KVM's dirty ring).
        own_limit: QEMU's capability of doing so by itself, decided beforehand.
        auto_converge: Slow all vCPUs down.
        post_copy: Run on the target before all memory is there.
        deltas: Of a page that was sent before, send only what changed.
    """

    limits: bool = False
    own_limit: bool = False
    auto_converge: bool = True
    post_copy: bool = False
    deltas: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The way that was chosen.

    Attributes:
        own: Whether QEMU sets limits by itself.
        early: Whether limits are set as soon as it is known how the guest writes; else a whole
            second round shows first whether the third one would be shorter.
        deltas: Whether of a page that was sent before only what changed is sent, from the third
            round on: the second one sends all of it once more. Then nobody is held before it is
            seen that this is not enough, however the policy is called.
        why: Why it is not what the policy asks for; empty when it is.
    """

    way: Way
    own: bool = False
    early: bool = False
    deltas: bool = False
    why: str = ""

    @property
    def watched(self) -> bool:
        """Whether it must be known what each vCPU writes."""
        return self.way is Way.DIRTY_LIMIT and not self.own


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is seen of a move at one moment.

    Attributes:
        seconds: Since memory began to flow.
        rounds: The round of the copy, from 1.
        left_mib: What is left of this round; at a round's begin, what was written in the last.
        carried_mib_s: What the link carries; NaN while that is not known.
        rates: What each vCPU writes now, MiB/s; empty while that is not known.
        throttle: Share of their time that is taken from all vCPUs.
    """

    seconds: float
    rounds: int
    left_mib: float
    carried_mib_s: float = math.nan
    rates: tuple[float, ...] = ()
    throttle: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What to do now.

    Attributes:
        limits: Limits for each vCPU, MiB/s, NaN for none; empty leaves all as they are. A single
            one is for all, where QEMU sets it by itself.
        together: Whether all vCPUs may be slowed down: none of them can be held alone.
        switch: Whether to go over to post-copy.
        window_s: How long the last memory may take from now on, seconds; NaN leaves it as it is.
        hopeless: Why the move will not end; empty while it may.
    """

    limits: tuple[float, ...] = ()
    together: bool = False
    switch: bool = False
    window_s: float = math.nan
    hopeless: str = ""


STAY: Final = Turn()


def choose(policy: MigrationPolicy, can: Abilities) -> Course:
    """Return how to move an instance by its policy and what both ends can do."""
    match policy:
        case MigrationPolicy.NO_THROTTLE:
            return Course(way=Way.PLAIN)
        case MigrationPolicy.POST_COPY if can.post_copy:
            return Course(way=Way.POST_COPY)
        case MigrationPolicy.AUTO_CONVERGE if can.auto_converge:
            return Course(way=Way.AUTO_CONVERGE)
        case MigrationPolicy.BALANCED | MigrationPolicy.SHORTEST:
            return _by_limit(can, "", early=policy is MigrationPolicy.SHORTEST)
        case _:
            return _by_limit(can, f"{policy} is not possible here", early=False)


def _by_limit(can: Abilities, why: str, *, early: bool) -> Course:
    """Return how to slow down only those who write, or who else where that is not possible."""
    if can.limits or can.own_limit:
        return Course(way=Way.DIRTY_LIMIT, own=not can.limits, early=early, why=why)
    why = why or "no vCPU can be held to a dirty rate here"
    if can.auto_converge:
        return Course(way=Way.AUTO_CONVERGE, why=why)
    return Course(way=Way.PLAIN, why=f"{why}, and all together cannot be slowed down either")


def allowed_s(promise_s: float) -> float:
    """Return how long the last memory may take so that a promised downtime is kept."""
    return max(USED * (promise_s - RESERVE_S), promise_s / 8)


@dataclass(slots=True)
class Steering:
    """One move on its way. `look` must be called in the order of time."""

    course: Course
    promise_s: float
    _free: tuple[float, ...] = ()
    _set: tuple[float, ...] = ()
    _for_mib_s: float = math.nan
    _tightened: float = 1.0
    _together: bool = False
    _lefts: dict[int, tuple[float, float]] = field(default_factory=dict)
    _looked: float = 0.0
    _round: int = 0
    _between: float = math.nan
    _began: float = 0.0
    _opened: float = math.nan
    _written: float = 0.0
    _rest: tuple[float, float] = (0.0, 0.0)

    @property
    def limits(self) -> tuple[float, ...]:
        """The limits that are set now; empty for none."""
        return self._set

    def look(self, seen: Seen) -> Turn:
        """Return what to do."""
        if self._is_between(seen):
            return STAY
        self._note(seen)
        match self.course.way:
            case Way.POST_COPY:
                return Turn(switch=seen.rounds >= _SECOND_ROUND)
            case Way.PLAIN:
                return self._judge(seen)
            case Way.DIRTY_LIMIT:
                return self._own(seen) if self.course.own else self._hold(seen)
            case _:
                return STAY

    def _is_between(self, seen: Seen) -> bool:
        """Return whether a round has begun, and what is left of it is not counted yet.

        QEMU waits for vCPUs that sleep before it counts.
        """
        if seen.rounds == self._round or seen.left_mib:
            self._between = math.nan
            return False
        if math.isnan(self._between):
            self._between = seen.seconds
        return seen.seconds - self._between < COUNTED_S

    def _note(self, seen: Seen) -> None:
        """Keep what was seen: where a round began, and the most that anybody wrote unhindered.

        The dirty ring counts a page once until it is looked at, so what a round left behind may be
        more than what the ring counted.
        """
        if not self._set:
            known = self._free or seen.rates
            self._free = tuple(map(max, known, seen.rates)) if seen.rates else known
        rest, self._rest = self._rest, (seen.seconds, seen.left_mib)
        if seen.rounds <= self._round:
            return
        if self._round and seen.rounds == self._round + 1 and not self._set:
            fresh = max(0.0, seen.left_mib - self._unsent(seen, *rest))
            written = fresh / max(seen.seconds - self._began, LEAST_ROUND_S)
            self._written = max(self._written, written)
        self._round, self._began = seen.rounds, seen.seconds
        self._lefts[seen.rounds] = (seen.seconds, seen.left_mib)

    def _unsent(self, seen: Seen, at: float, left_mib: float) -> float:
        """Return what of a round's memory goes into the next one.

        QEMU begins a round as soon as what is left of the last would go over within the downtime.
        """
        carried = 0.0 if math.isnan(seen.carried_mib_s) else seen.carried_mib_s
        return max(0.0, left_mib - carried * (seen.seconds - at))

    @property
    def _wanted(self) -> tuple[float, ...]:
        """What each vCPU writes when nobody holds it, MiB/s."""
        counted = math.fsum(self._free)
        more = max(1.0, self._written / counted) if counted else 1.0
        return tuple(rate * more for rate in self._free)

    def _judge(self, seen: Seen) -> Turn:
        """Say when a move that nobody helps will not end."""
        if seen.rounds < self._patience(seen) or not self._stands():
            return STAY
        return Turn(
            hopeless=f"it writes {self._written:.0f} MiB/s, the link carries "
            f"{seen.carried_mib_s:.0f} MiB/s, and its policy lets nobody slow it down"
        )

    def _patience(self, seen: Seen) -> int:
        """Return how many rounds are waited for; the last ones shrink less and less."""
        near = seen.left_mib <= NEAR * seen.carried_mib_s * allowed_s(self.promise_s)
        return _NEARLY_THERE_ROUNDS if near else _PATIENT_ROUNDS

    def _own(self, seen: Seen) -> Turn:
        """Tell QEMU the limit that it shall set by itself, as soon as the link is known."""
        if self._set or not seen.carried_mib_s > 0:
            return STAY
        self._set = (max(LEAST_MIB_S, OWN_SHARE * seen.carried_mib_s),)
        return Turn(limits=self._set)

    def _hold(self, seen: Seen) -> Turn:
        """Set limits when they are needed, and tighten them while they do not help."""
        if not self._free or not seen.carried_mib_s > 0:
            return STAY
        if not self._set:
            needed = not self._together and self._needed(seen)
            turn = self._limit(seen) if needed else STAY
            if turn.limits:
                return replace(turn, window_s=CLOSED_S)
            return turn if turn.together else self._let_go(seen)
        if abs(seen.carried_mib_s / self._for_mib_s - 1.0) > CHANGED and self._is_time(seen):
            return self._limit(seen)
        if self._is_time(seen) and self._stands():
            self._tightened = max(MOST_TIGHT, self._tightened / 2)
            return self._limit(seen)
        return self._window(seen)

    def _window(self, seen: Seen) -> Turn:
        """Let the guest switch when what is left, seen or not yet, goes over in time.

        QEMU would look for that moment by itself, and each look empties the dirty rings: a vCPU
        whose ring is never full never sleeps, and writes as if it had no limit. So QEMU is not
        allowed to look before it is expected to succeed.
        """
        if not math.isnan(self._opened):
            if seen.seconds - self._opened < OPEN_S:
                return STAY
            self._opened = math.nan
            return Turn(window_s=CLOSED_S)
        held = (
            min(rate, limit + SETTLES_ABOVE_MIB_S) if not math.isnan(limit) else rate
            for rate, limit in zip(self._wanted, self._set, strict=True)
        )
        unseen = (1.0 - seen.throttle) * math.fsum(held) * (seen.seconds - self._began)
        allowed = allowed_s(self.promise_s)
        if seen.left_mib + unseen > seen.carried_mib_s * allowed:
            return STAY
        self._opened = seen.seconds
        return Turn(window_s=allowed / USED)

    def _needed(self, seen: Seen) -> bool:
        """Return whether what is left would not shrink by itself to what the promise carries."""
        if self.course.deltas:
            return self._is_behind(seen)
        if math.fsum(self._wanted) < SURE_BELOW * seen.carried_mib_s:
            return seen.rounds >= self._patience(seen) and self._stands()
        fits = seen.carried_mib_s * allowed_s(self.promise_s)
        if self.course.early:
            return seen.left_mib > fits
        if seen.rounds < _SECOND_ROUND or self._lefts[seen.rounds][1] <= fits:
            return False
        return seen.rounds > _SECOND_ROUND or seen.left_mib <= seen.carried_mib_s * LEAD_S

    def _is_behind(self, seen: Seen) -> bool:
        """Return whether changes get across more slowly than the guest writes.

        Rounds of changes are short: it is time that counts, not how many there were.
        """
        if seen.rounds < CHANGES_ROUND:
            return False
        first = min(each for each in self._lefts if each >= CHANGES_ROUND)
        long = seen.seconds - self._lefts[first][0] >= PACED_S
        if long and self._stands():
            return True
        began, left = self._lefts[seen.rounds]
        passed = seen.seconds - began
        return passed >= PACED_S and left - seen.left_mib < math.fsum(self._wanted) * passed

    def _let_go(self, seen: Seen) -> Turn:
        """Let QEMU switch when what was written goes over in time, even as whole pages.

        It reckons with the bytes that flow, and when only changes are sent these are few.
        """
        fits = seen.carried_mib_s * allowed_s(self.promise_s)
        late = not self.course.deltas or seen.rounds < CHANGES_ROUND
        if late or not math.isnan(self._opened) or self._lefts[seen.rounds][1] > fits:
            return STAY
        self._opened = seen.seconds
        return Turn(window_s=allowed_s(self.promise_s) / USED)

    def _limit(self, seen: Seen) -> Turn:
        """Share the bandwidth among those who write."""
        self._for_mib_s, self._looked = seen.carried_mib_s, seen.seconds
        budget = min(seen.carried_mib_s, math.fsum(self._wanted)) * self._tightened
        found = tuple(
            limit if rate > TOLERANCE_MIB_S else math.nan  # QEMU would leave it alone
            for rate, limit in zip(self._wanted, limits(self._wanted, budget), strict=True)
        )
        if all(map(math.isnan, found)):
            self._together = not self._set
            return Turn(together=self._together)
        if found == self._set:
            return STAY
        self._set = found
        return Turn(limits=found)

    def _is_time(self, seen: Seen) -> bool:
        return seen.seconds - self._looked >= JUDGED_S

    def _stands(self) -> bool:
        """Return whether the last two rounds left no less than the one before them.

        Once limits are set, only rounds count that began when they could be at work; where changes
        are sent, only rounds of changes.
        """
        since = self._looked + WORKS_S if self._set else 0.0
        first = CHANGES_ROUND if self.course.deltas else 1
        numbers = sorted(each for each in self._lefts if each >= first)
        rounds = (self._lefts[each] for each in numbers[-3:])
        last = [left for began, left in rounds if began >= since]
        return len(last) == 3 and min(last[1:]) > SHRINKS * last[0]


def held(limits_mib_s: Sequence[float]) -> dict[int, float]:
    """Return the limits of those vCPUs that have one, by their number."""
    return {each: limit for each, limit in enumerate(limits_mib_s) if not math.isnan(limit)}
