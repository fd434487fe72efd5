# SPDX-License-Identifier: Apache-2.0
"""A cloud in memory with machines of Ironic's, and what turns them."""

from pathlib import Path

from tests.engines.openstack.double import Double
from tests.engines.openstack.ironic import OFF, machine
from tests.engines.openstack.memory import Machine

from billow.act.clock import SystemClock
from billow.act.power.records import Identities
from billow.engines.openstack.cloud import Cloud
from billow.engines.openstack.engine import OpenStackEngine
from billow.engines.openstack.open import engine_of
from billow.engines.openstack.recover.metal import Metal
from billow.engines.openstack.sight import Sight
from billow.engines.openstack.transport import Transport
from billow.model.action import Fence, PowerOff, PowerOn
from billow.ports import Bmc
from billow.settings import Settings
from billow.testing.bmc_contract import BmcStand, Trouble

HOST = "m1"
OFF_IT, ON_IT, FENCE = (
    PowerOff(id="p", host=HOST), PowerOn(id="o", host=HOST), Fence(id="f", host=HOST),
)  # fmt: skip


def cloud_of(transport: Transport) -> Cloud:
    return Cloud(transport, calls_at_once=4, calls_per_s=10_000)


class MetalStand(BmcStand):
    """Two machines of an Ironic in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.double = Double()
        for name in (self.first, self.second):
            machine(self.double.cloud, name)
        self._clouds: dict[int, Cloud] = {}

    async def open(self) -> Metal:
        cloud, clock = cloud_of(self.double), SystemClock()
        opened = Metal(cloud, Sight(cloud, clock), clock, Identities(self._folder))
        self._clouds[id(opened)] = cloud
        return opened

    async def close(self, bmc: Bmc) -> None:
        await self._clouds.pop(id(bmc)).aclose()

    async def powered(self, host: str) -> bool:
        self.double.cloud.advance()
        return self.double.cloud.machines[host].on

    async def strike(self, host: str, trouble: Trouble) -> None:
        found = self.double.cloud.machines[host]
        if trouble is Trouble.SWAPPED:
            seen = await self.open()
            await seen.power(host)  # while it is healthy: Ironic is its own witness
            await self.close(seen)
            found.extra = {"serial_number": "another"}
        found.silent = trouble is Trouble.DEAD
        found.slow_s = 1.1 * (trouble is Trouble.SLOW)

    async def darken(self, host: str) -> None:
        found = self.double.cloud.machines[host]
        found.on, found.power = False, OFF


class Stage:
    """A cloud in memory with one machine, and engines on it."""

    def __init__(self, folder: Path) -> None:
        self.double = Double()
        self.machine: Machine = machine(self.double.cloud, HOST)
        self._folder = folder
        self._open: list[OpenStackEngine] = []

    def engine(self, transport: Transport | None = None) -> OpenStackEngine:
        settings = Settings(engine="openstack", state_dir=self._folder, allow_changes=True)
        opened = engine_of(cloud_of(transport or self.double), settings, SystemClock())
        self._open.append(opened)
        return opened

    def metal(self) -> Metal:
        cloud, clock = cloud_of(self.double), SystemClock()
        return Metal(cloud, Sight(cloud, clock), clock, Identities(self._folder))

    def asked(self, method: str, service: str = "baremetal") -> list[str]:
        found = [
            each for each in self.double.sent if (each.method, each.service) == (method, service)
        ]
        return [each.path for each in found]

    async def close(self) -> None:
        for each in self._open:
            await each.aclose()
