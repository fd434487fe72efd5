# SPDX-License-Identifier: Apache-2.0
"""What is left of an answer when instances came and went while it was found.

Moves that still can be made are kept as they are. One whose place was taken is sent to another
place that it fits tightest; one whose instance is gone, or has moved, is dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from billow.capabilities.defrag.problem import allowed
from billow.capabilities.defrag.sequence import sequence
from billow.model.action import Migrate
from billow.model.instance import mask_of
from billow.model.pool import Pool
from billow.model.resources import CPU, BoolArray
from billow.plan.draft import Draft
from billow.plan.suit import node_mask, roomy, suits


@dataclass(frozen=True)
class Repaired:
    """Moves for the pool as it is now, in an order that works.

    Attributes:
        kept: Instances that move as it was planned.
        redirected: Those that go to another place.
        dropped: Those that stay, or are gone.
    """

    moves: tuple[Migrate, ...]
    after: Pool
    kept: tuple[str, ...]
    redirected: tuple[str, ...]
    dropped: tuple[str, ...]


def repair(
    pool: Pool,
    moves: Sequence[Migrate],
    most_moves: int,
    protected: frozenset[str] = frozenset(),
) -> Repaired:
    """Return an answer's moves as they can be made in the pool as it is now.

    Args:
        pool: As it is now.
        moves: In their order; of an instance that moves twice, both.
        most_moves: Most moves of the repaired answer, detours included.
        protected: Ids of what stays as it is.
    """
    allow = allowed(pool, protected)
    first = {move.instance: move for move in reversed(moves)}
    last = {move.instance: move for move in moves}
    draft = Draft(pool)
    kept, astray, dropped = list[str](), list[str](), list[str]()
    waiting = [
        name
        for name in last
        if _stands(pool, first[name]) and allow.instances[pool.instances.row[name]]
    ]
    dropped += [name for name in last if name not in set(waiting)]
    progress = True
    while waiting and progress:
        done = [name for name in waiting if _follow(draft, allow.hosts, last[name])]
        kept += done
        progress, waiting = bool(done), [name for name in waiting if name not in set(done)]
    for name in waiting:
        went = _redirect(draft, allow.hosts, pool.instances.row[name])
        (astray if went else dropped).append(name)
    ordering = sequence(pool, draft, most_moves, "still makes room")
    moving = {move.instance for move in ordering.moves}
    reasons = {move.instance: move.reason for move in moves}
    return Repaired(
        tuple(_as_said(move, reasons) for move in ordering.moves),
        ordering.after,
        tuple(name for name in kept if name in moving),
        tuple(name for name in astray if name in moving),
        tuple(sorted({*dropped, *(name for name in [*kept, *astray] if name not in moving)})),
    )


def _stands(pool: Pool, move: Migrate) -> bool:
    """Return whether an instance is where its move begins."""
    row = pool.instances.row.get(move.instance)
    if row is None:
        return False
    here = pool.hosts.row.get(move.source)
    nodes = mask_of(move.source_nodes)
    return int(pool.instances.host[row]) == here and int(pool.instances.nodes[row]) == nodes


def _follow(draft: Draft, open_hosts: BoolArray, move: Migrate) -> bool:
    pool = draft.pool
    host = pool.hosts.row.get(move.target)
    if host is None or not open_hosts[host]:
        return False
    row = pool.instances.row[move.instance]
    return bool(suits(pool, row)[host]) and draft.assign(row, host, mask_of(move.target_nodes))


def _redirect(draft: Draft, open_hosts: BoolArray, row: int) -> bool:
    """Send an instance to the fullest other host that has room; return whether there is one."""
    good = suits(draft.pool, row) & roomy(draft, row) & open_hosts
    good[draft.where(row)[0]] = False
    able = np.flatnonzero(good)
    for host in able[np.argsort(draft.free_hosts[able, CPU], kind="stable")].tolist():
        mask = node_mask(draft, row, host)
        if mask is not None and draft.assign(row, host, mask):
            return True
    return False


def _as_said(move: Migrate, reasons: dict[str, str]) -> Migrate:
    return Migrate(
        instance=move.instance,
        source=move.source,
        target=move.target,
        source_nodes=move.source_nodes,
        target_nodes=move.target_nodes,
        reason=reasons.get(move.instance) or move.reason,
    )
