# SPDX-License-Identifier: Apache-2.0
"""What was measured of an instance before a move: how it writes, and what the link carries.

Facts only: what they mean for a move is `billow.plan.convergence`'s business.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from billow.errors import Invalid


class Way(StrEnum):
    """How a live migration gets a busy instance across without a second copy of it."""

    PLAIN = "pre-copy"
    """Nobody is slowed down."""
    DIRTY_LIMIT = "dirty-limit"
    """Each vCPU that writes too fast is slowed down; needs KVM's dirty ring."""
    AUTO_CONVERGE = "auto-converge"
    """All vCPUs are slowed down, in steps."""
    POST_COPY = "post-copy"
    """It runs on the target before all of its memory is there: a dead target loses the guest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """How one vCPU writes memory.

    Attributes:
        dirty_mib_s: Pages that it writes to, as the dirty ring counts them.
        working_mib: What it writes to again and again: nothing more of it is ever sent at once.
        busy: Share of time in which it runs; a throttle takes its idle time first.
    """

    dirty_mib_s: float
    working_mib: float
    busy: float = 1.0

    def __post_init__(self) -> None:
        _check("dirty_mib_s", self.dirty_mib_s, math.inf)
        _check("working_mib", self.working_mib, math.inf)
        _check("busy", self.busy, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """What there is to copy.

    Attributes:
        memory_mib: What the instance has.
        writers: One per vCPU; a single one for all where they cannot be told apart.
        empty_share: Share of its pages that hold nothing but zeros and cost next to nothing.
        changes: Of a page that is written again, what part of it changes; 1 as well where nothing
            is gained by that, since pages are sent whole.
        writes_known: Whether it was measured how it writes; without that it counts as idle.
        disk_mib: What there is of a disk that must move along; it goes before the memory.
    """

    memory_mib: float
    writers: tuple[Writer, ...]
    empty_share: float = 0.0
    changes: float = 1.0
    writes_known: bool = True
    disk_mib: float = 0.0

    def __post_init__(self) -> None:
        _check("disk_mib", self.disk_mib, math.inf)
        _check("memory_mib", self.memory_mib, math.inf)
        _check("empty_share", self.empty_share, 1.0)
        _check("changes", self.changes, 1.0)

    @property
    def dirty_mib_s(self) -> float:
        """What all vCPUs write together."""
        return math.fsum(writer.dirty_mib_s for writer in self.writers)

    @property
    def working_mib(self) -> float:
        """What all of them write to again and again."""
        together = math.fsum(writer.working_mib for writer in self.writers)
        return min(self.memory_mib, together)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What carries the copy.

    Attributes:
        bandwidth_mib_s: What it carries of memory, without what the protocols add.
        moves: How many moves share it, this one counted.
        downtime_s: How long the instance may stand still at the end.
    """

    bandwidth_mib_s: float
    moves: int = 1
    downtime_s: float = 0.3

    def __post_init__(self) -> None:
        _check("downtime_s", self.downtime_s, math.inf)
        if not 0 < self.bandwidth_mib_s < math.inf or self.moves < 1:
            raise Invalid(f"a link of {self.bandwidth_mib_s} MiB/s for {self.moves} moves")

    @property
    def share_mib_s(self) -> float:
        """What this move gets of it."""
        return self.bandwidth_mib_s / self.moves


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What was measured of an instance for a move to a host. Nothing was changed for it.

    Attributes:
        taken_at: Seconds since the epoch.
        measured: How, in words: one per figure.
        ways: What both hosts can do.
        used: The brake that the engine has today; it is used only where it is needed.
        gaps: What could not be measured, and what was taken instead.
    """

    instance: str
    source: str
    target: str
    taken_at: float
    guest: Guest
    link: Link
    ways: tuple[Way, ...]
    used: Way
    measured: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()


def _check(name: str, value: float, most: float) -> None:
    if not 0 <= value <= most or math.isinf(value):
        raise Invalid(f"{name} cannot be {value}")
