# SPDX-License-Identifier: Apache-2.0
"""A pool of real QEMU hosts for fault drills: guests that witness, and a look for what is left.

`linux` beats by ARP and writes a log to a disk on storage that all hosts reach, `keeper` to a disk
of its host's own, which moves along; `writer` is the firmware guest with a vCPU that rewrites its
memory all the time. The link between hosts is shaped, so that a move takes seconds.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.migration_proof import (
    Beat,
    Listener,
    contradictions,
    copies,
    read_log,
    repeated,
    spoken,
    twice,
)
from billow.act.clock import SystemClock
from billow.act.durable import make_folder
from billow.engines.qemu import linux
from billow.engines.qemu.disk import Layout, disk_of, make
from billow.engines.qemu.engine import QemuEngine
from billow.engines.qemu.folder import Residence, StateFolder
from billow.engines.qemu.images import LINUX
from billow.engines.qemu.lifecycle import boot
from billow.engines.qemu.machine import Firmware, Kernel
from billow.engines.qemu.monitor import talk
from billow.engines.qemu.network import HOST_LINK
from billow.engines.qemu.open import lay_out, open_engine, remove_pool, tag_of
from billow.engines.qemu.process import alive, last_words
from billow.engines.qemu.record import Resident, Role, Stage
from billow.engines.qemu.translate import record_of
from billow.errors import BillowError, Unavailable
from billow.firmware.control import ADDRESS, FIRST_FREE, PAGE, Orders, decode, encode
from billow.firmware.control import Role as Task
from billow.firmware.image import unpack
from billow.model.action import Place
from billow.model.instance import Instance
from billow.model.kinds import MigrationPolicy, State, Storage
from billow.model.shape import Shape
from billow.settings import Settings

KEEPER: Final = "keeper"
WRITER: Final = "writer"
GUESTS: Final = (LINUX, KEEPER, WRITER)
SYSTEMS: Final = (LINUX, KEEPER)
"""Guests with an operating system, which beat by ARP and write a log."""
DISK_MIB: Final = 64
LINK_MBIT_S: Final = 320
BEAT_MS: Final = 100
PAGES: Final = 10240
"""40 MiB that the firmware guest rewrites ..."""
PAGES_S: Final = 20_000
"""... at 78 MiB/s: twice what the link carries."""
BATCH: Final = 64
BOOT_S: Final = 180.0
ALIVE_S: Final = 10.0
"""A guest that says nothing for so long does not run. It beats ten times a second, on a machine
that does other things as well."""


@dataclass
class Damage:
    """What a drill did that it must not; each a list of sentences."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    memory: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return everything that was found; empty when nothing was."""
        return "; ".join(text for each in fields(self) for text in getattr(self, each.name))


class FaultPool:
    """An open pool with its guests. Make one with `fault_pool`."""

    def __init__(self, settings: Settings, engine: QemuEngine, listener: Listener) -> None:
        self.settings = settings
        self.engine = engine
        self.folder = StateFolder(settings.state_dir / "qemu")
        self.hosts = [host.name for host in lay_out(self.folder, settings).hosts]
        self._listener = listener
        self._beats: list[Beat] = []

    async def reopen(self) -> None:
        """Let another controller take over."""
        await self.engine.aclose()
        self.engine = await open_engine(self.settings, SystemClock())

    def home(self, guest: str) -> str:
        """Return the one host that a guest is on by the records; empty without one."""
        found = self.engine.ground.ledger.home(guest)
        return found[0] if found else ""

    def residence(self, host: str, guest: str) -> Residence:
        """Return the folder of a guest on a host."""
        return self.folder.residence(host, guest)

    def heard(self, guest: str) -> list[Beat]:
        """Return all beats of a guest since the window was opened."""
        self._beats += self._listener.heard()
        record = self.engine.ground.ledger.instance(guest)
        card = record.machine.card if record else None
        address = card.address.partition("/")[0] if card else ""
        return [beat for beat in self._beats if beat.guest == address]

    def disk(self, guest: str) -> Path:
        """Return the disk of a guest where it is at home."""
        record = self.engine.ground.ledger.instance(guest)
        assert record is not None
        return disk_of(self.folder, record.machine, self.home(guest))

    def open_window(self) -> None:
        """Forget the beats that were heard."""
        self._listener.heard()
        self._beats = []

    def within(self, host: str, *command: str) -> None:
        """Run a command in a host's network; one that fails is an error."""
        network = self.engine.ground.network
        where = f"--net=/run/netns/{network.namespace(host)}"
        subprocess.run(["nsenter", where, *command], check=True, capture_output=True)

    async def boot(self, guest: str) -> None:
        """Boot a guest on the first host, and wait until it is heard."""
        ledger, host = self.engine.ground.ledger, self.hosts[0]
        shape = Shape(guest, 1000, 160 if guest in SYSTEMS else 64)
        storage = Storage.OWN if guest == KEEPER else Storage.SHARED
        image = LINUX if guest in SYSTEMS else ""
        way = MigrationPolicy.POST_COPY  # allowed; drills without it choose another
        wanted = Instance(guest, shape, image=image, disk=storage, migration=way)
        action = Place(id=f"boot-{guest}", instance=wanted, host=host)
        await (self._enrol_linux if guest in SYSTEMS else self._enrol_writer)(action)
        ledger.save_resident(host, guest, Resident(role=Role.HOME, wanted=State.RUNNING))
        record = ledger.instance(guest)
        assert record is not None
        await boot(self.engine.ground, record.machine, host)
        if not await self.wait_alive(guest, patience_s=BOOT_S):
            raise Unavailable(f"{guest} did not boot within {BOOT_S:g} s")

    async def _enrol_linux(self, action: Place) -> None:
        ground = self.engine.ground
        made = await linux.prepare(self.folder.cache, dict(os.environ))
        records = ground.ledger.survey().records.values()
        taken = [each.machine.card.address for each in records if each and each.machine.card]
        record = record_of(action, ground.findings, made, unpack(self.folder.cache), taken)
        assert isinstance(record.machine.boot, Kernel)
        words = f"{record.machine.boot.arguments} billow.beat_ms={BEAT_MS} billow.writer=/dev/vda"
        kernel = replace(record.machine.boot, arguments=words, disk=True)
        machine = replace(record.machine, boot=kernel)
        ground.ledger.save_instance(replace(record, machine=machine, stage=Stage.READY))
        disk = disk_of(self.folder, machine, action.host)
        make_folder(disk.parent)
        await make(ground.findings.qemu_img, disk, Layout(bytes=DISK_MIB * 2**20))

    async def _enrol_writer(self, action: Place) -> None:
        ground = self.engine.ground
        image = unpack(self.folder.cache)
        record = record_of(action, ground.findings, None, image, [])
        machine = replace(record.machine, boot=Firmware(image=image, orders=True))
        volume = ground.ledger.save_instance(replace(record, machine=machine, stage=Stage.READY))
        period_ns = BATCH * 10**9 // PAGES_S
        orders = Orders(
            role=Task.WRITER,
            pages=PAGES,
            period_ns=period_ns,
            batch=BATCH,
            fill=True,
            beat_ms=200,
            whole=True,  # else its changes get across, and nobody holds it
        )
        volume.orders.write_bytes(encode([orders], machine.memory_mib))

    async def wait_alive(self, guest: str, patience_s: float = ALIVE_S) -> bool:
        """Wait until a guest says something more than it has said; return whether it did."""
        said = self._said(guest)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while self._said(guest) == said:  # noqa: ASYNC110  # the guest must be listened to
                    await asyncio.sleep(0.05)
                return True
        return False

    def _said(self, guest: str) -> int:
        if guest in SYSTEMS:
            return len(self.heard(guest))
        return len(spoken(self._serial(guest)))

    def _serial(self, guest: str) -> str:
        path = self.folder.volume(guest).serial
        return path.read_text(errors="replace") if path.exists() else ""

    async def ended(self, guest: str) -> bool:
        """Return whether a guest is reported as failed, and runs nowhere."""
        state = (await self.engine.sense()).instance(guest).state
        lives = [host for host in self.hosts if alive(self.residence(host, guest))]
        return state is State.FAILED and not lives

    async def look(self, guest: str) -> Damage:
        """Return what is wrong with a guest that should run once, whole, with nothing left over."""
        damage, home = Damage(), self.home(guest)
        state = (await self.engine.sense()).instance(guest).state
        if not home or state is not State.RUNNING:
            words = " ".join(last_words(self.residence(home, guest))) if home else ""
            damage.lost.append(f"{guest} is {state} on {home or 'no host'}; QEMU said: {words}")
        elif not await self.wait_alive(guest):
            damage.lost.append(f"{guest} is said to run on {home}, but says nothing")
        damage.left += self._left(guest, home)
        if not damage.lost:
            damage.limits += await self._limits(guest, home)
            damage.left += await self._jobs(guest, home)
            damage.memory += await self._memory(guest, home)
        damage.doubled += await asyncio.to_thread(self._doubled, guest, home)
        return damage

    def _doubled(self, guest: str, home: str) -> list[str]:
        if guest not in SYSTEMS:
            return repeated(spoken(self._serial(guest)))
        beats = self.heard(guest)
        found = [*twice(beats), *contradictions(read_log(self.disk(guest)))]
        if copies(beats) > 1:
            found.append(f"{copies(beats)} copies of {guest} were heard at once")
        if beats and beats[-1].host != home:
            found.append(f"{guest} is at {home}, but was heard from {beats[-1].host}")
        return found

    def _left(self, guest: str, home: str) -> list[str]:
        """Return what is left of a guest where it is not at home."""
        return [text for host in self.hosts for text in self._left_on(host, guest, host == home)]

    def _left_on(self, host: str, guest: str, at_home: bool) -> Iterator[str]:  # noqa: FBT001
        residence, ground = self.residence(host, guest), self.engine.ground
        record, known = ground.ledger.instance(guest), ground.ledger.resident(host, guest)
        if at_home:
            if known is None or known.role is not Role.HOME:
                yield f"{host} is the home of {guest} as {known and known.role}"
            return
        if alive(residence):
            yield f"a process of {guest} on {host}"
        if residence.path.exists():
            yield f"a folder of {guest} on {host}"
        tap = record.machine.card.tap if record and record.machine.card else ""
        if tap and tap in links(ground.network.namespace(host)):
            yield f"the tap of {guest} on {host}"
        group = Path(ground.findings.hierarchy.cpu or "/nowhere") / self._tag
        if (group / f"host-{host}" / f"vm-{guest}").exists():
            yield f"the group of {guest} on {host}"

    @property
    def _tag(self) -> str:
        return tag_of(self.folder, self.settings.pool)

    async def _jobs(self, guest: str, home: str) -> list[str]:
        async with talk(self.residence(home, guest).socket) as monitor:
            jobs = await monitor.execute("query-jobs")
        return [f"a job on {guest}: {jobs}"] if jobs else []

    async def _limits(self, guest: str, home: str) -> list[str]:
        async with talk(self.residence(home, guest).socket) as monitor:
            limits = await monitor.execute("query-vcpu-dirty-limit")
            moving = await monitor.mapping("query-migrate")
        found = [f"a limit on {guest}: {each}" for each in limits or ()]  # type: ignore[attr-defined]  # a list
        if "cpu-throttle-percentage" in moving:
            found.append(f"{guest} is throttled")
        if self.residence(home, guest).limits.exists():
            found.append(f"limits of {guest} are still written down")
        return found

    async def _memory(self, guest: str, home: str) -> list[str]:
        """Check each page of the firmware guest; the Linux guest checks its own in its log."""
        if guest in SYSTEMS:
            return []
        async with talk(self.residence(home, guest).socket) as monitor:
            await monitor.execute("stop")
            try:
                work = decode(await monitor.words(ADDRESS, 14)).work
                dump = self.folder.root / f"dump-{guest}"
                where = {"val": FIRST_FREE, "size": PAGES * PAGE, "filename": str(dump)}
                await monitor.execute("pmemsave", where)
            finally:
                await monitor.execute("cont")
        counts = np.fromfile(dump, dtype="<u8").reshape(PAGES, -1)[:, 1].astype(np.int64)
        dump.unlink()
        return bad_pages(counts, work)


def bad_pages(counts: np.ndarray[tuple[int], np.dtype[np.int64]], work: int) -> list[str]:
    """Return what is wrong with the counts that a writer put into its pages, in turn.

    A batch may be written and not yet counted as work. Pages that it did not come to are anything.
    """
    newest = int(counts[(counts >= 0) & (counts <= work + BATCH)].max(initial=0))
    if newest < work:
        return [f"the newest page holds {newest}, but {work} were written"]
    expected = newest - (newest - 1 - np.arange(len(counts))) % len(counts)
    wrong = np.flatnonzero((counts != expected) & (expected > 0))
    return [f"page {page} holds {counts[page]}, not {expected[page]}" for page in wrong[:3]]


def links(namespace: str) -> str:
    """Return what a network namespace says of its links."""
    command = ["nsenter", f"--net=/run/netns/{namespace}", "ip", "-brief", "link"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@asynccontextmanager
async def fault_pool(**chosen: object) -> AsyncIterator[FaultPool]:
    """Open a pool of three hosts in a folder of its own; nothing is left of it afterwards.

    Args:
        chosen: Settings other than the usual ones.
    """
    folder = Path(tempfile.mkdtemp(prefix="billow-faults-"))
    usual: dict[str, object] = {
        "engine": "qemu",
        "state_dir": folder,
        "hosts": 3,
        "pool": "faults",
        "host_memory_mib": 1024,
        "host_cpus": 2,
        "migration_stall_s": 10.0,
    }
    settings = Settings.model_validate(usual | chosen)
    try:
        engine = await open_engine(settings, SystemClock())
        pool_folder = StateFolder(folder / "qemu")
        fabric = f"bw-{tag_of(pool_folder, settings.pool)}.fabric"
        ports = {each.name: f"g{each.number}" for each in lay_out(pool_folder, settings).hosts}
        with Listener(fabric, ports) as listener:
            pool = FaultPool(settings, engine, listener)
            rate = ("rate", f"{LINK_MBIT_S}mbit", "burst", "256kb", "latency", "50ms")
            for host in pool.hosts:
                pool.within(host, "tc", "qdisc", "replace", "dev", HOST_LINK, "root", "tbf", *rate)
            try:
                yield pool
            finally:
                with contextlib.suppress(BillowError):
                    await pool.engine.aclose()
    finally:
        await remove_pool(settings)
        shutil.rmtree(folder, ignore_errors=True)
