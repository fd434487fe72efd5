# SPDX-License-Identifier: Apache-2.0
"""The verbs of recovery: which part does what of a host's death and of its return."""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from billow.engines.openstack.cloud import Cloud
from billow.engines.openstack.nova import Nova
from billow.engines.openstack.recover import evacuate, hosts, machines
from billow.engines.openstack.recover.metal import Metal
from billow.engines.openstack.recover.records import Records
from billow.engines.openstack.recover.scene import Scene, ServerOf
from billow.engines.openstack.recover.survey import Survey
from billow.errors import Bug
from billow.model.action import Action, Evacuate, Fence, PowerOff, PowerOn, Repair
from billow.model.pool import Pool
from billow.model.run import Progress
from billow.ports import Blocker, Bmc, Clock

VERBS: Final[frozenset[type[Action]]] = frozenset({Fence, Evacuate, PowerOn, PowerOff, Repair})


@dataclass(frozen=True, slots=True)
class Recovery:
    """What the engine does when hosts die and come back; fulfils `act.registrar.Registrar`."""

    scene: Scene
    survey: Survey

    @classmethod
    def of(
        cls,
        cloud: Cloud,
        *,
        server: ServerOf,
        clock: Clock,
        folder: Path,
        bmc: Bmc | None = None,
        metal: Metal | None = None,
    ) -> "Recovery":
        """Return the recovery of a cloud.

        Args:
            cloud: Where it is asked.
            server: Who knows which server an instance is.
            clock: The only source of time.
            folder: Where tries are written down.
            bmc: Who turns hosts off and on, with proof.
            metal: Who turns those of them that are machines of Ironic's.
        """
        scene = Scene(Nova(cloud), Records(cloud), server, clock, folder, bmc, metal)
        return cls(scene, Survey(cloud, clock))

    async def blockers(
        self, action: Action, under_way: Sequence[Action], pool: Pool | None
    ) -> list[Blocker]:
        """Return why an action must not be done; asks Nova once for all guests of one host."""
        if isinstance(action, Evacuate):
            return await evacuate.blockers(self.scene, action, pool)
        coming = [each.subject for each in under_way if set(action.hosts) & set(each.hosts)]
        if isinstance(action, Fence | PowerOn | PowerOff) and (metal := await self._metal(action)):
            return await machines.blockers(metal, action, coming)
        if isinstance(action, PowerOff):
            found = await hosts.guest_blockers(self.scene, action, coming)
            return found or await hosts.power_blockers(self.scene, action)
        if isinstance(action, Fence | PowerOn):
            return await hosts.power_blockers(self.scene, action)
        if isinstance(action, Repair):
            return await self._unknown(action.host)
        raise Bug(f"{action.name} is no verb of recovery")

    async def do(self, action: Action) -> AsyncGenerator[Progress, None]:
        """Do an action; yield how far it is. After an error, `mend` puts things right."""
        async with contextlib.aclosing(self._doing(action)) as doing:
            async for progress in doing:
                yield progress

    async def mend(self, action: Action) -> bool:
        """Bring what somebody left half-way to its end; return whether it is achieved.

        Raises:
            BillowError: it cannot be said yet; try again.
        """
        if isinstance(action, Evacuate):
            return await evacuate.mend(self.scene, action)
        host = action.hosts[0]
        if isinstance(action, Fence | PowerOn | PowerOff) and (metal := await self._metal(action)):
            return await machines.mend(metal, action)
        if isinstance(action, Repair):
            return not [it for it in await self.survey.ailments() if it.heals_on(host)]
        if isinstance(action, PowerOn):
            return await hosts.is_on(self.scene, host)
        return await hosts.went_off(self.scene, host)

    async def mark_dead(self, host: str, why: str) -> None:
        """Tell Nova that a host is dead, which is proved. Raises NotFound, Unavailable.

        Of a machine of Ironic's there is nothing to tell: it is looked at anew.
        """
        if not await self._is_machine(host):
            await hosts.mark_dead(self.scene, host, why)

    async def mark_alive(self, host: str) -> None:
        """Let a host count again that is back and cleaned. Raises Refused: it is not yet."""
        if not await self._is_machine(host):
            await hosts.mark_alive(self.scene, host)

    def _doing(self, action: Action) -> AsyncGenerator[Progress, None]:
        if isinstance(action, Evacuate):
            return evacuate.evacuate(self.scene, action)
        if isinstance(action, Fence | PowerOn | PowerOff):
            return self._turning(action)
        if isinstance(action, Repair):
            return self.survey.repair(action.host)
        raise Bug(f"{action.name} is no verb of recovery")

    async def _turning(self, action: Fence | PowerOn | PowerOff) -> AsyncGenerator[Progress, None]:
        """Turn a host by Ironic where it is one of its machines, else by its controller."""
        if metal := await self._metal(action):
            turning = machines.turn(metal, action)
        elif isinstance(action, PowerOn):
            turning = hosts.power_on(self.scene, action)
        else:
            turning = hosts.fence(self.scene, action)
        async with contextlib.aclosing(turning):
            async for progress in turning:
                yield progress

    async def _unknown(self, host: str) -> list[Blocker]:
        """Return that neither Ironic nor Nova knows a host, when it is so."""
        metal = self.scene.metal
        known = metal is not None and await metal.has(host)
        return [] if known else await hosts.unknown_blockers(self.scene, host)

    async def _metal(self, action: Fence | PowerOn | PowerOff) -> Metal | None:
        """Return Ironic, where it is its business to turn a host; None where it is not."""
        metal = self.scene.metal
        return metal if metal is not None and await metal.has(action.host) else None

    async def _is_machine(self, host: str) -> bool:
        """Return whether a host is a machine of Ironic's; then its power has just been changed."""
        metal = self.scene.metal
        if metal is None or not await metal.has(host):
            return False
        metal.changed()
        return True
