# SPDX-License-Identifier: Apache-2.0
"""This machine's QEMU as an engine. What it does is in `verbs`; how it is asked, in `act`."""

from billow.act.deed import Deeds
from billow.act.durable import turn
from billow.act.performer import Cancelling, Performer
from billow.engines.qemu.assess import assess, weigh
from billow.engines.qemu.ground import Ground
from billow.engines.qemu.process import any_process
from billow.engines.qemu.serial import trim
from billow.engines.qemu.verbs import VERBS, QemuCraft
from billow.model.action import Action, Throttle
from billow.model.assessment import Assessment, Guest
from billow.model.pool import Pool


class QemuEngine(Cancelling):
    """Fulfils the ports Engine, Canceller, Assessor and Weigher. `open.open_engine` opens it."""

    def __init__(self, craft: QemuCraft, deeds: Deeds) -> None:
        self._craft = craft
        self._deeds = deeds
        self._performer = Performer("qemu", craft, deeds)

    @property
    def name(self) -> str:
        """The engine's name in settings and messages."""
        return "qemu"

    @property
    def verbs(self) -> frozenset[type[Action]]:
        """What it can perform."""
        return VERBS if self.ground.groups.limits else VERBS - {Throttle}

    @property
    def ground(self) -> Ground:
        """What this machine can do, and its records."""
        return self._craft.ground

    async def sense(self) -> Pool:
        """Return the pool as it is now; serial logs that grew too long are cut on the way."""
        ledger = self.ground.ledger
        for name in ledger.instances():
            trim(ledger.folder.volume(name).serial)
        busy = {each.subject.partition("/")[2] for each in self._performer.under_way}
        await self._craft.sight.ask(busy)
        return self._craft.sight.pool(self._craft.clock.now())

    async def assess(self, instance: str, target: str) -> Assessment:
        """Measure an instance and its link to a host. Raises as `billow.ports.Assessor` says."""
        under_way, now = self._performer.under_way, self._craft.clock.now()
        return await assess(self.ground, instance, target, under_way, now)

    async def weigh(self, instance: str) -> Guest:
        """Measure what there is to copy of an instance. Raises as `billow.ports.Weigher` says."""
        return await weigh(self.ground, instance)

    async def aclose(self) -> None:
        """Let go: instances run on, and actions under way are left to the next engine.

        The last one to go takes the hosts' network along, unless an instance runs in it.
        """
        await self._performer.rest()
        ledger = self.ground.ledger
        async with turn(ledger.folder.network):
            if self._deeds.is_last() and not any_process(ledger):
                await self.ground.network.tear_down()
                await self.ground.groups.tear_down()
            self._deeds.close()
