# SPDX-License-Identifier: Apache-2.0
"""One action in the simulated world: what it takes, how far it is, and what became of it."""

import math
from dataclasses import dataclass

from billow.engines.sim.precopy import Precopy
from billow.errors import BillowError
from billow.model.action import Action
from billow.model.run import Progress
from billow.model.shape import Shape
from billow.ports import Trace


@dataclass(frozen=True, slots=True)
class Claim:
    """Room that an action holds on a host until it has ended."""

    shape: Shape
    host: str
    nodes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Strike:
    """What the script does to one action.

    Attributes:
        hang_s: How long nothing happens before it begins, seconds of the world.
        fails_at: Where it fails, 0 to 1; NaN for never.
        lost: Whether its caller never hears of the outcome.
    """

    hang_s: float = 0.0
    fails_at: float = math.nan
    lost: bool = False


@dataclass(slots=True)
class Operation:
    """An action that the world has accepted.

    Attributes:
        begun: When it was accepted, seconds of the world.
        starts: When it really begins, after hanging.
        flows_at: When memory begins to flow.
        due: When it ends as far as is known now, or memory begins to flow.
        copy: The migration's state while memory flows; None for all else.
        last: How far it was at its end; None for all but live migrations.
        version: Rises when `due` changes, so that older events are void.
    """

    action: Action
    begun: float
    strike: Strike = Strike()
    starts: float = 0.0
    flows_at: float = 0.0
    due: float = math.inf
    claim: Claim | None = None
    copy: Precopy | None = None
    last: Progress | None = None
    trace: Trace = Trace.RUNNING
    error: BillowError | None = None
    version: int = 0

    def progress(self, now: float) -> Progress:
        """Return how far it is."""
        if now < self.starts:
            return Progress(0.0, "waiting", self.due - now)
        if now < self.flows_at:
            return Progress(0.0, "preparing")
        if self.copy is not None:
            return self.copy.progress(now)
        length = self.due - self.starts
        fraction = min((now - self.starts) / length, 1.0) if length > 0 else 1.0
        return Progress(fraction, self.action.name, max(self.due - now, 0.0))
