# SPDX-License-Identifier: Apache-2.0
"""Hosts that run libvirt as an engine. What it does is in `verbs`; how it is asked, in `act`."""

import math

from billow.act.performer import Cancelling, Performer
from billow.engines.libvirt.assess import Question, assess
from billow.engines.libvirt.verbs import VERBS, LibvirtCraft
from billow.errors import Invalid, NotFound
from billow.model.action import Action
from billow.model.assessment import Assessment
from billow.model.kinds import MigrationPolicy
from billow.model.pool import Pool


class LibvirtEngine(Cancelling):
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
