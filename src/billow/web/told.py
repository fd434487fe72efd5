# SPDX-License-Identifier: Apache-2.0
"""Reports that were made lately, so that many who look at one pool cost one report.

A report on the pool as it is lives as long as that pool is the freshest, and longer where it was
dear: pages ask again whenever the pool was sensed, and must not keep a processor busy with that.
One on a plan's pool stays, since that pool does not change.
"""

import asyncio
import json
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from billow.model.pool import Pool
from billow.model.report import Report

KEPT = 24
REST = 5.0
"""A report is not made anew before so many times the time that it took have passed."""

Key = tuple[str, str, str]


class Told(NamedTuple):
    """A report, the one after a plan, and when the pool was seen that it is about."""

    before: Report
    after: Report | None
    seen_at: float


class Teller(Protocol):
    """Whoever makes reports: `app.Billow`."""

    async def pool(self) -> Pool:
        """Return the freshest pool."""

    async def report(
        self, name: str, knobs: Mapping[str, object], plan_id: str = ""
    ) -> tuple[Report, Report | None]:
        """Return a report, and the one after a plan."""


def loop_time() -> float:
    """Return the event loop's time, in seconds."""
    return asyncio.get_running_loop().time()


@dataclass(slots=True)
class _Made:
    """A report that is made or under way; times are the clock's, in seconds."""

    state: str
    task: asyncio.Future[Told]
    begun: float
    ended: float = math.inf

    def serves(self, state: str, now: float) -> bool:
        """Return whether it need not be made anew: up to date, under way, or dear and young."""
        if state == self.state or now < self.ended:
            return True
        return now - self.ended < REST * (self.ended - self.begun)


class Reports:
    """The last few reports."""

    def __init__(self, teller: Teller, clock: Callable[[], float] = loop_time) -> None:
        self._teller = teller
        self._clock = clock
        self._kept: OrderedDict[Key, _Made] = OrderedDict()

    async def told(self, name: str, knobs: Mapping[str, object], plan_id: str = "") -> Told:
        """Return a report, and the one after a plan. Raises as `Billow.report` does."""
        pool = await self._teller.pool()
        now = self._clock()
        state = plan_id or str(pool.taken_at)
        key = (name, json.dumps(knobs, sort_keys=True), plan_id)
        if key not in self._kept or not self._kept[key].serves(state, now):
            task = asyncio.ensure_future(self._make(name, knobs, plan_id, pool.taken_at))
            self._kept[key] = _Made(state, task, now)
            task.add_done_callback(lambda task: self._ended(key, task))
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return await asyncio.shield(self._kept[key].task)  # who leaves takes it from nobody else

    async def _make(
        self, name: str, knobs: Mapping[str, object], plan_id: str, seen_at: float
    ) -> Told:
        before, after = await self._teller.report(name, knobs, plan_id)
        return Told(before, after, seen_at)

    def _ended(self, key: Key, task: asyncio.Future[Told]) -> None:
        """Note how long a report took; let one that could not be made be tried again."""
        made = self._kept.get(key)
        if task.cancelled() or task.exception() is not None:
            if made is not None and made.task is task:
                del self._kept[key]
        elif made is not None and made.task is task:
            made.ended = self._clock()
