# SPDX-License-Identifier: Apache-2.0
"""Know whether suspected hosts have power: their management controllers are asked again and again.

Only hosts that somebody doubts are asked, so a fleet that is well costs nothing. Slow answers are
normal; an answer that does not come says nothing.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from billow.errors import BillowError
from billow.model.kinds import Power
from billow.ports import Bmc, Clock

EVERY_S: Final = 1.0
PATIENCE_S: Final = 10.0


class PowerWatch:
    """What the management controllers of doubted hosts say."""

    def __init__(self, bmc: Bmc, clock: Clock) -> None:
        self._bmc = bmc
        self._clock = clock
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._read: dict[str, tuple[float, Power]] = {}

    def watch(self, hosts: Iterable[str]) -> None:
        """Ask these from now on, and no others."""
        wanted = set(hosts)
        for host in self._asking.keys() - wanted:
            self._asking.pop(host).cancel()
            self._read.pop(host, None)
        for host in wanted - self._asking.keys():
            self._asking[host] = asyncio.create_task(self._ask(host), name=f"power of {host}")

    def reading(self, host: str, since: float) -> Power:
        """Return what was read after an instant; UNKNOWN when nothing was."""
        at, power = self._read.get(host, (0.0, Power.UNKNOWN))
        return power if at > since else Power.UNKNOWN

    async def aclose(self) -> None:
        """Ask nobody any more."""
        tasks = list(self._asking.values())
        self.watch(())
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, host: str) -> None:
        while True:
            began = self._clock.now()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    power = await self._bmc.power(host)
            except (BillowError, TimeoutError):
                power = Power.UNKNOWN
            self._read[host] = (began, power)
            await self._clock.sleep(EVERY_S)
