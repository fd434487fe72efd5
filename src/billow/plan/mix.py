# SPDX-License-Identifier: Apache-2.0
"""Which shapes an operator wants to sell more of, and how much each counts.

Reports and planners that speak of "more instances" mean these: those that a policy names, else
those that carry a `weight` fact (`shape/NAME weight 1`), else those in use, most frequent first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from billow.errors import Invalid
from billow.model.instances import NOWHERE
from billow.model.pool import Pool
from billow.model.shape import Shape

MOST_SHAPES: Final = 12
"""So many shapes in use are looked at when nobody names any."""
WEIGHT: Final = "weight"
"""The key of the fact that says how much one more of a shape counts."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One shape and how much one more instance of it counts."""

    shape: Shape
    weight: float


def weights(pool: Pool) -> dict[str, float]:
    """Return what `weight` facts say, by the name of the shape. Raises Invalid."""
    found: dict[str, float] = {}
    for fact in pool.facts:
        kind, _, name = fact.subject.partition("/")
        if kind == "shape" and fact.key == WEIGHT:
            found[name] = _number(fact.value, fact.subject)
    return found


def frequencies(pool: Pool) -> list[int]:
    """Return how many placed instances each shape of a pool has."""
    ours = pool.instances
    counts: list[int] = np.bincount(
        ours.shape[ours.host != NOWHERE], minlength=len(pool.shapes)
    ).tolist()
    return counts


def mix(pool: Pool, names: Sequence[str] = (), most: int = MOST_SHAPES) -> tuple[Wanted, ...]:
    """Return the shapes that matter, the heaviest first, then by name.

    Names that the pool does not know are left out (`unknown` tells them). Named shapes without a
    weight count 1; shapes in use count their share of all instances.
    """
    known = weights(pool)
    if names:
        found = [Wanted(shape, known.get(shape.name, 1.0)) for shape in _named(pool, names)]
    else:
        shapes = [Wanted(shape, known.get(shape.name, 0.0)) for shape in pool.shapes]
        found = [each for each in shapes if each.weight > 0] or _in_use(pool)
    found = [each for each in found if any(each.shape.demand)]
    return tuple(sorted(found, key=lambda each: (-each.weight, each.shape.name))[:most])


def considered(
    pool: Pool, names: Sequence[str] = (), most: int = MOST_SHAPES
) -> tuple[Wanted, ...]:
    """Return the shapes to tell of: the mix first, then, when none were named, others in use.

    Those that are told of but not in the mix have a weight of 0.
    """
    first = mix(pool, names, most)
    if names:
        return first
    there = {each.shape.name for each in first}
    in_use = sorted(_in_use(pool), key=lambda each: (-each.weight, each.shape.name))
    others = [each.shape for each in in_use if each.shape.name not in there]
    more = [Wanted(shape, 0.0) for shape in others if any(shape.demand)]
    return (*first, *more[: max(most - len(first), 0)])


def unknown(pool: Pool, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names that no shape of the pool has."""
    known = {shape.name for shape in pool.shapes}
    return tuple(name for name in names if name not in known)


def _named(pool: Pool, names: Sequence[str]) -> list[Shape]:
    shapes = {shape.name: shape for shape in pool.shapes}
    return [shapes[name] for name in dict.fromkeys(names) if name in shapes]


def _in_use(pool: Pool) -> list[Wanted]:
    counts = frequencies(pool)
    total = sum(counts)
    pairs = zip(pool.shapes, counts, strict=True)
    return [Wanted(shape, count / total) for shape, count in pairs if count]


def _number(text: str, subject: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise Invalid(f"the weight of {subject} is {text!a}, not a number from 0 on")
    return number
