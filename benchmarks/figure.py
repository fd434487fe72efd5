# SPDX-License-Identifier: Apache-2.0
"""One measured number, its goal, and what stands beside it."""

from dataclasses import dataclass
from enum import StrEnum


class Better(StrEnum):
    """Which way is better; the sign of the goal."""

    LOWER = "<="
    HIGHER = ">="


@dataclass(frozen=True, slots=True)
class Peer:
    """Another program, method or bound, measured in the same run and unit."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    Attributes:
        name: What is measured, in a few words that stay the same between runs.
        unit: `s`, `ms`, `us`, `MiB`, `1/s`, ...
        goal: What it must reach; None where there is none.
        peer: What stands beside it; None where nothing comparable exists.
    """

    name: str
    value: float
    unit: str
    goal: float | None = None
    better: Better = Better.LOWER
    peer: Peer | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None without a goal. Not-a-number reaches nothing."""
        if self.goal is None:
            return None
        return self.value <= self.goal if self.better is Better.LOWER else self.value >= self.goal

    @property
    def ratio(self) -> float | None:
        """How many times better than the peer (2.0 = twice as good); None without a peer."""
        if self.peer is None or not self.peer.value or not self.value:
            return None
        if self.better is Better.LOWER:
            return self.peer.value / self.value
        return self.value / self.peer.value

    @property
    def goal_text(self) -> str | None:
        """The goal with its sign: `<= 10`; None without a goal."""
        return None if self.goal is None else f"{self.better.value} {self.goal:g}"

    def document(self) -> dict[str, object]:
        """Return the line of `--json`."""
        peer = self.peer and {"name": self.peer.name, "value": self.peer.value}
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "goal": self.goal_text,
            "reached": self.reached,
            "peer": peer,
            "ratio": self.ratio,
        }
