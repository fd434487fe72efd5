# SPDX-License-Identifier: Apache-2.0
"""Carry a host's own disk along with its guest: all of it first, then every write on both sides.

The source writes into the target's disk over NBD, by a block job that notes what is still to be
copied in a dirty bitmap. From some moment on each write of the guest is done on both disks before
the guest hears of it, so that what is left can only shrink, whatever the guest does: at once where
QEMU cannot change that later, otherwise after the first pass, so that only the last part costs the
guest anything. The job ends while the guest stands still, and both disks are equal then.

Until the target is written down as the home its disk is worth nothing. Job and node in the source
bear fixed names, so that whoever settles the instance finds them (`undo`).
"""

import asyncio
import contextlib
import math
import os
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Final

from qemu.qmp import EventListener

from billow.act.durable import make_folder
from billow.engines.qemu.carried import reaches
from billow.engines.qemu.command import DISK
from billow.engines.qemu.disk import make_like
from billow.engines.qemu.folder import StateFolder
from billow.engines.qemu.ground import Ground
from billow.engines.qemu.migration.abilities import knows
from billow.engines.qemu.migration.order import Order
from billow.engines.qemu.migration.seal import Seal
from billow.engines.qemu.monitor import Monitor
from billow.errors import BillowError, Refused, Unavailable
from billow.model.run import Progress

JOB: Final = "billow-mirror"
THERE: Final = "billow-there"
"""The source's node for the target's disk."""
PHASE: Final = "copying the disk"
NEEDS: Final = "pause-before-switchover"
"""The capability without which no disk can move: both are made equal while the guest is still."""
END_S: Final = 5.0
"""The guest stands still while the last is written: after so long it had better go on here."""
HALT_S: Final = 0.025
"""What the end of a disk takes of a promised downtime, and the wait until its new home is safe."""
_CUT_S: Final = 5.0
_PORTS: Final = range(47_000, 49_000)
_TRIES: Final = 20
_LOOK_EVERY_S: Final = 0.1
_BLINK_S: Final = 0.001
_OVER: Final = frozenset({"concluded", "null", "aborting"})
_MIB: Final = 2**20


async def prepare(ground: Ground, order: Order) -> None:
    """Make the disk that the target's process opens; one that is there is made anew.

    Raises:
        Refused: there is no room for it.
        Unavailable: qemu-img is not installed.
    """
    folder, name = ground.ledger.folder, order.machine.instance
    here, there = (folder.residence(host, name).disk for host in (order.source, order.target))
    make_folder(there.parent)
    await make_like(ground.findings.qemu_img, there, here)


@dataclass(slots=True)
class Mirror:
    """The copy of one disk, from `start` to `end`."""

    ground: Ground
    order: Order
    source: Monitor
    target: Monitor
    _copied: float = 0.0
    _total: float = 0.0
    running: bool = False
    """Whether there is a job that must be in step."""
    _later: bool = False
    """Whether the guest's writes are still done here only."""

    async def start(self, seal: Seal) -> None:
        """Let the target offer its disk, and the source write into it.

        QEMU does nothing else while it connects, so it is asked only when it can.

        Raises:
            Unavailable: the target cannot be reached.
            Refused, Lost: an end would not.
        """
        await undo(self.source)
        if not await reaches(self.ground.network, *self.order.ends):
            raise Unavailable(
                f"{self.order.target} cannot be reached from {self.order.source}",
                fix="look at the network between the two hosts",
            )
        self._later = await knows(self.source, "block-job-change")
        server = await self._offer(seal)
        node = {"driver": "nbd", "node-name": THERE, "export": DISK, "discard": "unmap"}
        shown = {"tls-creds": seal.credentials, "tls-hostname": seal.name} if seal else {}
        await self.source.execute("blockdev-add", {**node, **shown, "server": server})
        job = {
            "job-id": JOB,
            "device": DISK,
            "target": THERE,
            "sync": "top",
            "copy-mode": "background" if self._later else "write-blocking",
            "auto-dismiss": False,
        }
        await self.source.execute("blockdev-mirror", job)
        self.running = True

    async def follow(self) -> AsyncIterator[Progress]:
        """Yield how far it is until both disks are equal but for writes under way.

        Raises:
            Refused: it failed, or stands still.
            Lost: QEMU does not answer.
        """
        loop = asyncio.get_running_loop()
        began = moved = loop.time()
        first = 0.0
        with self.source.events("JOB_STATUS_CHANGE") as events:
            while True:
                copied = self._copied
                ready = await self.check()
                first = first or self._total
                if ready:
                    return
                if self._later and 0 < first <= self._copied:
                    await self._on_both()
                now = loop.time()
                moved = now if self._copied != copied else moved
                self._check_patience(now - moved)
                yield self._told(now - began)
                await _next(events)

    async def check(self) -> bool:
        """Return whether the disks are in step, and will stay so.

        Raises:
            Refused: they will not be.
            Lost: QEMU does not answer.
        """
        job = await _job(self.source)
        if job is None or job["status"] in _OVER:
            raise Refused(
                f"the disk of {self.order.machine.instance} cannot be copied",
                details=(str(job.get("error", "it ended early")) if job else "it is gone",),
                fix=f"look at the disk space of {self.order.target} and the network to it",
                code="move-failed",
            )
        self._copied, self._total = _mib(job["offset"]), _mib(job["len"])
        if job["status"] != "ready":
            return False
        if self._later:
            await self._on_both()
            return False
        return bool(job.get("actively-synced", True))

    async def _on_both(self) -> None:
        """Do each write of the guest on both disks from here on. Raises Refused, Lost."""
        change = {"id": JOB, "type": "mirror", "copy-mode": "write-blocking"}
        await self.source.execute("block-job-change", change)
        self._later = False

    def beside(self, progress: Progress) -> Progress:
        """Return the progress of the memory with the disk counted in."""
        memory = progress.total_mib or float(self.order.machine.memory_mib)
        whole = self._total + memory
        return replace(
            progress,
            fraction=(self._total + progress.fraction * memory) / whole,
            copied_mib=self._total + progress.copied_mib,
            total_mib=whole,
        )

    async def end(self) -> None:
        """Make both disks equal and part them, while the guest stands still.

        Raises:
            Refused: they are not equal: the guest must go on here.
            Lost: QEMU does not answer.
        """
        self.running = False  # it was in step, and a job that is does not fall out of it unseen
        await self.source.execute("block-job-cancel", {"device": JOB}, timeout_s=END_S)
        job = await self._ended()
        if "error" in job or job["offset"] != job["len"]:
            raise Refused(
                f"the disk of {self.order.machine.instance} could not be copied to its end",
                details=(str(job.get("error", job)),),
                code="move-failed",
            )
        await asyncio.gather(  # each in its order, both ends at once: the guest stands still
            self._part(),
            self.target.execute("nbd-server-stop"),
        )

    async def _part(self) -> None:
        await self.source.execute("job-dismiss", {"id": JOB})
        await self.source.execute("blockdev-del", {"node-name": THERE})

    async def cut(self) -> None:
        """Break the connection of the two disks, even if QEMU waits for it and for nothing else.

        A target that is silent would hold up every write of the guest, and QEMU itself. Safe to
        call at any time; never raises.
        """
        which = {"type": "block-node", "node-name": THERE}
        with contextlib.suppress(BillowError):
            arguments = {"instances": [which]}
            await self.source.execute("yank", arguments, timeout_s=_CUT_S, at_once=True)

    async def _ended(self) -> dict[str, object]:
        """Return the job once it is over; the last was written and flushed then."""
        try:
            async with asyncio.timeout(END_S):
                while (job := await _job(self.source)) and job["status"] != "concluded":  # noqa: ASYNC110
                    await asyncio.sleep(_BLINK_S)
        except TimeoutError as error:
            raise Refused(
                "the target does not write the last of the disk",
                details=(f"not done after {END_S:g} s",),
                code="move-stalled",
            ) from error
        if job is None:
            raise Refused("the copy of the disk is gone", code="move-failed")
        return job

    async def _offer(self, seal: Seal) -> dict[str, object]:
        """Let the target serve its disk to one client; return where."""
        if not self.ground.network.namespaces:
            return await self._offer_here()
        server = await self._offer_on_link(seal)
        await self._export()
        return server

    async def _offer_on_link(self, seal: Seal) -> dict[str, object]:
        """Serve on the first free port: QEMU would not say which one it took."""
        asked = {"tls-creds": seal.credentials, "tls-authz": seal.guard} if seal else {}
        address = self.ground.network.address(self.order.target)
        first = zlib.crc32(self.order.number.encode())
        for attempt in range(_TRIES):
            port = str(_PORTS[(first + attempt) % len(_PORTS)])
            where = {"host": address, "port": port}
            try:
                await self._serve({"type": "inet", "data": where}, asked)
            except Refused:
                if attempt == _TRIES - 1:
                    raise
            else:
                return {"type": "inet", **where}
        raise AssertionError  # the last attempt returns or raises

    async def _offer_here(self) -> dict[str, object]:
        """Serve on a socket in a folder that only this user may enter, for one connection."""
        folder: StateFolder = self.ground.ledger.folder
        residence = folder.residence(self.order.target, self.order.machine.instance)
        handle = os.open(residence.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            theirs = await self.target.keep(handle)
            ours = await self.source.keep(handle)
        finally:
            os.close(handle)
        where = f"/proc/self/fd/{theirs}/nbd"
        await self._serve({"type": "unix", "data": {"path": where}}, {})
        await self._export()
        return {"type": "unix", "path": f"/proc/self/fd/{ours}/nbd"}

    async def _serve(self, address: dict[str, object], asked: dict[str, str]) -> None:
        offer = {"addr": address, "max-connections": 1, **asked}
        await self.target.execute("nbd-server-start", offer)

    async def _export(self) -> None:
        offered = {"type": "nbd", "id": DISK, "node-name": DISK, "name": DISK, "writable": True}
        await self.target.execute("block-export-add", offered)

    def _told(self, seconds: float) -> Progress:
        rate = self._copied / seconds if seconds > 0 else 0.0
        left = self._total - self._copied
        memory = float(self.order.machine.memory_mib)
        return Progress(
            fraction=self._copied / (self._total + memory),
            phase=PHASE,
            left_s=(left + memory) / rate if rate > 0 else math.nan,
            copied_mib=self._copied,
            total_mib=self._total + memory,
        )

    def _check_patience(self, still_s: float) -> None:
        """Give a copy up that stands still. One that does not will end: it has no other limit."""
        if still_s > self.ground.terms.stall_s:
            raise Refused(
                "the copy of the disk stands still",
                details=(f"nothing was copied for {still_s:.0f} s",),
                fix="look at the network between the two hosts",
                code="move-stalled",
            )


async def undo(monitor: Monitor) -> None:
    """Take back what a copy of a disk left in its source. Repeatable. Raises Refused, Lost."""
    async with asyncio.timeout(END_S):
        while (job := await _job(monitor)) is not None:
            over = job["status"] in _OVER
            with contextlib.suppress(Refused):  # it went meanwhile, or is on its way
                if over:
                    await monitor.execute("job-dismiss", {"id": JOB})
                else:
                    await monitor.execute("block-job-cancel", {"device": JOB, "force": True})
            await asyncio.sleep(_BLINK_S)
    nodes = await monitor.execute("query-named-block-nodes", {"flat": True})
    rows = nodes if isinstance(nodes, list) else []
    if any(row.get("node-name") == THERE for row in rows):
        await monitor.execute("blockdev-del", {"node-name": THERE})


async def _job(monitor: Monitor) -> dict[str, object] | None:
    answer = await monitor.execute("query-block-jobs")
    rows = answer if isinstance(answer, list) else []
    return next((row for row in rows if row.get("device") == JOB), None)


def _mib(amount: object) -> float:
    return float(str(amount)) / _MIB


async def _next(events: EventListener) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(events.get(), _LOOK_EVERY_S)
