# SPDX-License-Identifier: Apache-2.0
"""Stands for the engine contract: a cloud in memory, and a real OpenStack in its lab."""

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from labs.openstack import Lab
from tests.engines.openstack.double import Double

from billow.act.clock import SystemClock
from billow.engines.openstack.cloud import Cloud
from billow.engines.openstack.engine import OpenStackEngine
from billow.engines.openstack.open import engine_of
from billow.engines.openstack.transport import Transport, open_transport
from billow.errors import NotFound
from billow.model.instance import Instance
from billow.model.kinds import Power
from billow.model.shape import Shape
from billow.settings import Settings
from billow.testing.stand import EngineStand


class Switch(Protocol):
    """Who cuts and gives the power of hosts that are not really there."""

    def is_on(self, host: str) -> bool:
        """Return whether a host has power."""

    def cut(self, host: str) -> None:
        """End it at once, with all its guests."""

    def give(self, host: str) -> None:
        """Let it come up, and wait until Nova counts with it."""


class SwitchBmc:
    """Fulfils `billow.ports.Bmc` on a switch."""

    def __init__(self, switch: Switch, hosts: Sequence[str]) -> None:
        self._switch = switch
        self._hosts = hosts

    async def power(self, host: str) -> Power:
        on = await asyncio.to_thread(self._switch.is_on, self._known(host))
        return Power.ON if on else Power.OFF

    async def off(self, host: str) -> str:
        await asyncio.to_thread(self._switch.cut, self._known(host))
        return f"the switch of {host} read off twice"

    async def on(self, host: str) -> None:
        await asyncio.to_thread(self._switch.give, self._known(host))

    async def identity(self, host: str) -> str:
        return f"id-of-{self._known(host)}"

    def _known(self, host: str) -> str:
        if host not in self._hosts:
            raise NotFound(f"no management controller of {host}")
        return host


class OpenStackStand(EngineStand):
    """A cloud, and a state folder of its own.

    Attributes:
        small, large: Flavors of the cloud, as shapes.
    """

    small: Shape
    large: Shape

    def __init__(self, state: Path, hosts: Sequence[str], switch: Switch) -> None:
        self.clock = SystemClock()
        self.first, self.second = hosts[:2]
        self._bmc = SwitchBmc(switch, hosts)
        self.settings = Settings(
            engine="openstack",
            state_dir=state,
            allow_changes=True,
            cloud_network="none",
            cloud_shared_disks=True,
        )

    @abstractmethod
    def transport(self) -> Transport:
        """Return a new way to the cloud."""

    async def open(self) -> OpenStackEngine:
        cloud = Cloud(self.transport(), calls_at_once=16, calls_per_s=10_000)
        return engine_of(cloud, self.settings, self.clock, bmc=self._bmc)

    def instance(self, name: str, *, immovable: str = "") -> Instance:
        return Instance(name, self.small, image="tiny", immovable=immovable)

    def larger(self) -> Shape:
        return self.large

    def too_large(self) -> Shape:
        return Shape("vast", 1000, 2**24)


class DoubleStand(OpenStackStand):
    """The cloud in memory."""

    small = Shape("small", 1000, 1024)
    large = Shape("larger", 2000, 2048)

    def __init__(self, state: Path, double: Double) -> None:
        super().__init__(state, list(double.cloud.services), double.cloud)
        self.double = double

    def transport(self) -> Transport:
        return self.double


class LabStand(OpenStackStand):
    """A real OpenStack."""

    small = Shape("1c1g", 1000, 1024)
    large = Shape("2c4g", 2000, 4096)

    def __init__(self, state: Path, lab: Lab) -> None:
        super().__init__(state, lab.hosts, LabSwitch(lab))
        self.lab = lab

    def transport(self) -> Transport:
        return open_transport(self.lab.environment["OS_CLOUD"], 16)


class LabSwitch:
    """The power of a lab's hosts."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def is_on(self, host: str) -> bool:
        return host in self._lab.computes.alive()

    def cut(self, host: str) -> None:
        self._lab.power_cut(host)

    def give(self, host: str) -> None:
        self._lab.start(host)
