# SPDX-License-Identifier: Apache-2.0
"""A guest that writes a log to a disk of its host's own finds all of it after each move."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.migration_proof import Line, contradictions, read_log
from tests.engines.qemu.owning import OwningStand
from tests.engines.qemu.world import processes_of

from billow.act.durable import make_folder, save
from billow.engines.qemu import linux
from billow.engines.qemu.disk import Layout, make
from billow.engines.qemu.engine import QemuEngine
from billow.engines.qemu.lifecycle import boot
from billow.engines.qemu.machine import Kernel
from billow.engines.qemu.probe import Findings
from billow.engines.qemu.record import Resident, Role, Stage
from billow.engines.qemu.translate import record_of
from billow.firmware.image import unpack
from billow.model.action import Migrate, Place, Stop
from billow.model.kinds import State
from billow.model.shape import Shape
from billow.testing.stand import do

pytestmark = [pytest.mark.qemu, pytest.mark.thorough, pytest.mark.anyio]
MOVES = 2
LINES = 30
"""So many records are to be in the log before each move: one every tenth of a second."""


@pytest.fixture
async def stand(tmp_path: Path, findings: Findings) -> AsyncIterator[OwningStand]:
    """Build a world whose instances have disks of their host's own, and clear it away."""
    stand = OwningStand(tmp_path / "state", findings)
    stand.folder.root.mkdir()
    save(stand.folder.settings, stand.plan)
    yield stand
    await stand.clear()
    assert processes_of(tmp_path) == []


async def boot_writer(stand: OwningStand, engine: QemuEngine) -> None:
    """Boot the built-in Linux guest on the first host; it writes to its disk as `vda`."""
    ledger = engine.ground.ledger
    made = await linux.prepare(stand.folder.cache, dict(os.environ))
    wanted = replace(stand.instance("x"), image="linux", shape=Shape("linux", 1000, 160))
    action = Place(id="boot-x", instance=wanted, host=stand.first)
    record = record_of(action, stand.findings, made, unpack(stand.folder.cache), [])
    assert isinstance(record.machine.boot, Kernel)
    assert record.machine.has_own_disk
    words = f"{record.machine.boot.arguments} billow.writer=/dev/vda"
    machine = replace(record.machine, boot=replace(record.machine.boot, arguments=words))
    ledger.save_instance(replace(record, machine=machine, stage=Stage.READY))
    disk = stand.disk(stand.first)
    make_folder(disk.parent)
    await make(stand.findings.qemu_img, disk, Layout(bytes=64 * 2**20))
    resident = Resident(role=Role.HOME, wanted=State.RUNNING)
    ledger.save_resident(stand.first, "x", resident)
    await boot(engine.ground, machine, stand.first)


async def log_of(disk: Path, least: int) -> list[Line]:
    """Wait until the guest has written so many records; return them."""
    async with asyncio.timeout(120):
        while len(lines := await asyncio.to_thread(read_log, disk)) < least:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    return lines


async def test_a_writer_finds_its_log_after_each_move(stand: OwningStand) -> None:
    engine = await stand.open()
    await boot_writer(stand, engine)
    home, other, known = stand.first, stand.second, 0
    for number in range(MOVES):
        known = len(await log_of(stand.disk(home), known + LINES))
        await do(engine, Migrate(id=f"move-{number}", instance="x", source=home, target=other))
        home, other = other, home
    lines = await log_of(stand.disk(home), known + LINES)
    assert contradictions(lines) == []
    await do(engine, Stop(id="stop", instance="x", host=home, grace_s=30.0))
    assert contradictions(await log_of(stand.disk(home), len(lines))) == []
    await engine.aclose()
