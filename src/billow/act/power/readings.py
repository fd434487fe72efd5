# SPDX-License-Identifier: Apache-2.0
"""What a management controller was asked for its power lately, by whomever, and what it said.

A reading is the same evidence whoever asked for it: those that were taken while a host was only
doubted count in the search for a proof that follows. This module asks nothing itself.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from billow.model.kinds import Power

APART_S: Final = 1.0
"""Two readings prove something when they were asked for, and came, so far apart."""
EVERY_S: Final = APART_S + 0.05
"""Between questions: answers jitter by milliseconds."""
YOUNG_S: Final = 15.0
"""A question that was asked so long before a search counts in it; two slow answers fit into it."""
_KEPT_S: Final = 300.0


@dataclass(slots=True)
class Asked:
    """One question for the power, and what came of it.

    Attributes:
        answered: When it was answered, by the machine that was meant; 0 for not.
        pending: Whether it is under way.
    """

    at: float
    answered: float = 0.0
    power: Power = Power.UNKNOWN
    pending: bool = True


@dataclass(slots=True)
class Readings:
    """The questions to one controller, in the order in which they were asked."""

    asked: list[Asked] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def ask(self, now: float) -> Asked:
        """Note a question that is asked from now on; `end` it, with or without an answer."""
        self.asked = [each for each in self.asked if each.pending or now - each.at < _KEPT_S]
        self.asked.append(Asked(now))
        return self.asked[-1]

    def end(self, question: Asked) -> None:
        """Let who waits for answers look."""
        question.pending = False
        self.news.set()

    @property
    def newest_at(self) -> float:
        """When a question was asked last that was answered, or may still be; 0 for never."""
        return max((each.at for each in self.asked if each.pending or each.answered), default=0.0)

    @property
    def last(self) -> Power:
        """What the newest question that was answered came to."""
        return next((each.power for each in reversed(self.asked) if each.answered), Power.UNKNOWN)

    def proof(self, since: float) -> tuple[Asked, Asked] | None:
        """Return the two answers to questions since an instant that prove that it is off, or None.

        They say off, and none that was asked in between, or after them, says otherwise.
        """
        row: list[Asked] = []
        for each in self.asked:
            if each.answered and each.at >= since:
                row = [*row, each] if each.power is Power.OFF else []
        if not row:
            return None
        first, last = row[0], row[-1]
        apart = min(last.at - first.at, last.answered - first.answered)
        return (first, last) if apart >= APART_S else None
