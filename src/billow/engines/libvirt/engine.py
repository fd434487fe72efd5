# SPDX-License-Identifier: Apache-2.0
"""Hosts that run libvirt as an engine. What it does is in `verbs`; how it is asked, in `act`."""

from collections.abc import AsyncIterator, Sequence

from billow.act.performer import Performer
from billow.engines.libvirt.verbs import VERBS, LibvirtCraft
from billow.model.action import Action
from billow.model.pool import Pool
from billow.model.run import Progress
from billow.ports import Blocker, Trace


class LibvirtEngine:
    """Fulfils `billow.ports.Engine` and `Canceller`. Open it with `open.open_engine`."""

    def __init__(self, craft: LibvirtCraft, performer: Performer) -> None:
        self._craft = craft
        self._performer = performer

    @property
    def name(self) -> str:
        """The engine's name in settings and messages."""
        return "libvirt"

    @property
    def verbs(self) -> frozenset[type[Action]]:
        """What it can perform."""
        return VERBS

    async def sense(self) -> Pool:
        """Return the pool as it is now; a host that does not answer is a gap."""
        return await self._craft.look()

    async def blockers(self, action: Action) -> Sequence[Blocker]:
        """Return why the action must not be performed now."""
        return await self._performer.blockers(action)

    async def perform(self, action: Action, *, fence: int) -> AsyncIterator[Progress]:
        """Do an action, or join the one with its id; yield how far it is."""
        async for progress in self._performer.perform(action, fence=fence):
            yield progress

    async def find(self, action_id: str) -> Trace:
        """Return what became of an action; one that nobody does any more is brought to its end."""
        return await self._performer.find(action_id)

    async def cancel(self, action_id: str) -> None:
        """Take back a move under way. Raises as `billow.ports.Canceller` says."""
        await self._performer.cancel(action_id)

    async def aclose(self) -> None:
        """Let go: instances run on, and moves under way are left to the next engine."""
        await self._performer.aclose()
        await self._craft.fleet.close()
