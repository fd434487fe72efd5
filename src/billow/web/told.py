# SPDX-License-Identifier: Apache-2.0
"""Reports that were made lately, so that many who look at one pool cost one report.

A report on the pool as it is lives as long as that pool is the freshest; one on a plan's pool
stays, since that pool does not change.
"""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Mapping

from billow.app import Billow
from billow.model.report import Report

KEPT = 24

Told = tuple[Report, Report | None]
"""A report, and the one after a plan."""
Key = tuple[str, str, str, str]


class Reports:
    """The last few reports."""

    def __init__(self, billow: Billow) -> None:
        self._billow = billow
        self._kept: OrderedDict[Key, asyncio.Future[Told]] = OrderedDict()

    async def told(self, name: str, knobs: Mapping[str, object], plan_id: str = "") -> Told:
        """Return a report, and the one after a plan. Raises as `Billow.report` does."""
        pool = await self._billow.pool()
        state = plan_id or str(pool.taken_at)
        key = (name, json.dumps(knobs, sort_keys=True), plan_id, state)
        if key not in self._kept:
            self._kept[key] = asyncio.ensure_future(self._billow.report(name, knobs, plan_id))
            self._kept[key].add_done_callback(lambda task: self._forget(key, task))
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return await asyncio.shield(self._kept[key])  # who leaves takes it from nobody else

    def _forget(self, key: Key, task: asyncio.Future[Told]) -> None:
        """Let a report that could not be made be tried again."""
        if task.cancelled() or task.exception() is not None:
            self._kept.pop(key, None)
