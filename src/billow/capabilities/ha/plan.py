# SPDX-License-Identifier: Apache-2.0
"""Which instances would not come back if their host died: this is the capability's face.

Pure: no I/O, no clock, no dice. What is done when a host dies is `billow.plan.ha`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from billow.model.ha.policy import HaPolicy
from billow.model.instances import NOWHERE
from billow.model.kinds import Storage, code_of
from billow.model.plan import Finding, Proposal, Severity
from billow.model.policy import Policy
from billow.model.pool import Pool
from billow.model.report import Better, Column, Grid, Measure, Report
from billow.plan.ha.recovery import OWN_DISK

NAME: Final = "ha"
MOST_ROWS: Final = 50
BOUND: Final = "they are bound to their host"
_COLUMNS: Final = (
    Column("host", "host", link="host"),
    Column("instances", "instances"),
    Column("left", "not covered"),
    Column("why", "why"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loss:
    """What the death of one host would cost for good.

    Attributes:
        why: What holds for most of those that are left.
    """

    host: str
    instances: int
    left: int
    why: str


class Ha:
    """The capability: says which instances no restart elsewhere would bring back."""

    name = NAME
    policy: type[Policy] = HaPolicy

    def propose(self, pool: Pool, policy: HaPolicy, /) -> Proposal:  # noqa: ARG002 - the port's
        """Return findings only: the hosts whose death some instance would not survive."""
        return Proposal(NAME, findings=_findings(_losses(pool)))

    def report(self, pool: Pool, policy: HaPolicy, /) -> Report:  # noqa: ARG002 - the port's
        """Return how many instances are covered, and the hosts with most that are not."""
        losses = _losses(pool)
        homed = int((pool.instances.host != NOWHERE).sum())
        left = sum(each.left for each in losses)
        share = 1.0 - left / homed if homed else 1.0
        rows = tuple((each.host, each.instances, each.left, each.why) for each in losses)
        more = max(0, len(rows) - MOST_ROWS)
        title = "Hosts whose death some instance would not survive"
        grid = Grid("not_covered", title, _COLUMNS, rows[:MOST_ROWS], more)
        return Report(
            NAME,
            "What would come back if a host died",
            f"{homed - left:,} of {homed:,} instances would start elsewhere.",
            (Measure("covered_share", "covered instances", share, "share", Better.UP, 1.0),),
            (grid,) if rows else (),
            (),
            _findings(losses),
        )


def _losses(pool: Pool) -> list[_Loss]:
    """Return the hosts with instances that would not come back, most of them first."""
    instances, count = pool.instances, len(pool.hosts)
    own = instances.disk == code_of(Storage.OWN)
    bound = instances.bound
    homed = instances.host != NOWHERE
    here = np.bincount(instances.host[homed], minlength=count)
    left = np.bincount(instances.host[homed & (own | bound)], minlength=count)
    owned = np.bincount(instances.host[homed & own & ~bound], minlength=count)
    rows = sorted(left.nonzero()[0].tolist(), key=lambda row: (-left[row], row))
    return [
        _Loss(
            host=pool.hosts.id[row],
            instances=int(here[row]),
            left=int(left[row]),
            why=OWN_DISK if 2 * owned[row] >= left[row] else BOUND,
        )
        for row in rows
    ]


def _findings(losses: Sequence[_Loss]) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            f"host/{each.host}",
            Severity.INFO,
            f"{each.left} of {each.instances} instances would not come back: {each.why}",
        )
        for each in losses
    )
