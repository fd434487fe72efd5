# SPDX-License-Identifier: Apache-2.0
"""What a simulated world is besides its pool: its timing, its faults, its load, its pace."""

import math
from dataclasses import dataclass, field

from billow.engines.sim.arrivals import Arrival
from billow.engines.sim.script import Script
from billow.engines.sim.timing import Timing
from billow.engines.sim.usage import Usage
from billow.errors import Invalid


@dataclass(frozen=True)
class Setting:
    """The laws of a world.

    Attributes:
        usage: What instances really use; None when the pool's own figures stay.
        arrivals: Requests that come by themselves, and go.
        speed: How many of the world's seconds pass in one of the clock's.
    """

    timing: Timing = field(default_factory=Timing)
    script: Script = field(default_factory=Script)
    usage: Usage | None = None
    arrivals: tuple[Arrival, ...] = ()
    speed: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.speed < math.inf:
            raise Invalid(
                f"speed must be a number above 0, not {self.speed!r}", fix="1 is real time"
            )
