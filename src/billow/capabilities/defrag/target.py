# SPDX-License-Identifier: Apache-2.0
"""What should fit more often: the shapes that an operator wants to sell, and what each is worth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from billow.capabilities.defrag.policy import DefragPolicy
from billow.errors import Invalid
from billow.model.instances import NOWHERE
from billow.model.kinds import Kind, code_of
from billow.model.pool import Pool
from billow.model.shape import Shape

IN_DEMAND = 0.02
"""Share of all instances from which on a shape counts as asked for often."""
UNNAMED = "wanted"
"""The name of a shape that a policy gives by its size."""


@dataclass(frozen=True, slots=True)
class Target:
    """One shape of which more should fit, and what one instance of it is worth."""

    shape: Shape
    weight: float = 1.0


def targets_of(pool: Pool, policy: DefragPolicy) -> tuple[Target, ...]:
    """Return what a policy asks for; what the pool itself says where it asks for nothing.

    Raises:
        Invalid: a shape that the pool does not know.
    """
    return _asked(pool, policy) or _marked(pool) or _largest_in_demand(pool)


def _asked(pool: Pool, policy: DefragPolicy) -> tuple[Target, ...]:
    if policy.cpu_milli:
        size = Shape(
            UNNAMED,
            policy.cpu_milli,
            policy.memory_mib,
            policy.numa_nodes,
            huge_pages=policy.huge_pages,
        )
        return (Target(size),)
    found = []
    for name, weight in sorted(policy.shapes.items()):
        shape = pool.shape(name)
        if shape is None:
            raise Invalid(
                f"no shape {name!a} in the pool",
                fix="name one that is in use, or give cpu_milli, memory_mib and numa_nodes",
                code="unknown-shape",
            )
        found.append(Target(shape, weight))
    return tuple(found)


def _marked(pool: Pool) -> tuple[Target, ...]:
    """Return the shapes that the source itself gives a weight, as `vmr` files do."""
    found: list[Target] = []
    for fact in pool.facts:
        name = fact.subject.removeprefix("shape/")
        shape = pool.shape(name) if fact.key == "weight" and name != fact.subject else None
        weight = _number(fact.value)
        if shape is not None and weight > 0:
            found.append(Target(shape, weight))
    return _of_one_mode(found)


def _largest_in_demand(pool: Pool) -> tuple[Target, ...]:
    """Return the largest shape of those that many instances have, else the most frequent one.

    What is small fits into nearly every leftover, so that moving others gains nothing for it; and
    room for a large one is room for the small ones, too, but not the other way round. What hardly
    anybody has is worth no migration.
    """
    ours = pool.instances
    placed = (ours.host != NOWHERE) & (ours.kind != code_of(Kind.BARE_METAL))
    counts = np.bincount(ours.shape[placed], minlength=len(pool.shapes))
    usable = [
        number
        for number, shape in enumerate(pool.shapes)
        if counts[number] and shape.cpu_milli and not shape.gpus
    ]
    many = [number for number in usable if counts[number] >= IN_DEMAND * counts.sum()]
    ranked = sorted(usable, key=lambda number: (-counts[number], pool.shapes[number].name))
    if many:
        ranked = sorted(many, key=lambda number: _size(pool.shapes[number]))
    return tuple(Target(pool.shapes[number]) for number in ranked[:1])


def _size(shape: Shape) -> tuple[int, int, str]:
    """Return what shapes are ordered by, the largest first."""
    return -shape.cpu_milli, -shape.memory_mib, shape.name


def _of_one_mode(found: Sequence[Target]) -> tuple[Target, ...]:
    bound = [target for target in found if target.shape.numa_nodes]
    return tuple(bound or found)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
