# SPDX-License-Identifier: Apache-2.0
"""Know whether suspected hosts have power: their management controllers are asked again and again.

Only hosts that somebody doubts are asked, so a fleet that is well costs nothing; of those that are
only late with their beats a few, once. Slow answers are normal, so a second question does not wait
for them: two readings are what a proof takes. An answer that does not come says nothing.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from billow.errors import BillowError, NotFound
from billow.model.kinds import Power
from billow.ports import Bmc, Clock

EVERY_S: Final = 1.05
"""Between questions: two readings prove something when they are 1 s apart (`act.power`)."""
PATIENCE_S: Final = 10.0
_SIDE_BY_SIDE: Final = 2
_LATE_AT_ONCE: Final = 4
"""So many hosts that are only late are asked at one time: more is a network, or this machine."""
_LATE_EVERY_S: Final = 5.0
"""How often one is asked that is late again and again."""


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
        self._once: dict[str, asyncio.Task[Power]] = {}
        self._late_at: dict[str, float] = {}

    def watch(self, hosts: Iterable[str], late: Iterable[str] = ()) -> None:
        """Ask these from now on, and no others; of those that are late, a few, and once."""
        wanted = set(hosts)
        for host in self._asking.keys() - wanted:
            self._asking.pop(host).cancel()
            self._read.pop(host, None)
        for host in wanted - self._asking.keys():
            self._asking[host] = asyncio.create_task(self._ask(host), name=f"power of {host}")
        for host in late:
            self._ask_once(host)

    def reading(self, host: str, since: float) -> tuple[Power, float]:
        """Return what was read after an instant and since when it reads so; or UNKNOWN, 0."""
        read = self._read.get(host)
        if read is None or read.at <= since:
            return Power.UNKNOWN, 0.0
        return read.power, read.since

    async def aclose(self) -> None:
        """Ask nobody any more."""
        tasks: list[asyncio.Task[Any]] = [*self._asking.values(), *self._once.values()]
        self.watch(())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ask_once(self, host: str) -> None:
        """Ask a host that is late; whoever proves its death counts the answer, nobody else."""
        now = self._clock.now()
        lately = now - self._late_at.get(host, 0.0) < _LATE_EVERY_S
        if host in self._asking or lately or len(self._once) >= _LATE_AT_ONCE:
            return
        self._late_at[host] = now
        task = asyncio.create_task(self._power(host), name=f"power of {host}, which is late")
        self._once[host] = task
        task.add_done_callback(lambda _: self._once.pop(host, None))

    async def _ask(self, host: str) -> None:
        """Ask again and again; a slow answer keeps the next question waiting only for a while."""
        flights: set[asyncio.Task[None]] = set()
        wait_s = max(0.0, self._late_at.get(host, 0.0) + EVERY_S - self._clock.now())
        await self._clock.sleep(wait_s if host in self._once else 0.0)
        try:
            while True:
                if len(flights) < _SIDE_BY_SIDE:
                    flights.add(asyncio.create_task(self._note(host), name=f"power of {host}"))
                await self._clock.sleep(EVERY_S)
                flights = {each for each in flights if not each.done()}
        finally:
            for each in flights:
                each.cancel()
            await asyncio.gather(*flights, return_exceptions=True)

    async def _note(self, host: str) -> None:
        """Ask, and keep what was read; an answer to an older question changes nothing."""
        began = self._clock.now()
        power = await self._power(host)
        before = self._read.get(host)
        if before is not None and before.at > began:
            return
        same = before is not None and before.power is power
        self._read[host] = _Read(power, began, before.since if before and same else began)

    async def _power(self, host: str) -> Power:
        """Return what is read; UNKNOWN when no answer comes."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._bmc.power(host)
        except (BillowError, TimeoutError):
            return Power.UNKNOWN


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
