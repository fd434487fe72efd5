# SPDX-License-Identifier: Apache-2.0
"""Power by IPMI, as `billow.act.power.line.Line`: six requests of the specification."""

import asyncio
from time import monotonic
from typing import Final
from uuid import UUID

from billow.act.power.inventory import Controller
from billow.act.power.line import Reading
from billow.engines.ipmi.tool import COMPLETION, Request, Tool
from billow.errors import Refused, Unavailable
from billow.model.kinds import Power

_STATUS: Final = Request(0x00, 0x01)
_GUID: Final = Request(0x06, 0x37)
_CUT, _GIVE, _SHUT = (Request(0x00, 0x02, (how,)) for how in (0, 1, 5))
_POLICIES: Final = {"always-off": 0, "previous": 1, "always-on": 2}
_KEEP_FLAGS: Final = Request(0x00, 0x08, (3, 0x1F))
_SETUP: Final = Request(0x00, 0x08, (5, 0xC0, 6 << 2, 0, 0, 0))
_USUAL: Final = Request(0x00, 0x08, (5, 0x80, 0, 0, 0, 0))
_STATE: Final = f"{COMPLETION}d5"
"""Not supported in the present state: off already, or on already."""
_IS_ON: Final = 1
_WHO_S: Final = 10.0
"""How long an address is taken for the same machine's: each question takes seconds there."""
_GUID_BYTES: Final = 16


class IpmiLine:
    """One controller over one path."""

    def __init__(self, controller: Controller, path: str) -> None:
        """Name it; nothing is sent yet."""
        self._controller = controller
        self._tool = Tool(controller, path)
        self._who, self._who_at = "", -_WHO_S
        self._asking = asyncio.Lock()

    async def read(self) -> Reading:
        """Return power and identity; who it is, is kept for seconds only."""
        (status,), who = await asyncio.gather(self._tool.ask(_STATUS), self._identity())
        if not status:
            raise Unavailable(f"the IPMI controller of {self._controller.host} answered half")
        return Reading(Power.ON if status[0] & _IS_ON else Power.OFF, (who,))

    async def _identity(self) -> str:
        """Return the system's UUID, asked for once by all who want it at the same time."""
        async with self._asking:
            began = monotonic()
            if began - self._who_at >= _WHO_S:
                (guid,) = await self._tool.ask(_GUID)
                if len(guid) != _GUID_BYTES:
                    host = self._controller.host
                    raise Unavailable(f"the IPMI controller of {host} answered half")
                self._who, self._who_at = str(UUID(bytes_le=guid)), began
            return self._who

    async def cut(self) -> None:
        """Order its power off at once."""
        await self._order(_CUT)

    async def ask_off(self) -> None:
        """Ask its operating system to shut down, by ACPI."""
        await self._order(_SHUT)

    async def give(self) -> None:
        """Order its power on."""
        await self._order(_GIVE)

    async def bar(self) -> tuple[str, ...]:
        """Let it stop in its firmware's setup, and stay off when mains power returns."""
        policy = Request(0x00, 0x06, (_POLICIES["always-off"],))
        return await self._set(("restore policy", policy), ("boot override", _KEEP_FLAGS, _SETUP))

    async def unbar(self) -> tuple[str, ...]:
        """Let it boot as it is set up, and do what it should when mains power returns."""
        policy = Request(0x00, 0x06, (_POLICIES[self._controller.restore],))
        return await self._set(("boot override", _USUAL), ("restore policy", policy))

    async def aclose(self) -> None:
        """Hold nothing: a session is as long as a call."""

    async def _order(self, request: Request) -> None:
        try:
            await self._tool.ask(request)
        except Refused as denied:
            if denied.code != _STATE:
                raise

    async def _set(self, *what: tuple[str, *tuple[Request, ...]]) -> tuple[str, ...]:
        """Set each as far as the controller can; return what it cannot."""
        lacks = []
        for name, *requests in what:
            try:
                await self._tool.ask(*requests)
            except Refused as denied:
                lacks.append(f"{name} not set: {'; '.join(denied.details)}")
        return tuple(lacks)
