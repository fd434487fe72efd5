# SPDX-License-Identifier: Apache-2.0
"""Disks of a host's own: they move with their instance, byte by byte, and never come out stale."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.engines.qemu.world import QemuStand, processes_of, until

from billow.engines.qemu.disk import stored_mib
from billow.engines.qemu.engine import QemuEngine
from billow.engines.qemu.migration.mirror import JOB, PHASE, THERE
from billow.engines.qemu.monitor import Monitor, talk
from billow.engines.qemu.process import process_id
from billow.engines.qemu.terms import Terms
from billow.errors import Refused
from billow.model.action import Delete, Place, Start, Stop
from billow.model.instance import Instance
from billow.model.kinds import MigrationPolicy, State, Storage
from billow.model.run import Progress
from billow.testing.stand import do, migrate

pytestmark = [pytest.mark.qemu, pytest.mark.anyio]
DEVICE = "/machine/peripheral/disk-device/virtio-backend"
MIB = 2**20


def owner(stand: QemuStand, name: str = "x") -> Instance:
    """Return an instance with a disk of its host's own, which the firmware guest never touches."""
    return replace(stand.instance(name), disk=Storage.OWN)


async def boot(stand: QemuStand, engine: QemuEngine) -> None:
    await do(engine, Place(id="place", instance=owner(stand), host=stand.first))


async def write(monitor: Monitor, place_mib: float, length_mib: float, pattern: int) -> None:
    """Write to the disk as its guest would."""
    line = f'qemu-io -d {DEVICE} "write -P {pattern} {place_mib * MIB:.0f} {length_mib * MIB:.0f}"'
    said = str(await monitor.execute("human-monitor-command", {"command-line": line}))
    assert "rror" not in said and "failed" not in said, said


async def fill(stand: QemuStand, *rows: tuple[float, float, int]) -> None:
    """Write rows of place, length (MiB) and pattern to the disk of `x` on the first host."""
    async with talk(stand.folder.residence(stand.first, "x").socket) as monitor:
        for row in rows:
            await write(monitor, *row)


async def qemu_io(disk: Path, *commands: str) -> str:
    words = [word for command in commands for word in ("-c", command)]
    process = await asyncio.create_subprocess_exec(
        *("qemu-io", "-r", "-f", "qcow2", *words, str(disk)), stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await process.communicate()
    assert process.returncode == 0, answer
    return answer.decode()


async def holds(disk: Path, *rows: tuple[float, float, int]) -> None:
    """Check that a disk that nobody uses holds what was written."""
    reads = [f"read -P {what} {at * MIB:.0f} {length * MIB:.0f}" for at, length, what in rows]
    said = await qemu_io(disk, *reads)
    assert "verification failed" not in said, said


def disk_on(stand: QemuStand, host: str) -> Path:
    return stand.folder.residence(host, "x").disk


ROWS = ((0, 3, 7), (100, 1, 9), (1000, 24, 5))


async def test_a_disk_moves_with_its_running_instance(stand: QemuStand) -> None:
    engine = await stand.open()
    await boot(stand, engine)
    await fill(stand, *ROWS)
    seen = [each async for each in engine.perform(migrate(stand, "x"), fence=1)]
    assert any(each.phase == PHASE for each in seen)
    assert all(0 <= each.fraction <= 1 for each in seen)
    assert seen[-1].copied_mib >= 28
    assert not stand.folder.residence(stand.first, "x").path.exists()
    await do(engine, Stop(id="stop", instance="x", host=stand.second, grace_s=0.0))
    await holds(disk_on(stand, stand.second), *ROWS)
    await engine.aclose()
