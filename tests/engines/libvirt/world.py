# SPDX-License-Identifier: Apache-2.0
"""A small pool of real libvirtd hosts for the tests."""

import contextlib
from collections.abc import Iterable
from pathlib import Path

from labs.libvirt.lab import Lab, LabHost

from billow.act.clock import SystemClock
from billow.engines.libvirt.address import address_of
from billow.engines.libvirt.engine import LibvirtEngine
from billow.engines.libvirt.line import Fault
from billow.engines.libvirt.open import open_engine
from billow.engines.libvirt.wire import Api, connect
from billow.model.instance import Instance
from billow.model.shape import Shape
from billow.settings import Settings
from billow.testing.stand import EngineStand

PEER_URI = "qemu+tcp://{host}/system"


class LibvirtStand(EngineStand):
    """The lab's hosts, and a state folder of its own."""

    def __init__(self, lab: Lab, state: Path) -> None:
        self.clock = SystemClock()
        self.lab = lab
        self.state = state
        self.first, self.second = (host.name for host in lab.hosts[:2])

    @property
    def settings(self) -> Settings:
        """How Billow is told of the lab."""
        return Settings(
            engine="libvirt",
            state_dir=self.state,
            libvirt_uris=tuple(host.uri for host in self.lab.hosts),
            libvirt_peer_uri=PEER_URI,
            migration_tls=False,
        )

    async def open(self) -> LibvirtEngine:
        return await open_engine(self.settings, self.clock)

    def instance(self, name: str, *, immovable: str = "") -> Instance:
        return Instance(name, Shape("small", 100, 32), immovable=immovable)

    def larger(self) -> Shape:
        return Shape("larger", 200, 48)

    def too_large(self) -> Shape:
        return Shape("vast", 100, 2**24)


async def direct(host: LabHost) -> Api:
    """Connect with a host of the lab, past every engine."""
    return await connect(address_of(host.uri, ""))


async def clear(hosts: Iterable[LabHost]) -> None:
    """Remove every machine from hosts."""
    for host in hosts:
        api = await direct(host)
        for domain in await api.domains():
            if domain.number >= 0:
                with contextlib.suppress(Fault):
                    await api.destroy(domain)
            with contextlib.suppress(Fault):  # a transient one is gone by now
                await api.undefine(domain)
        await api.close()
