# SPDX-License-Identifier: Apache-2.0
"""What an action will cost, before it is done: time, bytes, standstill.

Pre-copy is modelled in rounds: the first sends all memory, each next one what was written
meanwhile, until what is left fits into the downtime limit or the rounds no longer shrink (Akoush et
al., MASCOTS 2010).
"""

import math
from collections.abc import Sequence

from billow.model.action import Action, Migrate, Place, PowerOff, PowerOn, Resize, Stop
from billow.model.plan import Cost, Step
from billow.model.pool import Pool

DOWNTIME_LIMIT_S = 0.3
SWITCH_S = 0.05
ROUNDS = 30
PLACE_S = 2.0
POWER_S = 120.0
TOUCH_S = 1.0


def estimate(pool: Pool, action: Action) -> Cost:
    """Return what an action is expected to cost in this pool."""
    match action:
        case Migrate():
            return _migration(pool, action)
        case Place() | Resize():
            return Cost(seconds=PLACE_S)
        case Stop():
            return Cost(seconds=min(action.grace_s, PLACE_S))
        case PowerOn() | PowerOff():
            return Cost(seconds=POWER_S)
        case _:
            return Cost(seconds=TOUCH_S)


def precopy(memory_mib: float, dirty_mib_s: float, bandwidth_mib_s: float) -> Cost:
    """Return the cost of one live migration with an unshared link.

    Args:
        memory_mib: What the instance holds.
        dirty_mib_s: How fast it writes memory; NaN counts as an idle instance.
        bandwidth_mib_s: What the link carries.
    """
    dirty = 0.0 if math.isnan(dirty_mib_s) else dirty_mib_s
    left, copied, seconds = memory_mib, 0.0, 0.0
    for _ in range(ROUNDS):
        copied += left
        seconds += left / bandwidth_mib_s
        left = min(memory_mib, dirty * left / bandwidth_mib_s)
        if left <= bandwidth_mib_s * DOWNTIME_LIMIT_S or dirty >= bandwidth_mib_s:
            break
    downtime = SWITCH_S + left / bandwidth_mib_s
    return Cost(copied + left, seconds + downtime, downtime)


def total(steps: Sequence[Step]) -> Cost:
    """Return the cost of a plan: waves follow each other, the steps of one run side by side."""
    longest: dict[int, float] = {}
    for step in steps:
        longest[step.wave] = max(longest.get(step.wave, 0.0), step.cost.seconds)
    return Cost(
        copied_mib=sum(step.cost.copied_mib for step in steps),
        seconds=sum(longest.values()),
        downtime_s=max((step.cost.downtime_s for step in steps), default=0.0),
    )


def bandwidth(pool: Pool, source: str, target: str) -> float:
    """Return what the network carries between two hosts, MiB/s: their link or the slower host's."""
    for link in pool.links:
        if {link.first, link.second} == {source, target}:
            return max(link.bandwidth_mib_s, 1.0)
    rows = pool.hosts.row[source], pool.hosts.row[target]
    return max(float(min(pool.hosts.bandwidth[row] for row in rows)), 1.0)


def _migration(pool: Pool, action: Migrate) -> Cost:
    row = pool.instance_row(action.instance)
    memory = pool.shapes[pool.instances.shape[row]].memory_mib
    dirty = float(pool.instances.dirty[row])
    return precopy(memory, dirty, bandwidth(pool, action.source, action.target))
