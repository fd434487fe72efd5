# SPDX-License-Identifier: Apache-2.0
"""Send agents new certificates before theirs end, over their own lines. No person does anything."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from billow.errors import Unavailable
from billow.ha.enrol import Enrolment, Signed
from billow.model.ha.evidence import NETWORKS
from billow.ports import Commander

EVERY_S: Final = 3600.0
"""How often it is seen whose certificate ends soon."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Renewing:
    """Renews the papers of agents, and this controller's own."""

    enrolment: Enrolment
    commander: Commander
    prove: Callable[[], None]

    async def turn(self) -> None:
        """Renew what ends soon; an agent that cannot be told is told at another turn.

        This controller's own papers are renewed likewise, and shown to those who come from then on.
        """
        await asyncio.to_thread(self.enrolment.papers)
        self.prove()
        due = await asyncio.to_thread(self.enrolment.due)
        for host, signed in due.items():
            if await self._told(host, signed):
                await asyncio.to_thread(self.enrolment.taken, host, signed)
            else:
                log.warning("an agent did not take its new papers", host=host)

    async def _told(self, host: str, signed: Signed) -> bool:
        """Return whether an agent has taken its certificate, over any of its lines."""
        order = {"do": "papers", "certificate": signed.certificate, "ca": signed.ca}
        for network in NETWORKS:
            try:
                if (await self.commander.order(host, network, order)).get("ok") is True:
                    return True
            except Unavailable:
                continue
        return False
