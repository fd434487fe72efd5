# SPDX-License-Identifier: Apache-2.0
"""What was on hosts when they died, as the first look at the pool shows that began after the proof.

The look before may be some seconds old, and what came to a host in between is to be recovered, too.
Of later looks nothing counts: what comes to the host then has nothing to do with its death.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

import structlog

from billow.errors import BillowError
from billow.model.ha.incident import Incident, Phase, Victim
from billow.plan.ha.recovery import victims_of
from billow.sense.collect import Collector

AGAIN_S: Final = 1.0
"""After a look that failed it is looked again after so long."""
log = structlog.get_logger()


class Remains:
    """The victims of all incidents that are being recovered."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._found: dict[str, tuple[Victim, ...]] = {}
        self._task: asyncio.Task[None] | None = None

    def of(self, incidents: Iterable[Incident]) -> Mapping[str, tuple[Victim, ...] | None]:
        """Return for each host that is proved dead what was there; None while nobody looked."""
        proved = {each.id: each.host for each in incidents if each.phase is Phase.RECOVERING}
        self._found = {each: found for each, found in self._found.items() if each in proved}
        unseen = {name: host for name, host in proved.items() if name not in self._found}
        if unseen and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._look(unseen), name="remains")
        return {host: self._found.get(name) for name, host in proved.items()}

    async def aclose(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _look(self, unseen: Mapping[str, str]) -> None:
        try:
            pool = await self._collector.fresh()
        except BillowError as error:
            log.warning("nobody can say what was on dead hosts", why=error.brief)
            await asyncio.sleep(AGAIN_S)
            return
        self._found |= {name: victims_of(pool, host) for name, host in unseen.items()}
