# SPDX-License-Identifier: Apache-2.0
"""Two hosts of this machine with a really shaped link, and firmware guests that write and read."""

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from billow.act.clock import SystemClock
from billow.act.terms import Terms
from billow.engines.qemu.engine import QemuEngine
from billow.engines.qemu.folder import Residence, StateFolder
from billow.engines.qemu.groups import Groups
from billow.engines.qemu.ledger import Ledger
from billow.engines.qemu.lifecycle import boot, clear
from billow.engines.qemu.machine import Firmware, Machine
from billow.engines.qemu.network import HOST_LINK, Network
from billow.engines.qemu.open import PoolPlan, Rules, open_pool, tag_of
from billow.engines.qemu.probe import Findings, probe
from billow.engines.qemu.process import kill
from billow.engines.qemu.record import HostPlan, Resident, Stage
from billow.engines.qemu.record import Role as Part
from billow.engines.qemu.translate import record_of
from billow.errors import Unavailable
from billow.firmware.control import Orders, Role, encode
from billow.firmware.image import unpack
from billow.model.action import Place
from billow.model.host import Node
from billow.model.instance import Instance
from billow.model.kinds import Service, State
from billow.model.shape import Shape

HOSTS = ("h1", "h2")
MIB_PAGES = 256
BATCH_MS = 25
"""From one batch to the next: more often, and the timer's own writes look like a guest's."""
BEGIN = 16 * 2**20
"""Regions begin here."""


def use_qemu(folder: Path | None) -> None:
    """Let everything that is started from here on find another QEMU first; none for as it is."""
    if folder:
        os.environ["PATH"] = f"{folder.absolute()}:{os.environ.get('PATH', os.defpath)}"


def link_mib_s(mbit: float) -> float:
    """Return what a link carries at most, MiB/s."""
    return mbit * 1e6 / 8 / 2**20


def writer(mib_s: float, working_mib: int, *, whole: bool = False) -> Orders:
    """Return orders to write so much to so many different pages, over and over: a word, or all."""
    return replace(_paced(Role.WRITER, mib_s, working_mib), whole=whole)


def reader(mib_s: float, region_mib: int) -> Orders:
    """Return orders to read so much."""
    return _paced(Role.READER, mib_s, region_mib)


def _paced(role: Role, mib_s: float, region_mib: int) -> Orders:
    batch = max(1, round(mib_s * MIB_PAGES * BATCH_MS / 1000))
    pages = region_mib * MIB_PAGES
    return Orders(role=role, pages=pages, period_ns=BATCH_MS * 10**6, batch=batch, fill=True)


@dataclass(frozen=True, slots=True)
class Guest:
    """What runs in a lab: one vCPU for each order, each with a region of its own."""

    orders: tuple[Orders, ...]
    memory_mib: int = 512

    @property
    def laid_out(self) -> tuple[Orders, ...]:
        """The orders, with regions one behind the other."""
        base, found = BEGIN, []
        for each in self.orders:
            found.append(replace(each, base=base))
            base += each.pages * 4096
        return tuple(found)


class Lab:
    """The two hosts and their link. `open_lab` makes it."""

    def __init__(self, engine: QemuEngine, folder: StateFolder, mbit: float) -> None:
        self.engine, self.folder, self.mbit = engine, folder, mbit
        self._number = 0

    @property
    def findings(self) -> Findings:
        """What this machine can do."""
        return self.engine.ground.findings

    def residence(self, host: str, name: str) -> Residence:
        """Return where a host keeps an instance."""
        return self.folder.residence(host, name)

    def machine(self, name: str) -> Machine:
        """Return the machine of an instance. Raises Unavailable when there is none."""
        record = self.engine.ground.ledger.instance(name)
        if record is None:
            raise Unavailable(f"the lab has no instance {name}")
        return record.machine

    async def shape(self, mbit: float) -> None:
        """Let each host send so much and no more; a frame more would wait for 20 ms at most."""
        self.mbit = mbit
        for host in HOSTS:
            line = f"tc qdisc replace dev {HOST_LINK} root tbf rate {mbit:.0f}mbit"
            await self._within(host, f"{line} burst 128k latency 20ms")

    async def sent_mib(self, host: str) -> float:
        """Return what a host sent until now, headers counted, MiB."""
        shown = await self._within(host, f"ip -json -s link show dev {HOST_LINK}")
        return float(json.loads(shown)[0]["stats64"]["tx"]["bytes"]) / 2**20

    async def boot(self, guest: Guest) -> str:
        """Boot a guest on the first host; return its name."""
        self._number += 1
        name, ground = f"g{self._number}", self.engine.ground
        shape = Shape("bench", 100, guest.memory_mib)
        wanted = replace(Instance(name, shape), service=Service.LATENCY)
        action = Place(id=f"boot-{name}", instance=wanted, host=HOSTS[0])
        record = record_of(action, self.findings, None, unpack(self.folder.cache), [])
        image = Firmware(image=unpack(self.folder.cache), orders=True)
        machine = replace(record.machine, cpus=len(guest.orders), boot=image)
        ground.ledger.save_instance(replace(record, machine=machine, stage=Stage.READY))
        pages = encode(guest.laid_out, guest.memory_mib)
        self.folder.volume(name).orders.write_bytes(pages)
        ground.ledger.save_resident(HOSTS[0], name, Resident(role=Part.HOME, wanted=State.RUNNING))
        await boot(ground, machine, HOSTS[0])
        return name

    async def remove(self, name: str) -> None:
        """End an instance on all hosts."""
        ground, machine = self.engine.ground, self.machine(name)
        for host in HOSTS:
            await clear(ground, machine, host)
            ground.ledger.forget_resident(host, name)
        ground.ledger.forget_instance(name)

    async def _within(self, host: str, line: str) -> str:
        where = self.engine.ground.network.namespace(host)
        process = await asyncio.create_subprocess_exec(
            *("nsenter", f"--net=/run/netns/{where}", *line.split()),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
        if process.returncode:
            raise Unavailable(f"{line} failed on {host}", fix="run it as root on Linux")
        return said.decode()


@contextlib.asynccontextmanager
async def open_lab(mbit: float, *, encrypted: bool = False) -> AsyncIterator[Lab]:
    """Open two hosts with a link of so many Mbit/s; everything is gone afterwards.

    Billow encrypts what flows between hosts; here it does not unless asked, as its peers do not.

    Raises:
        Unavailable: this machine has no KVM with a dirty ring, or no network namespaces.
    """
    with tempfile.TemporaryDirectory(prefix="billow-migration-") as root:
        folder = StateFolder(Path(root))
        findings = await probe(folder.cache, os.environ)
        _check(findings)
        rules = Rules(terms=Terms(encrypted=encrypted))
        async with _opened(folder, findings, mbit, rules) as lab:
            yield lab


@contextlib.asynccontextmanager
async def _opened(
    folder: StateFolder, findings: Findings, mbit: float, rules: Rules
) -> AsyncIterator[Lab]:
    node = Node(cpu_milli=4000, memory_mib=4096)
    plans = [HostPlan(name=name, number=n, nodes=(node,)) for n, name in enumerate(HOSTS, 1)]
    plan = PoolPlan(pool="bench", hosts=tuple(plans))
    engine = await open_pool(folder, plan, findings, SystemClock(), rules)
    lab = Lab(engine, folder, mbit)
    try:
        await lab.shape(mbit)
        yield lab
    finally:
        await engine.aclose()
        await _clear(folder, plan, findings)


def _check(findings: Findings) -> None:
    if not findings.version:
        raise Unavailable(findings.missing[0].what, fix=findings.missing[0].fix)
    if not (findings.dirty_ring and findings.namespaces):
        raise Unavailable(
            "this benchmark needs KVM with its dirty ring, and network namespaces",
            fix="run it as root on a machine where `billow doctor` finds KVM",
        )


async def _clear(folder: StateFolder, plan: PoolPlan, findings: Findings) -> None:
    ledger, tag = Ledger(folder), tag_of(folder, plan.pool)
    for host in HOSTS:
        for name in ledger.guests(host):
            await kill(folder.residence(host, name))
    numbers = {host.name: host.number for host in plan.hosts}
    await Network(tag, numbers, namespaces=findings.namespaces).tear_down()
    await Groups(findings.hierarchy, tag, dict.fromkeys(numbers, 1)).tear_down()


def one_writer(mbit: float, *, whole: bool = False) -> Guest:
    """Return the guest of issue 4: one writer at twice the link's bandwidth, and one reader.

    It writes a count into each page; `whole`: it changes every word of them, all the same to QEMU
    unless that sends only what changed.
    """
    return Guest((writer(2.0 * link_mib_s(mbit), 128, whole=whole), reader(200, 64)))


def small_writer(mbit: float) -> Guest:
    """Return a guest that moves in few seconds, and not without limits: it writes whole pages."""
    orders = (writer(2.0 * link_mib_s(mbit), 32, whole=True), reader(100, 16))
    return Guest(orders, memory_mib=128)


def four_cpus(mbit: float) -> Guest:
    """Return four vCPUs: a heavy writer, a light one, two readers."""
    quiet = reader(200, 32)
    return Guest((writer(2 * link_mib_s(mbit), 128), writer(2, 4), quiet, quiet))


def roles(guest: Guest) -> Sequence[str]:
    """Return what each vCPU is, in a word."""
    return [each.role.name.lower() for each in guest.orders]
