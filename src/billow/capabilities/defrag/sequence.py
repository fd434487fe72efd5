# SPDX-License-Identifier: Apache-2.0
"""From where instances should be to steps that can be done one wave after the other.

The order is `billow.plan.order`'s; what finds no way, or would need more moves than are allowed, is
left out.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from billow.model.action import Migrate
from billow.model.instance import nodes_of
from billow.model.pool import Pool
from billow.plan.draft import Draft
from billow.plan.order import order
from billow.plan.replay import replay

PLAN_ID = "defrag"
MOST_TRIES = 5


@dataclass(frozen=True)
class Ordering:
    """Moves in an order that works, and the pool after them."""

    moves: tuple[Migrate, ...]
    after: Pool


def sequence(pool: Pool, draft: Draft, most_moves: int, reason: str) -> Ordering:
    """Return the moves that bring a pool to a draft, detours included, as far as they go."""
    wanted = [_migrate(pool, draft, row, reason) for row in draft.changed()]
    for _ in range(MOST_TRIES):
        ordered = order(pool, wanted, PLAN_ID)
        moves = [step.action for step in ordered.steps if isinstance(step.action, Migrate)]
        dropped = _unwelcome(moves, most_moves)
        dropped |= {each.subject for each in ordered.rejections}
        if not dropped:
            return Ordering(tuple(moves), replay(pool, moves))
        wanted = [each for each in wanted if each.subject not in dropped]
    return Ordering((), pool)


def _unwelcome(moves: Sequence[Migrate], most: int) -> set[str]:
    """Return what is left out so that no more than `most` moves remain: detours first."""
    times = Counter(move.subject for move in moves)
    over = len(moves) - most
    dropped: set[str] = set()
    for subject, count in sorted(times.items(), key=lambda pair: (-pair[1], pair[0])):
        if over <= 0:
            break
        dropped.add(subject)
        over -= count
    return dropped


def _migrate(pool: Pool, draft: Draft, row: int, reason: str) -> Migrate:
    ours, hosts = pool.instances, pool.hosts
    host, mask = draft.where(row)
    return Migrate(
        instance=ours.id[row],
        source=hosts.id[int(ours.host[row])],
        target=hosts.id[host],
        source_nodes=nodes_of(int(ours.nodes[row])),
        target_nodes=nodes_of(mask),
        reason=reason,
    )
