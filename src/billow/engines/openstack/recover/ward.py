# SPDX-License-Identifier: Apache-2.0
"""One host whose guests leave it: what Nova says of it, asked once for all who want to know.

Forty evacuations of a host ask together for what one of them would ask alone. It decides nothing.
"""

import asyncio
import contextlib
import math
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

from billow.engines.openstack.nova import Move, Seen
from billow.engines.openstack.patience import order
from billow.engines.openstack.recover.records import Records, Service
from billow.ports import Clock

FRESH_S: Final = 5.0
"""How old may be what was seen of a host's guests before its own evacuations begin."""
LOOK_EVERY_S: Final = 1.0
LONGEST_HOLD_S: Final = 10.0
"""So long at most the looking waits for orders that are on their way to the same API."""
_MARGIN_S: Final = 3600.0
"""Clocks differ: records are asked for from so long before the first look."""


class Ward:
    """A host, its service, its guests, and how their evacuations stand."""

    def __init__(self, host: str, records: Records, clock: Clock) -> None:
        self.host = host
        self._records = records
        self._clock = clock
        self._since = clock.now() - _MARGIN_S
        self._seeing = asyncio.Lock()
        self._seen_at = -math.inf
        self._service: Service | None = None
        self._guests: dict[str, Seen] = {}
        self._latest: dict[str, int] = {}
        self._telling = asyncio.Lock()
        self._looking = asyncio.Lock()
        self._looked_at = -math.inf
        self._evacuations: dict[str, list[Move]] = {}
        self._orders = 0
        self._free = asyncio.Event()
        self._free.set()

    async def service(self) -> Service:
        """Return the host's nova-compute, as seen some seconds ago at most. Raises NotFound."""
        await self._see()
        assert self._service is not None  # noqa: S101  # _see fills it or raises
        return self._service

    async def guest(self, uuid: str) -> Seen | None:
        """Return a guest of the host, as seen some seconds ago at most; None when it is no one."""
        await self._see()
        return self._guests.get(uuid)

    async def guests(self) -> list[str]:
        """Return the ids of the host's guests, as they are now. Raises NotFound."""
        self.forget()
        await self._see()
        return sorted(self._guests)

    async def latest(self, uuid: str) -> int:
        """Return the number of a guest's latest evacuation from here before now; 0 for none."""
        await self._see()
        return self._latest.get(uuid, 0)

    async def force_down(self) -> bool:
        """Tell Nova that the host is dead; return whether that was news. Raises NotFound."""
        async with self._telling:
            service = await self.service()
            told = not service.forced
            if told:
                await order(lambda: self._records.force(service, down=True), self._is_forced)
                self._service = replace(service, forced=True, up=False)
            return told

    async def _is_forced(self) -> bool:
        return (await self._records.service(self.host)).forced

    def forget(self) -> None:
        """Ask again before the next answer."""
        self._seen_at = -math.inf

    @contextlib.asynccontextmanager
    async def ordering(self) -> AsyncIterator[None]:
        """Order something: until it is taken, nobody looks how the others are."""
        self._orders += 1
        self._free.clear()
        try:
            yield
        finally:
            self._orders -= 1
            if not self._orders:
                self._free.set()

    async def evacuation(self, uuid: str, after: int) -> Move | None:
        """Return the evacuation of a guest that counts, looked at after this was called.

        Nova may take two orders of one moment (2026.2 asks for no task state): one of them
        fails where it meets the other.

        Args:
            uuid: Its server's.
            after: Only those with a higher number.
        """
        asked = _time()
        async with self._looking:
            if self._looked_at <= asked:
                await self._look()
        newer = (each for each in self._evacuations.get(uuid, ()) if each.number > after)
        return max(newer, key=lambda it: (it.under_way, it.arrived, it.number), default=None)

    def contested(self, uuid: str, after: int) -> bool:
        """Return whether more than one evacuation of a guest was seen with a higher number."""
        return sum(each.number > after for each in self._evacuations.get(uuid, ())) > 1

    async def _see(self) -> None:
        async with self._seeing:
            if _time() - self._seen_at <= FRESH_S:
                return
            began = _time()
            self._service, self._guests, past = await asyncio.gather(
                self._records.service(self.host),
                self._records.guests(self.host),
                self._records.evacuations(self.host, self._since),
            )
            self._latest = {each.server: each.number for each in past}
            self._seen_at = began

    async def _look(self) -> None:
        asked = _time()
        wait_s = self._looked_at + LOOK_EVERY_S - asked
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_HOLD_S):
                await self._free.wait()
        began = _time()
        found = defaultdict[str, list[Move]](list)
        for each in await self._records.evacuations(self.host, self._since):
            found[each.server].append(each)
        self._evacuations = found
        self._looked_at = began


def _time() -> float:
    return asyncio.get_running_loop().time()
