# SPDX-License-Identifier: Apache-2.0
"""Visit every state of the boundless world: no double run, however many faults.

A state is one number, so none is taken for another. Nearest first: a way that is found to a double
run is a shortest one.
"""

from typing import Final

import numpy as np

from billow.testing.ha.boundless import Boundless, running_twice
from billow.testing.ha.codes import Codes, scattered
from billow.testing.ha.search import RUN_TWICE, Found
from billow.testing.ha.states import Visited

CHUNK: Final = 1 << 17


def swept(world: Boundless, most: int = 10**9) -> Found:
    """Visit all states, until the instance runs twice or `most` are visited."""
    found, visited = Found(), Visited(1 << 20)
    level, levels = world.beginning(), []
    visited.add(scattered(level))
    while len(level):
        levels.append(level)
        found.states = visited.count
        if (bad := level[running_twice(level)]).size:
            found.broken, found.way = RUN_TWICE, _way(world, levels, bad[:1])
            return found
        if visited.count >= most:
            return found
        level = _next(world, level, visited, found)
        found.depth += 1
    found.whole = True
    return found


def _next(world: Boundless, level: Codes, visited: Visited, found: Found) -> Codes:
    parts = []
    for at in range(0, len(level), CHUNK):
        after = np.unique(
            np.concatenate([codes for _, codes in world.steps(level[at : at + CHUNK])])
        )
        found.transitions += len(after)
        parts.append(after[visited.add(scattered(after))])
    return np.concatenate(parts)


def _way(world: Boundless, levels: list[Codes], bad: Codes) -> list[str]:
    """Return how a state was reached, step by step."""
    way: list[str] = []
    for level in reversed(levels[:-1]):
        what, before = _before(world, level, bad)
        way.append(f"{what}  [{world.differences(before, bad)}]")
        bad = before
    return way[::-1]


def _before(world: Boundless, level: Codes, wanted: Codes) -> tuple[str, Codes]:
    """Return a step that leads from a state of a level to another, and that state."""
    part = level
    while len(part) > 1:
        half = part[: len(part) // 2]
        part = half if _leads(world, half, wanted) else part[len(half) :]
    return _leads(world, part, wanted), part


def _leads(world: Boundless, part: Codes, wanted: Codes) -> str:
    return next((what for what, codes in world.steps(part) if (codes == wanted[0]).any()), "")
