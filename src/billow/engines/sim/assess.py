# SPDX-License-Identifier: Apache-2.0
"""Assess a move in a simulated pool: what its own migrations go by. Changes nothing."""

import math
from collections.abc import Sequence

from billow.engines.sim.brake import course_of, writers
from billow.engines.sim.setting import Setting
from billow.engines.sim.timing import Timing
from billow.errors import Invalid
from billow.model.action import Action, Migrate
from billow.model.assessment import Assessment, Guest, Link, Way, Writer
from billow.model.instance import Instance
from billow.model.kinds import MigrationPolicy, State
from billow.model.pool import Pool
from billow.plan.cost import bandwidth


def assess(
    pool: Pool, setting: Setting, instance: str, target: str, under_way: Sequence[Action]
) -> Assessment:
    """Return what a migration would meet, beside what is under way.

    Raises:
        NotFound: no such instance or host.
        Invalid: it is on no host, or on that one.
    """
    there, timing = pool.instance(instance), setting.timing
    pool.host(target)
    if there.host in {"", target}:
        raise Invalid(f"{instance} cannot move to {target} from where it is", fix="name another")
    ends = {there.host, target}
    moves = sum(isinstance(each, Migrate) and bool(ends & {*each.hosts}) for each in under_way)
    memory = float(there.shape.memory_mib)
    known = not math.isnan(there.dirty_mib_s)
    writes = there.dirty_mib_s if known and there.state is State.RUNNING else 0.0
    return Assessment(
        instance=instance,
        source=there.host,
        target=target,
        taken_at=pool.taken_at,
        guest=Guest(
            memory_mib=memory,
            writers=tuple(
                Writer(dirty_mib_s=writes * share, working_mib=memory * share)
                for share in writers(there)
            ),
            empty_share=float(there.state is State.STOPPED),
            writes_known=known,
            disk_mib=there.carried_mib,
        ),
        link=Link(
            bandwidth_mib_s=bandwidth(pool, there.host, target),
            moves=moves + 1,
            downtime_s=timing.downtime_limit_s,
        ),
        ways=_ways(timing, there),
        used=course_of(there.migration, timing).way,
        measured=("everything: the simulated pool knows it",),
        gaps=() if known else ("how much it writes is not known: it counts as idle",),
    )


def _ways(timing: Timing, instance: Instance) -> tuple[Way, ...]:
    """Return what simulated hosts can do to an instance that writes too fast, and may."""
    brakes = (Way.DIRTY_LIMIT,) * timing.ring + (Way.AUTO_CONVERGE,)
    may = timing.post_copy and instance.migration is MigrationPolicy.POST_COPY
    return (Way.PLAIN, *brakes * timing.throttle, *(Way.POST_COPY,) * may)
