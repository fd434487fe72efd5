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
from billow.plan.ha.recovery import NO_ROOM, waiting
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
        self._nowhere: dict[str, str] = {}
        self._tried: dict[str, set[str]] = defaultdict(set)
        self._asked_without: dict[str, set[str]] = {}
        self._closed: frozenset[str] = frozenset()
        self._asked: frozenset[str] = frozenset()
        self._asked_at = -math.inf
        self._task: asyncio.Task[None] | None = None

    def chosen(self, incidents: Collection[Incident]) -> Mapping[str, str]:
        """Return where each waiting instance would go, as far as that is known by now."""
        self._note_tried(incidents)
        queue = waiting(incidents)
        closed = frozenset(incident.host for incident in incidents)
        if queue and self._is_new(queue, closed) and self._is_idle():
            self._closed, self._asked, self._asked_at = closed, frozenset(queue), _time()
            self._task = asyncio.create_task(self._think(queue, closed), name="rooms")
        return self._chosen

    @property
    def nowhere(self) -> Mapping[str, str]:
        """Why instances have no room, as of the last time that one was looked for."""
        return self._nowhere

    async def aclose(self) -> None:
        """Think no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _is_idle(self) -> bool:
        return self._task is None or self._task.done()

    def _note_tried(self, incidents: Collection[Incident]) -> None:
        """Choose no host again where a start was begun, whatever became of it."""
        known = {victim.instance for incident in incidents for victim in incident.victims}
        for name in self._tried.keys() - known:
            del self._tried[name]
        for incident in incidents:
            for victim in incident.victims:
                if victim.fate is Fate.STARTING and victim.target:
                    self._tried[victim.instance].add(victim.target)
                    self._chosen.pop(victim.instance, None)

    def _is_new(self, queue: Sequence[str], closed: frozenset[str]) -> bool:
        """Whether a host was closed since, somebody new waits, or a start failed."""
        lacking = {each for each in queue if each not in self._chosen}
        if closed != self._closed or lacking - self._asked:
            return True
        failed = {each for each in lacking if not self._tried.get(each, set()) <= self._shut(each)}
        return bool(failed) or (bool(lacking) and _time() - self._asked_at >= AGAIN_S)

    def _shut(self, instance: str) -> set[str]:
        """Return where an instance could not go when it was asked last."""
        return self._asked_without.get(instance, set())

    async def _think(self, queue: Sequence[str], closed: frozenset[str]) -> None:
        try:
            pool = await self._collector.fresh()
            self._asked_without = {each: set(self._tried.get(each, ())) for each in queue}
            shut = {each: closed | self._asked_without[each] for each in queue}
            found = await asyncio.to_thread(self._choose, pool, queue, shut)
        except BillowError as error:
            why = f"nobody can say where they go: {error.brief}"
            self._nowhere = {each: why for each in queue if each not in self._chosen}
            log.warning("instances wait", why=why)
            return
        tried = self._tried
        self._chosen = {each: to for each, to in found.items() if to not in tried.get(each, ())}
        lacking = [each for each in queue if each not in found]
        self._nowhere = {each: NO_ROOM for each in lacking if not self._asked_without[each]}
        for each in lacking:
            tried.pop(each, None)  # no other host has room: one that failed may do by now


def _time() -> float:
    return asyncio.get_running_loop().time()
