# SPDX-License-Identifier: Apache-2.0
"""Visit every state of the checked world, nearest first, and show the shortest way to a bad one.

What is visited is every order in which faults, orders, steps of controllers and seconds can follow
each other, within the number of faults. Two states count as one when their fingerprints of 64 bits
are the same: among a hundred million states the odds that one was overlooked so are 1 in 3,000.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from billow.plan.ha.facts import Terms
from billow.testing.ha.controllers import Controllers
from billow.testing.ha.healing import Healing, Mended
from billow.testing.ha.orders import Weakness
from billow.testing.ha.records import TERMS, Advance, Records
from billow.testing.ha.states import Mask, Prints, States, Visited, together
from billow.testing.ha.world import (
    LEASE,
    Rules,
    Step,
    World,
    beginning,
    running_twice,
    writing_twice,
)

CHUNK: Final = 1 << 15
WRITTEN_TWICE: Final = "two write one disk"
RUN_TWICE: Final = "an instance runs twice"
NO_END: Final = "all is mended, and yet it comes to no good end"


@dataclass(slots=True)
class Found:
    """What a search came to.

    Attributes:
        states: How many were visited.
        transitions: How many ways from one to the next.
        depth: The longest of the shortest ways from the beginning.
        asked: Distinct questions to the production function.
        by_faults: States visited with no fault, with up to one, and so on.
        whole: Whether all states within the faults were visited.
        broken: The property that does not hold; empty when all do.
        way: The shortest way to where it does not hold.
    """

    states: int = 0
    transitions: int = 0
    depth: int = 0
    asked: int = 0
    whole: bool = False
    by_faults: list[int] = field(default_factory=list)
    broken: str = ""
    way: list[str] = field(default_factory=list)


class Search:
    """One world, one protocol, and every state of them."""

    def __init__(
        self,
        rules: Rules,
        weakness: Weakness | None = None,
        advance: Advance | None = None,
        terms: Terms = TERMS,
        mended: Mended | None = None,
    ) -> None:
        self.rules = rules
        self.records = Records(LEASE if rules.lease else 0, terms, advance)
        self.world = World(rules)
        self.controllers = Controllers(rules, self.records, weakness or Weakness())
        self._healing = Healing(rules, self.controllers, mended) if mended else None
        self._levels: list[States] = []

    def run(self, most: int = 10**9, watch: Callable[[States], None] | None = None) -> Found:
        """Visit all states, until a property does not hold or `most` are visited.

        With the fewest faults first: a state that was visited need not be visited again with less
        to come. Among those with as many faults, the nearest first.

        Args:
            most: States after which the search gives up.
            watch: Called with all states of one distance, before it goes on from them.
        """
        found, visited = Found(), Visited()
        level = beginning(self.rules)
        visited.add(level.prints())
        for _faults in range(self.rules.faults + 1):
            later: list[States] = []
            while len(level):
                self._levels.append(level)
                found.states, found.asked = visited.count, self.records.turns()
                if self._is_over(level, found) or visited.count >= most:
                    return found
                if watch:
                    watch(level)
                level = self._level(level, visited, found, later)
                found.depth += 1
            found.by_faults.append(visited.count)
            level = self._new(together(later), visited)
        found.whole = True
        return found

    def _level(self, level: States, visited: Visited, found: Found, later: list[States]) -> States:
        parts = []
        faults = int(level["faults"][0])
        for at in range(0, len(level), CHUNK):
            nexts = together(
                [after for _, after in self.steps(States(level.rows[at : at + CHUNK]))]
            )
            found.transitions += len(nexts)
            fault = nexts["faults"] > faults
            later.append(self._single(nexts.where(fault)))
            parts.append(self._new(nexts.where(~fault), visited))
        return together(parts)

    def _prints(self, states: States) -> Prints:
        """Return fingerprints that do not depend on how many faults there were."""
        before = states["faults"].copy()
        states["faults"] = 0
        prints = states.prints()
        states["faults"] = before
        return prints

    def _single(self, states: States) -> States:
        _, first = np.unique(self._prints(states), return_index=True)
        return States(states.rows[first])

    def _new(self, states: States, visited: Visited) -> States:
        prints, first = np.unique(self._prints(states), return_index=True)
        return States(states.rows[first[visited.add(prints)]])

    def _is_over(self, level: States, found: Found) -> bool:
        if broken := self._broken(level):
            found.broken, bad = broken
            found.way = self._way(bad)
        return bool(found.broken)

    def steps(self, states: States) -> Iterator[Step]:
        """Yield all that may happen next."""
        for step in self.controllers.steps(states):
            yield from self.controllers.settled(step)
        yield from self.world.steps(states)

    def _broken(self, level: States) -> tuple[str, States] | None:
        checks: tuple[tuple[str, Mask], ...] = (
            (WRITTEN_TWICE, writing_twice(level, self.rules)),
            (RUN_TWICE, running_twice(level)),
        )
        for what, mask in checks[: 1 if self.rules.lying else 2]:
            if mask.any():
                return what, States(level.rows[np.flatnonzero(mask)[:1]])
        for at in range(0, len(level), CHUNK):
            part = States(level.rows[at : at + CHUNK])
            if self._healing and len(stuck := self._healing.stuck(part)):
                return NO_END, States(stuck.rows[:1])
        return None

    def _way(self, bad: States) -> list[str]:
        """Return how a state was reached, step by step, by looking for it from level to level."""
        way: list[str] = []
        wanted = bad.prints()[0]
        for level in reversed(self._levels[:-1]):
            if before := self._before(level, wanted):
                what, state = before
                way.append(f"{what}  [{'; '.join(state.differences(bad))}]")
                bad, wanted = state, state.prints()[0]
        return way[::-1]

    def _before(self, level: States, wanted: np.uint64) -> tuple[str, States] | None:
        for at in range(0, len(level), CHUNK):
            part = States(level.rows[at : at + CHUNK])
            if self._leads(part, wanted):
                while len(part) > 1:
                    half = States(part.rows[: len(part) // 2])
                    part = half if self._leads(half, wanted) else States(part.rows[len(half) :])
                return self._leads(part, wanted), part
        return None

    def _leads(self, part: States, wanted: np.uint64) -> str:
        """Return the step that leads from one of these to a state; empty when none does."""
        steps = (what for what, after in self.steps(part) if (after.prints() == wanted).any())
        return next(steps, "")
