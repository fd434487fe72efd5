# SPDX-License-Identifier: Apache-2.0
"""What an action will cost, before it is done: time, bytes, standstill.

What a live migration comes to is `convergence`'s business, and which ones share a link is
`traffic`'s.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from billow.model.action import Action, Evacuate, Migrate, Place, PowerOff, PowerOn, Resize, Stop
from billow.model.assessment import Guest, Link, Way, Writer
from billow.model.kinds import MigrationPolicy, State, Storage, code_of, value_of
from billow.model.plan import Cost, Step
from billow.model.policy import Limits
from billow.model.pool import Pool
from billow.plan.channel import DELTAS_PAY
from billow.plan.convergence import (
    SETUP_S,
    SWITCH_S,
    Prediction,
    predict,
)
from billow.plan.lanes import alone, route, stream
from billow.plan.shares import LONGEST_S, SURE_BELOW
from billow.plan.traffic import Transfer, seconds

DOWNTIME_LIMIT_S = 0.3
PLACE_S = 2.0
POWER_S = 120.0
TOUCH_S = 1.0


def estimate(pool: Pool, action: Action) -> Cost:
    """Return what an action is expected to cost in this pool."""
    match action:
        case Migrate():
            return _migration(pool, action)
        case Place() | Resize() | Evacuate():
            return Cost(seconds=PLACE_S)
        case Stop():
            return Cost(seconds=min(action.grace_s, PLACE_S))
        case PowerOn() | PowerOff():
            return Cost(seconds=POWER_S)
        case _:
            return Cost(seconds=TOUCH_S)


def copying(
    memory_mib: float,
    dirty_mib_s: float,
    bandwidth_mib_s: float,
    policy: MigrationPolicy = MigrationPolicy.BALANCED,
    downtime_s: float = DOWNTIME_LIMIT_S,
) -> Cost:
    """Return the cost of one live migration with an unshared link.

    One that will never end costs what is spent on it until it is taken back.

    Args:
        memory_mib: What the instance holds; all of it may be written again and again.
        dirty_mib_s: How fast it writes memory; NaN counts as an idle instance.
        bandwidth_mib_s: What the link carries.
        policy: What may be done to the instance.
        downtime_s: How long it may stand still at the end.
    """
    dirty = 0.0 if math.isnan(dirty_mib_s) else dirty_mib_s
    if policy is MigrationPolicy.POST_COPY:
        rest = min(memory_mib, dirty * memory_mib / bandwidth_mib_s)
        sent = memory_mib + rest  # one round, then what was written meanwhile
        return Cost(sent, SETUP_S + sent / bandwidth_mib_s, SWITCH_S)
    writer = Writer(dirty_mib_s=dirty, working_mib=memory_mib)
    guest = Guest(memory_mib=memory_mib, writers=(writer,))
    link = Link(bandwidth_mib_s=bandwidth_mib_s, downtime_s=downtime_s)
    found = _predicted(guest, link, policy)
    if not found.ends:
        return Cost(found.sent_mib, LONGEST_S, downtime_s)
    return Cost(found.sent_mib, found.seconds, found.downtime_s)


def total(pool: Pool, steps: Sequence[Step], limits: Limits) -> Cost:
    """Return the cost of a plan: waves follow each other, in a wave moves share links. Linear."""
    waves: defaultdict[int, list[Step]] = defaultdict(list)
    for step in steps:
        waves[step.wave].append(step)
    return Cost(
        copied_mib=sum(step.cost.copied_mib for step in steps),
        seconds=sum(_wave_seconds(pool, wave, limits) for wave in waves.values()),
        downtime_s=max((step.cost.downtime_s for step in steps), default=0.0),
    )


def transfer(pool: Pool, action: Migrate, cost: Cost) -> Transfer:
    """Return a move as links see it; the instance may be new to the pool, or gone from it."""
    row = pool.instances.row.get(action.instance)
    copies = cost.copied_mib > 0
    policy = action.policy or _policy(pool, row)
    runs = row is not None and pool.instances.state[row] == code_of(State.RUNNING)
    return Transfer(
        id=action.id,
        instance=action.instance,
        hosts=action.hosts,
        route=route(pool, action.source, action.target) if copies else (),
        copy_mib=cost.copied_mib,
        seconds=cost.seconds,
        dirty_mib_s=float(pool.instances.dirty[row]) if runs else 0.0,
        priority=0 if row is None else int(pool.instances.priority[row]),
        yields=policy is not MigrationPolicy.NO_THROTTLE,
    )


def _policy(pool: Pool, row: int | None) -> MigrationPolicy:
    if row is None:
        return MigrationPolicy.BALANCED
    return value_of(MigrationPolicy, pool.instances.migration[row])


def weighed(known: Transfer, guest: Guest) -> Transfer:
    """Return a move of which was measured what there is to copy, and how it writes."""
    if not known.route:
        return known
    way = MigrationPolicy.BALANCED if known.yields else MigrationPolicy.NO_THROTTLE
    found = _predicted(guest, Link(bandwidth_mib_s=known.most_mib_s), way)
    return replace(
        known,
        copy_mib=max(1.0, found.sent_mib),
        seconds=found.seconds if found.ends else LONGEST_S,
        dirty_mib_s=guest.dirty_mib_s,
        sends=guest.changes if guest.changes <= DELTAS_PAY else 1.0,
    )


def bandwidth(pool: Pool, source: str, target: str) -> float:
    """Return what the network carries between two hosts, MiB/s."""
    return alone(route(pool, source, target))


def _migration(pool: Pool, action: Migrate) -> Cost:
    row = pool.instance_row(action.instance)
    rate = stream(route(pool, action.source, action.target))
    disk = _disk_mib(pool, row)
    if pool.instances.state[row] == code_of(State.STOPPED):
        return Cost(disk, PLACE_S + disk / rate)
    cost = copying(
        pool.shapes[pool.instances.shape[row]].memory_mib,
        float(pool.instances.dirty[row]),
        rate,
        action.policy or _policy(pool, row),
        DOWNTIME_LIMIT_S if action.downtime_s is None else action.downtime_s,
    )
    return Cost(cost.copied_mib + disk, cost.seconds + disk / rate, cost.downtime_s)


def _disk_mib(pool: Pool, row: int) -> float:
    """Return what must move of an instance's disk; nothing where nobody has seen how much."""
    own = pool.instances.disk[row] == code_of(Storage.OWN)
    used = float(pool.instances.disk_used[row])
    return used if own and not math.isnan(used) else 0.0


def _predicted(guest: Guest, link: Link, policy: MigrationPolicy) -> Prediction:
    """Return what a policy comes to; a brake is used only where pre-copy does not end well."""
    plain = predict(guest, link, Way.PLAIN)
    brake = _BRAKES.get(policy)
    gentle = plain.ends and guest.dirty_mib_s < SURE_BELOW * link.share_mib_s
    if brake is None or (gentle and policy is not MigrationPolicy.AUTO_CONVERGE):
        return plain
    return predict(guest, link, brake)


_BRAKES = {
    MigrationPolicy.BALANCED: Way.DIRTY_LIMIT,
    MigrationPolicy.SHORTEST: Way.DIRTY_LIMIT,
    MigrationPolicy.AUTO_CONVERGE: Way.AUTO_CONVERGE,
}


def _wave_seconds(pool: Pool, wave: Sequence[Step], limits: Limits) -> float:
    moves = [transfer(pool, s.action, s.cost) for s in wave if isinstance(s.action, Migrate)]
    others = [step.cost.seconds for step in wave if not isinstance(step.action, Migrate)]
    together = seconds(moves, limits.migrations_at_once_per_host, limits.steps_at_once)
    spread = math.fsum(others) / limits.steps_at_once
    return max([together, spread, *others])
