# SPDX-License-Identifier: Apache-2.0
"""A small pool of real libvirtd hosts for the tests."""

import contextlib
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from labs.libvirt.lab import PEER_URI, Lab, LabHost

from billow.act.clock import SystemClock
from billow.engines.libvirt.address import address_of
from billow.engines.libvirt.engine import LibvirtEngine
from billow.engines.libvirt.line import Fault
from billow.engines.libvirt.open import firmware, open_engine
from billow.engines.libvirt.wire import Api, connect
from billow.engines.libvirt.words import Domain
from billow.firmware.control import ADDRESS, Orders, encode
from billow.model.instance import Instance
from billow.model.shape import Shape
from billow.settings import Settings
from billow.testing.stand import EngineStand


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


def busy_xml(lab: Lab, name: str, orders: Sequence[Orders], *, memory_mib: int, kvm: bool) -> str:
    """Return a machine as somebody else would have made it, one vCPU for each order."""
    (lab.shared / "firmware.bin").write_bytes(firmware())
    control = lab.shared / f"{name}-orders.bin"
    control.write_bytes(encode(orders, memory_mib))
    ring = "<kvm><dirty-ring state='on' size='1024'/></kvm>" if kvm else ""
    return f"""\
<domain type='{"kvm" if kvm else "qemu"}' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name><memory unit='MiB'>{memory_mib}</memory><vcpu>{len(orders)}</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type>
    <loader type='rom'>{lab.shared}/firmware.bin</loader></os>
  <features><acpi/>{ring}</features>
  <devices><controller type='usb' model='none'/><serial type='pty'/><memballoon model='none'/>
  </devices>
  <qemu:commandline><qemu:arg value='-device'/>
    <qemu:arg value='loader,file={control},addr={ADDRESS:#x},force-raw=on'/></qemu:commandline>
</domain>"""


async def work_of(api: Api, domain: Domain) -> int:
    """Return how much a machine's first vCPU has done since it was started."""
    ask = {"command-line": f"xp /1gx {ADDRESS:#x}"}
    said = await api.ask_qemu(domain, "human-monitor-command", ask)
    return int(str(said).split(":")[1], 16)


@contextlib.contextmanager
def shaped(lab: Lab, rate: str) -> Iterator[None]:
    """Let the lab's links carry so much only, while the context lasts."""
    shape = ("root", "tbf", "rate", rate, "burst", "64kb", "latency", "100ms")
    for host in lab.hosts:
        _qdisc(host, "replace", *shape)
    try:
        yield
    finally:
        for host in lab.hosts:
            _qdisc(host, "del", "root")


def _qdisc(host: LabHost, verb: str, *words: str) -> None:
    enter = ("nsenter", f"--net=/run/netns/{host.netns}")
    subprocess.run([*enter, "tc", "qdisc", verb, "dev", "eth0", *words], check=True)
