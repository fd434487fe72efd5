# SPDX-License-Identifier: Apache-2.0
"""Empty hosts, for every face: the plan is `billow.plan.drain`'s, homes are placement's choice."""

from billow.loop import Loop, Wish
from billow.migrations import homes
from billow.model.plan import Plan, Proposal
from billow.model.pool import Pool
from billow.plan.drain import Drain, drained


async def drain(loop: Loop, wanted: Drain, *, actor: str) -> Plan:
    """Make and keep the plan that empties hosts for maintenance.

    Raises:
        NotFound: a host or a group that is not in the pool.
        Invalid: no host is named.
    """

    def want(pool: Pool) -> tuple[Pool, list[Proposal]]:
        return pool, [drained(pool, wanted, homes)]

    return await loop.plan(want, Wish(f"drain {wanted}", actor))
