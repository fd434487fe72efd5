# SPDX-License-Identifier: Apache-2.0
"""Room on hosts that actions under way will take, and do not have yet. Pure; the pool comes in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from billow.model.action import Action, Evacuate, Migrate, Place, Resize
from billow.model.pool import Pool
from billow.model.shape import Shape


@dataclass(frozen=True, slots=True)
class Claim:
    """Room that an action will take on a host, and on which of its NUMA nodes, if that is said."""

    shape: Shape
    host: str
    nodes: tuple[int, ...] = ()


Claims: TypeAlias = Sequence[Claim]


def claims_of(pool: Pool, under_way: Sequence[Action]) -> list[Claim]:
    """Return what actions under way will take beside what the pool shows as taken."""
    return [claim for action in under_way if (claim := _claim(pool, action))]


def _claim(pool: Pool, action: Action) -> Claim | None:
    match action:
        case Place() if action.instance.id not in pool.instances.row:
            return Claim(action.instance.shape, action.host, action.nodes)
        case Migrate() | Evacuate() if action.instance in pool.instances.row:
            moved = pool.instance(action.instance)
            there = moved.host == action.target
            return None if there else Claim(moved.shape, action.target, action.target_nodes)
        case Resize():
            return Claim(action.new, action.host, action.nodes)
        case _:
            return None
