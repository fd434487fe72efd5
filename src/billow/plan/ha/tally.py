# SPDX-License-Identifier: Apache-2.0
"""What is being ended in one zone: counted as it changes, as every host of the zone asks for it."""

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field

from billow.model.ha.incident import Fate, Incident, Phase


@dataclass(frozen=True, slots=True)
class Mark:
    """What of one incident is counted.

    Attributes:
        busy: Whether proof is sought now.
        begun_at: When the search for it began; 0 when it did not, or cannot.
        sung: Whether nothing is waited for any more as the first evacuation after a storm: it has
            begun to come back, or took too long.
    """

    busy: bool
    begun_at: float
    sung: bool

    @staticmethod
    def of(incident: Incident, now: float, canary_s: float) -> "Mark":
        """Return what counts of an incident now."""
        busy = incident.phase is Phase.FENCING and not incident.held
        since = begun_at(incident, now)
        begun = incident.phase in {Phase.FENCING, Phase.RECOVERING}
        back = any(each.fate is Fate.STARTED for each in incident.victims)
        sings = begun and not back and now - since < canary_s
        return Mark(busy, since, not sings)


@dataclass(slots=True)
class Tally:
    """What is being ended in one zone.

    Attributes:
        busy: Hosts for which proof is sought.
        begun: When each search for proof of late began, in order.
        sung: The same of those alone that are no canary any more.
    """

    busy: int = 0
    begun: list[float] = field(default_factory=list)
    sung: list[float] = field(default_factory=list)

    def take(self, mark: Mark) -> None:
        """Count an incident from now on."""
        self.busy += mark.busy
        for times in self._places(mark):
            insort(times, mark.begun_at)

    def drop(self, mark: Mark) -> None:
        """Count an incident no more that was taken with the same mark."""
        self.busy -= mark.busy
        for times in self._places(mark):
            del times[bisect_left(times, mark.begun_at)]

    def since(self, at: float) -> int:
        """Return how many searches for proof began later than an instant."""
        return len(self.begun) - bisect_right(self.begun, at)

    def sings_alone(self, after: float) -> bool:
        """Whether all that was begun after an instant is still waited for, and anything was."""
        first = bool(self.begun) and self.begun[-1] > after
        return first and not (self.sung and self.sung[-1] > after)

    def _places(self, mark: Mark) -> tuple[list[float], ...]:
        if not mark.begun_at:
            return ()
        return (self.begun, self.sung) if mark.sung else (self.begun,)


def begun_at(incident: Incident, now: float) -> float:
    """Return when the search for a proof of death began; 0 when it did not, or cannot."""
    if incident.attempts:
        return incident.attempts[0].began_at
    if incident.proof is not None:
        return incident.proof.at
    begins = incident.phase is Phase.FENCING and not incident.held
    return now if begins else 0.0
