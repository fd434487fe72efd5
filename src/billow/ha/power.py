# SPDX-License-Identifier: Apache-2.0
"""Know whether suspected hosts have power: their management controllers are asked again and again.

Only hosts that somebody doubts are asked, so a fleet that is well costs nothing. Slow answers are
normal; an answer that does not come says nothing.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from billow.errors import BillowError, NotFound
from billow.model.kinds import Power
from billow.ports import Bmc, Clock

EVERY_S: Final = 1.0
PATIENCE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class _Read:
    """The last reading, when it was asked for, and the first of those in a row that say so."""

    power: Power
    at: float
    since: float


class PowerWatch:
    """What the management controllers of doubted hosts say."""

    def __init__(self, bmc: Bmc, clock: Clock) -> None:
        self._bmc = bmc
        self._clock = clock
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._read: dict[str, _Read] = {}

    def watch(self, hosts: Iterable[str]) -> None:
        """Ask these from now on, and no others."""
        wanted = set(hosts)
        for host in self._asking.keys() - wanted:
            self._asking.pop(host).cancel()
            self._read.pop(host, None)
        for host in wanted - self._asking.keys():
            self._asking[host] = asyncio.create_task(self._ask(host), name=f"power of {host}")

    def reading(self, host: str, since: float) -> tuple[Power, float]:
        """Return what was read after an instant and since when it reads so; or UNKNOWN, 0."""
        read = self._read.get(host)
        if read is None or read.at <= since:
            return Power.UNKNOWN, 0.0
        return read.power, read.since

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
            before = self._read.get(host)
            same = before is not None and before.power is power
            self._read[host] = _Read(power, began, before.since if before and same else began)
            await self._clock.sleep(EVERY_S)


class NoBmc:
    """No management controller is known of any host."""

    async def power(self, host: str) -> Power:
        """Raise NotFound."""
        raise _unknown(host)

    async def off(self, host: str) -> str:
        """Raise NotFound."""
        raise _unknown(host)

    async def on(self, host: str) -> None:
        """Raise NotFound."""
        raise _unknown(host)

    async def identity(self, host: str) -> str:
        """Raise NotFound."""
        raise _unknown(host)


def _unknown(host: str) -> NotFound:
    return NotFound(
        f"no management controller of {host} is known",
        fix="name it in bmc.toml, and add its engine to BILLOW_ENGINE",
    )
