# SPDX-License-Identifier: Apache-2.0
"""What the evacuation benchmark does with real guests: a host and three targets, shaped links."""

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.migration_lab import Guest, link_mib_s, writer
from billow.act.clock import SystemClock
from billow.act.execute import Execution
from billow.act.guard import World
from billow.act.lease import Writer
from billow.act.traffic import Traffic
from billow.engines.qemu.engine import QemuEngine
from billow.engines.qemu.folder import StateFolder
from billow.engines.qemu.groups import Groups
from billow.engines.qemu.ledger import Ledger
from billow.engines.qemu.lifecycle import boot, clear
from billow.engines.qemu.machine import Firmware
from billow.engines.qemu.network import HOST_LINK, Network
from billow.engines.qemu.open import PoolPlan, open_pool, tag_of
from billow.engines.qemu.probe import probe
from billow.engines.qemu.process import kill
from billow.engines.qemu.record import HostPlan, Resident, Role, Stage
from billow.engines.qemu.translate import record_of
from billow.errors import Unavailable
from billow.firmware.control import Orders, encode
from billow.firmware.image import unpack
from billow.model.action import Migrate, Place
from billow.model.host import Node
from billow.model.instance import Instance
from billow.model.kinds import State
from billow.model.plan import Proposal
from billow.model.policy import Limits
from billow.model.run import Entry, Phase, Run
from billow.model.shape import Shape
from billow.plan.compose import Stamp, compose
from billow.sense.collect import Collector
from billow.sense.recorder import Recorder
from billow.testing.memory import MemoryJournal, MemoryLeases, MemoryWitness

HOSTS = ("h1", "h2", "h3", "h4")
IDLE_MIB = (48, 64, 96, 128)
WRITES = (0.45, 0.6)
"""What the writing guests write, as parts of the link's bandwidth."""
WORKING_MIB = 48


@dataclass(frozen=True, slots=True)
class Emptied:
    """What emptying the host came to.

    Attributes:
        failed: Moves that failed; then the host is not empty, and the time means nothing.
    """

    seconds: float
    foretold_s: float
    most_at_once: int
    failed: int


class Lab:
    """Four hosts of this machine. `open_lab` makes it."""

    def __init__(self, engine: QemuEngine, folder: StateFolder, plan: PoolPlan) -> None:
        self._engine, self._folder, self._plan = engine, folder, plan
        self._runs = 0

    async def shape(self, mbit: float) -> None:
        """Let each host send so much and no more."""
        line = f"tc qdisc replace dev {HOST_LINK} root tbf rate {mbit:.0f}mbit"
        for host in HOSTS:
            where = self._engine.ground.network.namespace(host)
            words = f"nsenter --net=/run/netns/{where} {line} burst 128k latency 20ms"
            process = await asyncio.create_subprocess_exec(*words.split())
            if await process.wait():
                raise Unavailable(f"the link of {host} cannot be shaped", fix="run it as root")

    async def emptied(self, mbit: float, guests: int, traffic: Traffic, *, whole: bool) -> Emptied:
        """Boot guests on the first host, half of them writing, and move all of them away.

        They write a word into each page, or with `whole` all of it.
        """
        self._runs += 1
        names = [f"r{self._runs}g{number:02}" for number in range(guests)]
        try:
            for number, name in enumerate(names):
                await self._boot(name, _guest(number, link_mib_s(mbit), whole=whole))
            await asyncio.sleep(2.0)  # until each has filled its memory
            return await self._empty(names, traffic)
        finally:
            for name in names:
                await self._remove(name)

    async def _empty(self, names: Sequence[str], traffic: Traffic) -> Emptied:
        clock, journal = SystemClock(), MemoryJournal()
        writer_ = Writer(MemoryLeases(), clock, "benchmark")
        await writer_.turn()
        collector = Collector(self._engine, Recorder())
        witness = MemoryWitness()
        limits = Limits(failures_allowed=len(names))
        world = World(self._engine, collector, journal, witness, clock, writer_, limits, traffic)
        moves = [
            Migrate(instance=name, source="h1", target=HOSTS[1 + number % 3])
            for number, name in enumerate(names)
        ]
        stamp = Stamp(f"p{self._runs}-{os.getpid()}")
        plan = compose(await collector.fresh(), [Proposal("x", tuple(moves))], Limits(), stamp)
        entries = {step.action.id: Entry(step.action.id) for step in plan.steps}
        run = Run(plan.id, plan.id, "benchmark", writer_.fence, clock.now(), entries=entries)
        await journal.begin(run, plan)
        began = time.perf_counter()
        ended = await Execution(world, plan, run).carry_out()
        seconds = time.perf_counter() - began
        failed = sum(entry.phase is not Phase.DONE for entry in ended.entries.values())
        return Emptied(seconds, plan.cost.seconds, _most_at_once(journal), failed)

    async def _boot(self, name: str, guest: Guest) -> None:
        ground = self._engine.ground
        wanted = Instance(name, Shape(f"bench-{guest.memory_mib}", 10, guest.memory_mib))
        action = Place(id=f"boot-{name}", instance=wanted, host="h1")
        image = unpack(self._folder.cache)
        record = record_of(action, ground.findings, None, image, [])
        machine = replace(record.machine, cpus=1, boot=Firmware(image=image, orders=True))
        ground.ledger.save_instance(replace(record, machine=machine, stage=Stage.READY))
        self._folder.volume(name).orders.write_bytes(encode(guest.laid_out, guest.memory_mib))
        ground.ledger.save_resident("h1", name, Resident(role=Role.HOME, wanted=State.RUNNING))
        await boot(ground, machine, "h1")

    async def _remove(self, name: str) -> None:
        ground = self._engine.ground
        record = ground.ledger.instance(name)
        if record is None:
            return
        for host in HOSTS:
            await clear(ground, record.machine, host)
            ground.ledger.forget_resident(host, name)
        ground.ledger.forget_instance(name)


def _guest(number: int, carried_mib_s: float, *, whole: bool) -> Guest:
    """Return every other guest idle with full memory, every other one writing."""
    if number % 2:
        rate = WRITES[number // 2 % len(WRITES)] * carried_mib_s
        return Guest((writer(rate, WORKING_MIB, whole=whole),), 96)
    memory = IDLE_MIB[number // 2 % len(IDLE_MIB)]
    pages = (memory - 20) * 256
    return Guest((Orders(pages=pages, fill=True),), memory)


def _most_at_once(journal: MemoryJournal) -> int:
    now = most = 0
    for word, _ in journal.written:
        now += 1 if word == "intend" else -1
        most = max(most, now)
    return most


@contextlib.asynccontextmanager
async def open_lab(mbit: float) -> AsyncIterator[Lab]:
    """Open four hosts with links of so many Mbit/s; everything is gone afterwards.

    Raises:
        Unavailable: this machine has no KVM with a dirty ring, or no network namespaces.
    """
    folder = StateFolder(Path(tempfile.mkdtemp(prefix="billow-evacuation-")))
    findings = await probe(folder.cache, os.environ)
    if not (findings.version and findings.dirty_ring and findings.namespaces):
        raise Unavailable(
            "this benchmark needs KVM with its dirty ring, and network namespaces",
            fix="run it as root on a machine where `billow doctor` finds KVM",
        )
    node, link = Node(cpu_milli=4000, memory_mib=4096), link_mib_s(mbit)
    hosts = [
        HostPlan(name=name, number=n, nodes=(node,), link_mib_s=link)
        for n, name in enumerate(HOSTS, 1)
    ]
    plan = PoolPlan(pool="evac", hosts=tuple(hosts))
    engine = await open_pool(folder, plan, findings, SystemClock())
    try:
        lab = Lab(engine, folder, plan)
        await lab.shape(mbit)
        yield lab
    finally:
        await engine.aclose()
        await _clear(folder, plan)


async def _clear(folder: StateFolder, plan: PoolPlan) -> None:
    findings = await probe(folder.cache, os.environ)
    ledger, tag = Ledger(folder), tag_of(folder, plan.pool)
    for host in HOSTS:
        for name in ledger.guests(host):
            await kill(folder.residence(host, name))
    numbers = {host.name: host.number for host in plan.hosts}
    await Network(tag, numbers, namespaces=findings.namespaces).tear_down()
    await Groups(findings.hierarchy, tag, dict.fromkeys(numbers, 1)).tear_down()
    shutil.rmtree(folder.root, ignore_errors=True)
