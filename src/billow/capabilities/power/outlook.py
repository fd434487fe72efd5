# SPDX-License-Identifier: Apache-2.0
"""What a plan would come to, for the report: the plan itself, or of a large pool a sample of it.

A plan for ten thousand hosts takes seconds, which a page should not. So in a pool of more than
`MOST_HOSTS` a plan is tried among that many of them: drawn evenly by power and by how many
instances they hold, with the instances on them and the reserve, the moves and the last hosts of a
zone that are their share. What it finds is scaled to the pool, and called an estimate.
"""

from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from billow.capabilities.power.board import Rows
from billow.capabilities.power.policy import PowerPolicy
from billow.capabilities.power.round import Round
from billow.capabilities.power.scene import Scene
from billow.model.column import frozen
from billow.model.instances import NOWHERE
from billow.model.pool import Pool

MOST_HOSTS = 800
"""Up to so many hosts a plan is made of the whole pool."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a plan would come to.

    Attributes:
        sleep, wake, moves: How many hosts are switched off and on, and how many instances move.
        spared_watts: What the pool then draws less.
        asleep, woken: Rows of the hosts of which it is known.
        planned: How many hosts a plan was tried on.
        about: Whether that was a sample.
    """

    sleep: int
    wake: int
    moves: int
    spared_watts: float
    asleep: frozenset[int]
    woken: frozenset[int]
    planned: int
    about: bool


def outlook(scene: Scene) -> Outlook:
    """Return what a plan would come to; `scene` is used up by it.

    Some tenths of a second, whatever the size of the pool, and what reading its tables takes.
    """
    total = len(scene.pool.hosts)
    if total <= MOST_HOSTS:
        return _of(scene, np.arange(total), total)
    rows = _drawn(scene.pool)
    policy = _shared(scene.policy, len(rows) / total)
    return _of(Scene(_part(scene.pool, rows), policy), rows, total)


def _of(scene: Scene, rows: Rows, total: int) -> Outlook:
    done = Round(scene)
    if not scene.policy.all_on:
        done.run()
    scale = total / max(len(rows), 1)
    return Outlook(
        round(len(done.emptied) * scale),
        round(len(done.woken) * scale),
        round(done.moves * scale),
        (done.watts_before - done.watts_after) * scale,
        frozenset(rows[sorted(done.emptied)].tolist()),
        frozenset(rows[sorted(done.woken)].tolist()),
        len(rows),
        len(rows) < total,
    )


def _drawn(pool: Pool) -> Rows:
    """Return the rows of `MOST_HOSTS` hosts, evenly by power and number of instances."""
    hosts, where = pool.hosts, pool.instances.host
    count = np.bincount(where[where != NOWHERE], minlength=len(hosts))
    order = np.lexsort((count, hosts.power))
    return np.sort(order[np.arange(MOST_HOSTS) * len(order) // MOST_HOSTS])


def _part(pool: Pool, rows: Rows) -> Pool:
    """Return some hosts of a pool with what is on them, and their share of the requests."""
    ours = pool.instances
    place = np.full(len(pool.hosts) + 1, NOWHERE, dtype=np.int32)  # the last one is NOWHERE's
    place[rows] = np.arange(len(rows))
    every = -(-len(pool.hosts) // len(rows))
    requests = np.flatnonzero(ours.host == NOWHERE)[::every]
    kept = np.sort(np.concatenate([np.flatnonzero(place[ours.host] != NOWHERE), requests]))
    there = ours.take(kept)
    there = replace(there, host=frozen(place[there.host]))
    return replace(pool, hosts=pool.hosts.take(rows), instances=there)


def _shared(policy: PowerPolicy, share: float) -> PowerPolicy:
    """Return the policy with what counts hosts and moves of a whole pool cut to a share of it."""
    part = {
        "spare_hosts": ceil(policy.spare_hosts * share),
        "least_on_per_zone": ceil(policy.least_on_per_zone * share),
        "moves_per_plan": int(policy.moves_per_plan * share),
    }
    return policy.model_copy(update=part)
