# SPDX-License-Identifier: Apache-2.0
"""An OpenStack cloud as an engine. What it does is in `verbs`; how it is asked, in `act`."""

from collections.abc import Mapping, Sequence

from billow.act.performer import Cancelling, Performer
from billow.engines.openstack.choose import choose
from billow.engines.openstack.cloud import Cloud
from billow.engines.openstack.verbs import VERBS, OpenStackCraft
from billow.model.action import Action
from billow.model.instance import Instance
from billow.model.pool import Pool


class OpenStackEngine(Cancelling):
    """Fulfils Engine, Canceller, Registrar and Scheduler. Open it with `open.open_engine`."""

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

    async def choose(self, requests: Sequence[Instance]) -> Mapping[str, str]:
        """Return where Placement would put new servers. Raises as `act.scheduler.Scheduler`."""
        await self._craft.look()
        return await choose(self._cloud, self._craft.sight, requests)

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
