# SPDX-License-Identifier: Apache-2.0
"""An OpenStack cloud as an engine. What it does is in `verbs`; how it is asked, in `act`."""

from collections.abc import AsyncIterator, Sequence

from billow.act.performer import Performer
from billow.engines.openstack.cloud import Cloud
from billow.engines.openstack.verbs import VERBS, OpenStackCraft
from billow.model.action import Action
from billow.model.pool import Pool
from billow.model.run import Progress
from billow.ports import Blocker, Trace


class OpenStackEngine:
    """Fulfils the ports Engine, Canceller and Registrar. Open it with `open.open_engine`."""

    def __init__(self, cloud: Cloud, craft: OpenStackCraft, performer: Performer) -> None:
        self._cloud = cloud
        self._craft = craft
        self._performer = performer

    @property
    def name(self) -> str:
        """The engine's name in settings and messages."""
        return "openstack"

    @property
    def verbs(self) -> frozenset[type[Action]]:
        """What it can perform."""
        return VERBS

    async def sense(self) -> Pool:
        """Return the cloud as it is now; what it does not say is a gap."""
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

    async def mark_dead(self, host: str, why: str) -> None:
        """Let Nova count a host as dead. Raises as `act.registrar.Registrar` says."""
        await self._craft.recovery.mark_dead(host, why)

    async def mark_alive(self, host: str) -> None:
        """Let Nova count a host again. Raises as `act.registrar.Registrar` says."""
        await self._craft.recovery.mark_alive(host)

    async def aclose(self) -> None:
        """Let go: servers run on, and what Nova has under way is left to it."""
        await self._performer.aclose()
        await self._craft.sight.aclose()
        await self._cloud.aclose()
