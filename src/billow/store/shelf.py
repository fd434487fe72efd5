# SPDX-License-Identifier: Apache-2.0
"""The plans used last, with the pools that they were made for, since making them again is slow.

A plan never changes, so what is here is what the database has. How much is here depends on the
pools' size, not on the number of plans.
"""

from collections import OrderedDict
from typing import Final

from billow.model.plan import Plan
from billow.model.pool import Pool

ROWS: Final = 1_000_000
"""Hosts, instances and steps, over all plans, that may be kept; one plan always may."""
PLANS: Final = 64


class Shelf:
    """Plans by id, the one used last at the end."""

    def __init__(self, rows: int = ROWS) -> None:
        self._most = rows
        self._plans: OrderedDict[str, tuple[Plan, Pool]] = OrderedDict()

    def put(self, plan: Plan, base: Pool) -> None:
        """Keep a plan, and let go of those not used for longest."""
        self._plans[plan.id] = plan, base
        self._plans.move_to_end(plan.id)
        while len(self._plans) > 1 and self._full():
            self._plans.popitem(last=False)

    def get(self, plan_id: str) -> tuple[Plan, Pool] | None:
        """Return a plan and its base; None when it is not here."""
        found = self._plans.get(plan_id)
        if found is not None:
            self._plans.move_to_end(plan_id)
        return found

    def _full(self) -> bool:
        rows = (
            len(base.hosts) + len(base.instances) + len(plan.steps)
            for plan, base in self._plans.values()
        )
        return len(self._plans) > PLANS or sum(rows) > self._most
