# SPDX-License-Identifier: Apache-2.0
"""A small pool of real QEMU machines for the tests, and what is left of it on this machine."""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from billow.act.clock import SystemClock
from billow.act.terms import Terms
from billow.engines.qemu.engine import QemuEngine
from billow.engines.qemu.folder import StateFolder
from billow.engines.qemu.groups import Groups
from billow.engines.qemu.ledger import Ledger
from billow.engines.qemu.lifecycle import boot
from billow.engines.qemu.machine import Firmware
from billow.engines.qemu.monitor import talk
from billow.engines.qemu.network import Network
from billow.engines.qemu.open import PoolPlan, Rules, open_pool, tag_of
from billow.engines.qemu.probe import Findings
from billow.engines.qemu.process import kill
from billow.engines.qemu.record import HostPlan, Resident, Role, Stage
from billow.engines.qemu.translate import record_of
from billow.firmware.control import ADDRESS, PAGE, WORDS, Answer, Orders, decode, encode
from billow.firmware.image import unpack
from billow.model.action import Place
from billow.model.host import Node
from billow.model.instance import Instance
from billow.model.kinds import Service, State
from billow.model.shape import Shape
from billow.testing.stand import EngineStand


class QemuStand(EngineStand):
    """Two hosts of this machine in a state folder of their own."""

    def __init__(self, root: Path, findings: Findings) -> None:
        self.clock = SystemClock()
        self.first, self.second = "h1", "h2"
        self.folder = StateFolder(root)
        self.findings = findings
        node = Node(cpu_milli=4000, memory_mib=2048)
        hosts = (self.first, self.second)
        plans = [HostPlan(name=name, number=n, nodes=(node,)) for n, name in enumerate(hosts, 1)]
        self.plan = PoolPlan(pool="test", hosts=tuple(plans))

    async def open(self) -> QemuEngine:
        return await self.open_under(Terms())

    async def open_under(self, terms: Terms) -> QemuEngine:
        """Open the pool with terms of its own."""
        rules = Rules(terms=terms)
        return await open_pool(self.folder, self.plan, self.findings, self.clock, rules)

    def instance(self, name: str, *, immovable: str = "") -> Instance:
        return Instance(name, Shape("small", 100, 32), immovable=immovable)

    def larger(self) -> Shape:
        return Shape("larger", 200, 48)

    def too_large(self) -> Shape:
        return Shape("vast", 100, 2049)

    async def end_all(self) -> None:
        """End every process of this stand."""
        ledger = Ledger(self.folder)
        for host in (self.first, self.second):
            for name in ledger.guests(host):
                await kill(self.folder.residence(host, name))

    async def clear(self) -> None:
        """End every process and remove every namespace and group of this stand."""
        await self.end_all()
        tag = tag_of(self.folder, self.plan.pool)
        numbers = {host.name: host.number for host in self.plan.hosts}
        await Network(tag, numbers, namespaces=self.findings.namespaces).tear_down()
        await Groups(self.findings.hierarchy, tag, dict.fromkeys(numbers, 1)).tear_down()


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of all processes that name a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line and path.parent.name != str(os.getpid()):
            found.append(line)
    return found


def said(serial: Path) -> str:
    """Return what a guest wrote on its serial line."""
    return serial.read_text(errors="replace") if serial.exists() else ""


async def until(true: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(timeout_s):
        while not true():  # noqa: ASYNC110  # a file or a process elsewhere
            await asyncio.sleep(0.02)


async def boot_with(
    stand: QemuStand,
    engine: QemuEngine,
    orders: Sequence[Orders],
    name: str = "x",
    service: Service = Service.LATENCY,
) -> None:
    """Boot an instance on the first host with one vCPU for each order; all are at work then."""
    ledger, cache = engine.ground.ledger, stand.folder.cache
    wanted = replace(stand.instance(name), service=service)
    action = Place(id=f"boot-{name}", instance=wanted, host=stand.first)
    record = record_of(action, stand.findings, None, unpack(cache), [])
    boot_from = Firmware(image=unpack(cache), orders=True)
    machine = replace(record.machine, cpus=len(orders), boot=boot_from)
    ledger.save_instance(replace(record, machine=machine, stage=Stage.READY))
    stand.folder.volume(name).orders.write_bytes(encode(orders, machine.memory_mib))
    resident = Resident(role=Role.HOME, wanted=State.RUNNING)
    ledger.save_resident(stand.first, name, resident)
    await boot(engine.ground, machine, stand.first)
    await answers(stand, stand.first, name, len(orders))


async def answers(stand: QemuStand, host: str, name: str, count: int) -> list[Answer]:
    """Return what each vCPU says, once all have filled their regions and are at work."""
    line = stand.folder.residence(host, name).socket
    async with asyncio.timeout(120.0), talk(line) as monitor:
        while True:
            pages = [ADDRESS + number * PAGE for number in range(count)]
            found = [decode(await monitor.words(page, WORDS)) for page in pages]
            if all(answer.online == 2 and answer.work for answer in found):
                return found
            await asyncio.sleep(0.02)
