# SPDX-License-Identifier: Apache-2.0
"""What slows the vCPUs of a simulated instance down while it moves, by the way that was chosen.

The same shape as `plan.convergence` foretells: dirty-limit holds only those who write too fast
(water-filling of the link), after the second round or already after the first, and is halved while
three rounds bring too little; auto-converge takes time from all vCPUs in steps, as QEMU does. It
knows no time.
"""

import math
from dataclasses import dataclass, field

from billow.engines.sim.timing import Timing
from billow.model.assessment import Way
from billow.model.instance import Instance
from billow.model.kinds import MigrationPolicy
from billow.plan.held import SETTLES_SHARE
from billow.plan.shares import SETTLES_ABOVE_MIB_S, SURE_BELOW, TOLERANCE_MIB_S, limits
from billow.plan.steering import CHANGED, Abilities, Course, choose

_SHRINKS, _TIGHTEN_EVERY = 0.9, 3
_PATIENT_ROUNDS = 2
"""A balanced move may show in a whole round that it would not end by itself."""
_SLOW_ROUNDS = 2
_FIRST_THROTTLE, _MORE_THROTTLE, _MOST_THROTTLE = 0.2, 0.1, 0.99
_MOST_VCPUS = 64


def course_of(policy: MigrationPolicy, timing: Timing) -> Course:
    """Return how simulated hosts move an instance with a policy."""
    held = timing.throttle and timing.ring
    can = Abilities(limits=held, auto_converge=timing.throttle, post_copy=timing.post_copy)
    return choose(policy, can)


def writers(instance: Instance) -> tuple[float, ...]:
    """Return the part of an instance's writing that each of its vCPUs does; together 1.

    Each writes half as much as the one before it: the simulator's own law, so that there are
    heavy and light writers.
    """
    count = min(max(math.ceil(instance.shape.cpu_milli / 1000), 1), _MOST_VCPUS)
    whole = 2.0 - 2.0 ** (1 - count)
    return tuple(2.0**-each / whole for each in range(count))


@dataclass(slots=True)
class Brake:
    """What each vCPU of one migration may do now.

    Attributes:
        rates: What each vCPU writes while nobody slows it down, MiB/s.
        limits: What each may write, NaN for any amount; empty while nobody is limited.
        throttle: Share of time that is taken from all of them.
    """

    course: Course
    rates: tuple[float, ...]
    limits: tuple[float, ...] = ()
    throttle: float = 0.0
    _tightened: float = field(default=1.0, repr=False)
    _best: float = field(default=math.inf, repr=False)
    _rounds: int = field(default=0, repr=False)
    _slow: int = field(default=0, repr=False)
    _seen: int = field(default=0, repr=False)
    _for_mib_s: float = field(default=math.inf, repr=False)

    @property
    def way(self) -> Way:
        """How it gets across, as far as that was needed."""
        if self.course.way is Way.DIRTY_LIMIT and not self.limits:
            return Way.PLAIN
        if self.course.way is Way.AUTO_CONVERGE and not self.throttle:
            return Way.PLAIN
        return self.course.way

    @property
    def writes(self) -> tuple[float, ...]:
        """What each vCPU writes now, MiB/s. A limited one comes to rest a little above."""
        free = 1.0 - self.throttle
        held = self.limits or (math.nan,) * len(self.rates)
        return tuple(
            free * _held(rate, limit) for rate, limit in zip(self.rates, held, strict=True)
        )

    def look(self, left: float, sent: float, carried_mib_s: float) -> None:
        """Look at a round that ended, and act.

        Args:
            left: What was written meanwhile, MiB.
            sent: What went over in it, MiB.
            carried_mib_s: What the link carries for this move now.
        """
        if self.course.way is Way.DIRTY_LIMIT:
            self._hold(left, carried_mib_s)
        elif self.course.way is Way.AUTO_CONVERGE:
            self._slow += left > sent / 2
            if self._slow >= _SLOW_ROUNDS:
                more = _MORE_THROTTLE if self.throttle else _FIRST_THROTTLE
                self.throttle, self._slow = min(self.throttle + more, _MOST_THROTTLE), 0

    def _hold(self, left: float, carried_mib_s: float) -> None:
        if not self.limits:
            self._seen += 1
            seen = self._seen >= (1 if self.course.early else _PATIENT_ROUNDS)
            if seen and math.fsum(self.rates) >= SURE_BELOW * carried_mib_s:
                self._best = left
                self._limit(carried_mib_s)
            return
        if abs(carried_mib_s / self._for_mib_s - 1.0) > CHANGED:
            self._limit(carried_mib_s)
        self._rounds += 1
        if self._rounds % _TIGHTEN_EVERY == 0:
            if left > _SHRINKS * self._best:
                self._tightened /= 2
                self._limit(carried_mib_s)
            self._best = min(self._best, left)

    def _limit(self, carried_mib_s: float) -> None:
        found = tuple(
            limit if rate > TOLERANCE_MIB_S else math.nan
            for rate, limit in zip(self.rates, limits(self.rates, carried_mib_s), strict=True)
        )
        if not all(map(math.isnan, found)):
            self._for_mib_s = carried_mib_s
            self.limits = tuple(
                each if math.isnan(each) else max(1.0, each * self._tightened) for each in found
            )


def _held(rate: float, limit: float) -> float:
    """Return what a vCPU writes under a limit; one near it is left alone, as QEMU does."""
    if math.isnan(limit) or rate <= limit + TOLERANCE_MIB_S:
        return rate
    return min(rate, limit + min(SETTLES_SHARE * limit, SETTLES_ABOVE_MIB_S))
