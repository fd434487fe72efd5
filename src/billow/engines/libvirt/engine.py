# SPDX-License-Identifier: Apache-2.0
"""Hosts that run libvirt as an engine. What it does is in `verbs`; how it is asked, in `act`."""

import math
from collections.abc import AsyncIterator, Sequence

from billow.act.performer import Performer
from billow.engines.libvirt.assess import Question, assess
from billow.engines.libvirt.verbs import VERBS, LibvirtCraft
from billow.errors import Invalid, NotFound
from billow.model.action import Action
from billow.model.assessment import Assessment
from billow.model.kinds import MigrationPolicy
from billow.model.pool import Pool
from billow.model.run import Progress
from billow.ports import Blocker, Trace


class LibvirtEngine:
    """Fulfils the ports Engine, Canceller and Assessor. Open it with `open.open_engine`."""

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

    async def assess(self, instance: str, target: str) -> Assessment:
        """Measure an instance for a move. Raises as `billow.ports.Assessor` says."""
        craft = self._craft
        await craft.look()
        there = craft.sight.found.get(instance)
        if there is None:
            raise NotFound(f"there is no instance {instance} that could be measured")
        if there.host == target:
            raise Invalid(f"{instance} is on {target} already", fix="name another host")
        described = there.machine.description
        question = Question(
            instance=instance,
            there=there,
            target=target,
            downtime_s=craft.terms.downtime_s,
            policy=described.instance.migration if described else MigrationPolicy.BALANCED,
            carried_mib_s=craft.carried.get((there.host, target), math.nan),
        )
        return await assess(await craft.fleet.api(there.host), question, craft.clock.now())

    async def aclose(self) -> None:
        """Let go: instances run on, and moves under way are left to the next engine."""
        await self._performer.aclose()
        await self._craft.fleet.close()
