# SPDX-License-Identifier: Apache-2.0
"""Batch beside latency-sensitive instances: it takes what is left and never makes them wait.

This is the capability's face; who gives way is decided in `solve.py`. Pure: no I/O, no clock.
"""

from collections import Counter
from typing import Final

from billow.capabilities.mixed.policy import MixedPolicy
from billow.capabilities.mixed.report import findings, reported
from billow.capabilities.mixed.solve import Sharing
from billow.model.plan import Proposal
from billow.model.policy import Policy
from billow.model.pool import Pool
from billow.model.report import Report

NAME: Final = "mixed"


class Mixed:
    """Lets batch use what latency-sensitive instances leave of their hosts."""

    name = NAME
    policy: type[Policy] = MixedPolicy

    def propose(self, pool: Pool, policy: MixedPolicy, /) -> Proposal:
        """Return limits, suspensions and moves where batch is in the way, and the way back.

        Linear in instances times window; nothing where no instance is batch.
        """
        sharing = Sharing(pool, policy)
        actions = tuple(sharing.run())
        done = Counter(action.name for action in actions)
        gain = {f"{name}_steps": float(count) for name, count in sorted(done.items())}
        return Proposal(NAME, actions, findings=findings(sharing), gain=gain)

    def report(self, pool: Pool, policy: MixedPolicy, /) -> Report:
        """Return how both classes share each host, and who waits."""
        return reported(Sharing(pool, policy))
