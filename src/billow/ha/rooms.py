# SPDX-License-Identifier: Apache-2.0
"""Where the instances of dead hosts would go: chosen while proof is sought, kept until it is there.

Placement chooses, on the pool as it is; here is only when it is asked again.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import structlog

from billow.errors import BillowError
from billow.model.ha.incident import Fate, Incident
from billow.model.pool import Pool
from billow.plan.ha.recovery import waiting
from billow.sense.collect import Collector

Choose = Callable[[Pool, Sequence[str], Mapping[str, Collection[str]]], Mapping[str, str]]
"""Choose hosts for instances of a pool, in their order, none of those that are closed to them."""
AGAIN_S: Final = 5.0
"""For whom there was no room, one is looked for again after so long."""
log = structlog.get_logger()


class Rooms:
    """The choices for all instances that wait."""

    def __init__(self, collector: Collector, choose: Choose) -> None:
        self._collector = collector
        self._choose = choose
        self._chosen: dict[str, str] = {}
        self._tried: dict[str, set[str]] = defaultdict(set)
        self._closed: frozenset[str] = frozenset()
        self._asked: frozenset[str] = frozenset()
        self._asked_at = -math.inf
        self._task: asyncio.Task[None] | None = None

    def chosen(self, incidents: Collection[Incident]) -> Mapping[str, str]:
        """Return where each waiting instance would go, as far as that is known by now."""
        queue = waiting(incidents)
        closed = frozenset(incident.host for incident in incidents)
        if queue and self._is_new(incidents, queue, closed) and self._is_idle():
            self._closed, self._asked, self._asked_at = closed, frozenset(queue), _time()
            self._task = asyncio.create_task(self._think(queue, closed), name="rooms")
        return self._chosen

    async def aclose(self) -> None:
        """Think no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _is_idle(self) -> bool:
        return self._task is None or self._task.done()

    def _is_new(
        self, incidents: Collection[Incident], queue: Sequence[str], closed: frozenset[str]
    ) -> bool:
        """Whether a host was closed since, somebody new waits, or a start failed."""
        for incident in incidents:
            for victim in incident.victims:
                if victim.fate is Fate.STARTING and victim.target:
                    self._tried[victim.instance].add(victim.target)
                    self._chosen.pop(victim.instance, None)
        lacking = {each for each in queue if each not in self._chosen}
        if closed != self._closed or lacking - self._asked:
            return True
        return bool(lacking) and _time() - self._asked_at >= AGAIN_S

    async def _think(self, queue: Sequence[str], closed: frozenset[str]) -> None:
        try:
            pool = await self._collector.fresh()
            shut = {each: closed | self._tried.get(each, set()) for each in queue}
            found = await asyncio.to_thread(self._choose, pool, queue, shut)
        except BillowError as error:
            log.warning("nobody can say where instances go", why=error.brief)
            return
        self._chosen = dict(found)


def _time() -> float:
    return asyncio.get_running_loop().time()
