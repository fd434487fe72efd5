# SPDX-License-Identifier: Apache-2.0
"""The lease: until when the watchdog may be fed. Arithmetic only: no I/O, no clock.

The promise: nothing runs here later than `lease_s` after the SEND of the last beat that a
controller acknowledged. The watchdog acts `device_s` after its last food, so it may be fed until
`lease_s - device_s` after that send, and not from the acknowledgement's arrival: what was on its
way would count twice.

There is one exception, so that losing every controller ends nothing: while a majority of the peers
that a controller named says that it is unserved, too. Without peers there is none: who is alone
cannot know whether it is the one that was lost.
"""

from dataclasses import dataclass
from typing import Final

EXCUSED_S: Final = 1.0
"""For so long the peers' word counts: an agent that hangs after it loses it again."""
UNSERVED_PART: Final = 0.25
"""After this part of the lease without an acknowledgement the peers are asked."""


LEAST_BEATS: Final = 15


@dataclass(frozen=True, slots=True)
class Lease:
    """What was promised.

    Attributes:
        lease_s: The promise; 0 for none.
        device_s: How long the watchdog waits for food before it acts.
        peers: How many peers a controller named.
    """

    lease_s: float = 0.0
    device_s: float = 0.0
    peers: int = 0

    def feed_until(self, acked_at: float, excused_at: float) -> float:
        """Return the instant from which on the watchdog gets no food; 0 when none binds.

        Args:
            acked_at: When the last beat was sent that was acknowledged.
            excused_at: When a majority of the peers last said to be unserved as well.
        """
        if not self.lease_s:
            return 0.0
        excused = excused_at + EXCUSED_S if excused_at else 0.0
        return max(acked_at + self.lease_s - self.device_s, excused)

    def asks(self, now: float, acked_at: float) -> bool:
        """Tell whether it is time to ask the peers."""
        return bool(self.peers) and now - acked_at > self.lease_s * UNSERVED_PART

    def excuses(self, unserved: int) -> bool:
        """Tell whether so many peers that say to be unserved are a majority of all of them."""
        return bool(self.peers) and 2 * unserved > self.peers


def possible_s(wanted_s: float, device_s: float, beat_s: float) -> float:
    """Return the lease that can be promised; 0 when the watchdog leaves too little of it.

    So many beats must fit into what is left, or a few that are late end every instance: a
    controller answers every fifth only.
    """
    return wanted_s if device_s and wanted_s >= device_s + LEAST_BEATS * beat_s else 0.0
