# SPDX-License-Identifier: Apache-2.0
"""Rehearse proof by power while nothing is wrong: read hourly, turn an empty host off and on.

A path that was never walked is found broken on the day when it is needed. Reading is harmless and
goes over every path; an exercise takes a host's power, and is done when a person says so. What
the sweep finds are rows 9, 10, 17 and 18 of the table: of hosts that are well nobody else asks.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Final, Protocol

from billow.errors import BillowError, Conflict, NotFound, Refused
from billow.model.ha.alarm import Alarm
from billow.model.ha.care import Drill
from billow.model.ha.incident import Method
from billow.model.ha.response import Severity
from billow.model.kinds import Power
from billow.ports import Bmc, Care, Clock, Outbox, Rehearsed

DUE_S: Final = 3600.0
TURN_S: Final = 60.0
"""How often `turn` is to be called."""
_AT_ONCE: Final = 16
_AT_MOST: Final = 200
"""Hosts of one turn: 12,000 in an hour, and never a burst of writing."""
_PATIENCE_S: Final = 60.0
_DAY_S: Final = 86_400.0


class Kept(Care, Outbox, Protocol):
    """Where it is kept how rehearsals went, and what people are told."""


class Rehearsal:
    """What keeps it known whether the death of each host could be proved by its power."""

    def __init__(
        self,
        bmc: Bmc,
        care: Kept,
        clock: Clock,
        hosts: Callable[[], Awaitable[Iterable[str]]],
        leads: Callable[[], bool],
        heard: Callable[[], Collection[str]] = tuple,
    ) -> None:
        """Rehearse while this controller leads.

        Args:
            bmc: Who reaches management controllers.
            care: Where it is kept how a rehearsal went, and people are told.
            clock: The only time.
            hosts: The pool's hosts, now.
            leads: Whether this controller is the one that rehearses.
            heard: The hosts whose agents are heard now.
        """
        self._heard = heard
        self._bmc, self._care, self._clock = bmc, care, clock
        self._hosts, self._leads = hosts, leads
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._without: dict[str, float] = {}

    async def turn(self) -> None:
        """Rehearse the hosts that were not for an hour. Raises what the keeper of records does."""
        if not self._leads():
            return
        now = self._clock.now()
        drills = {each.host: each.at for each in await self._care.drills() if _is_ours(each)}
        last = self._without | drills
        due = [host for host in await self._hosts() if now - last.get(host, 0.0) >= DUE_S]
        due.sort(key=lambda host: last.get(host, 0.0))
        await asyncio.gather(*(self._rehearse(host) for host in due[:_AT_MOST]))

    async def drill(self, host: str, residents: Sequence[str]) -> Drill:
        """Turn an empty host off, prove it, and let it return; return how that went.

        Raises:
            Conflict: something runs there.
            NotFound: it has no management controller that is known.
        """
        if residents:
            raise Conflict(
                f"{host} is not empty",
                tuple(residents[:8]),
                "evacuate it first, and keep it cordoned",
            )
        return await self._kept(host, lambda: self._off_and_on(host))

    async def _off_and_on(self, host: str) -> str:
        proof = await self._bmc.off(host)
        await self._bmc.on(host)
        return f"{proof}; then it was turned on again"

    async def _rehearse(self, host: str) -> None:
        async with self._room:
            try:
                await self._kept(host, lambda: self._read(host))
            except NotFound:
                self._without[host] = self._clock.now()  # it has none: that is no failure

    async def _read(self, host: str) -> str:
        """Read over every path. Raises Refused when that cannot be true, and what `Bmc` does."""
        async with asyncio.timeout(_PATIENCE_S):
            power = await self._bmc.power(host)
            if power is Power.OFF and host in self._heard():
                fix = "mend bmc.toml; until then nothing is proved by it"
                raise Refused(
                    f"it says off while {host} is heard: another host's, or it lies", (), fix
                )
            if isinstance(self._bmc, Rehearsed):
                return await self._bmc.rehearse(host)
            return f"reads {power}"

    async def _kept(self, host: str, work: Callable[[], Awaitable[str]]) -> Drill:
        """Do it, and keep how it went. Raises NotFound."""
        began = self._clock.now()
        try:
            ok, text = True, await work()
        except NotFound:
            raise
        except (BillowError, TimeoutError) as error:
            ok, text = False, str(error) or "no answer in time"
        took_s = self._clock.now() - began
        drill = Drill(host=host, method=Method.BMC, ok=ok, at=began, took_s=took_s, text=text)
        await self._care.record_drill(drill)
        if not ok:
            await self._care.add_alarm(_alarm(drill))
        return drill


def _alarm(drill: Drill) -> Alarm:
    """Return what people are told of a way to a proof that is lost: once a day."""
    return Alarm(
        key=f"drill/{drill.host}/{int(drill.at // _DAY_S)}",
        severity=Severity.WARNING,
        text=f"the death of {drill.host} could not be proved by its power: {drill.text}",
        at=drill.at,
        host=drill.host,
    )


def _is_ours(drill: Drill) -> bool:
    return drill.method is Method.BMC
