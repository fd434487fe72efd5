# SPDX-License-Identifier: Apache-2.0
"""Moves that go wrong: the instance runs on where it was, once, and nothing is left elsewhere."""

import os
import signal

import pytest
from tests.engines.qemu.world import QemuStand, boot_with, processes_of, until

from billow.act.terms import Terms
from billow.engines.qemu import settle
from billow.engines.qemu.engine import QemuEngine
from billow.engines.qemu.machine import Accelerator, Boot, Disk, Firmware, Machine, Platform
from billow.engines.qemu.migration import move
from billow.engines.qemu.migration.order import sleeps
from billow.engines.qemu.migration.seal import unseal
from billow.engines.qemu.monitor import Monitor, talk
from billow.engines.qemu.process import process_id
from billow.errors import Refused
from billow.firmware.control import FIRST_FREE, Orders, Role
from billow.model.action import Place
from billow.model.kinds import State
from billow.ports import Trace
from billow.testing.stand import do, migrate

pytestmark = [pytest.mark.qemu, pytest.mark.anyio]
MIB_PAGES = 256
BUSY = [Orders(role=Role.WRITER, base=FIRST_FREE, pages=24 * MIB_PAGES, fill=True)]
"""One vCPU that rewrites 24 MiB without a pause."""


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let moves copy 4 MiB/s, less than the guest writes."""
    monkeypatch.setattr(move, "BANDWIDTH_BYTES_S", 4 * 2**20)


async def move_and_strike(
    stand: QemuStand, engine: QemuEngine, host: str, how: signal.Signals
) -> None:
    """Move `x`, and strike its process on a host once memory flows."""
    residence, struck = stand.folder.residence(host, "x"), False
    async for progress in engine.perform(migrate(stand, "x"), fence=1):
        number = process_id(residence)
        if progress.copied_mib > 1 and number is not None and not struck:
            struck = True
            os.kill(number, how)


async def check_at_home(stand: QemuStand) -> None:
    """Check that `x` runs on the first host and nowhere else."""
    engine = await stand.open()
    pool = await engine.sense()
    assert (pool.instance("x").host, pool.instance("x").state) == (stand.first, State.RUNNING)
    assert len(processes_of(stand.folder.root)) == 1
    assert not stand.folder.residence(stand.second, "x").path.exists()
    async with talk(stand.folder.residence(stand.first, "x").socket) as monitor:
        assert await monitor.status() == "running"
    assert await engine.find(migrate(stand, "x").id) is Trace.FAILED
    await engine.aclose()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_target_that_dies_or_hangs_ends_the_move(
    stand: QemuStand, slow: None, how: signal.Signals
) -> None:
    engine = await stand.open_under(Terms(stall_s=1.0))
    await boot_with(stand, engine, BUSY)
    with pytest.raises(Refused):
        await move_and_strike(stand, engine, stand.second, how)
    await engine.aclose()
    await check_at_home(stand)


async def test_a_guest_that_writes_too_fast_is_not_moved_for_ever(
    stand: QemuStand, slow: None
) -> None:
    engine = await stand.open_under(Terms(timeout_s=1.0))
    await boot_with(stand, engine, BUSY)
    with pytest.raises(Refused) as refusal:
        await do(engine, migrate(stand, "x"))
    assert refusal.value.code == "move-endless"
    await engine.aclose()
    await check_at_home(stand)


async def test_a_source_that_dies_is_a_failed_instance_where_it_was(
    stand: QemuStand, slow: None
) -> None:
    engine = await stand.open()
    await boot_with(stand, engine, BUSY)
    with pytest.raises(Refused):
        await move_and_strike(stand, engine, stand.first, signal.SIGKILL)
    pool = await engine.sense()
    assert (pool.instance("x").host, pool.instance("x").state) == (stand.first, State.FAILED)
    assert processes_of(stand.folder.root) == []
    await engine.aclose()


async def test_an_instance_that_cannot_start_was_never_there(stand: QemuStand) -> None:
    """A firmware image that is none: QEMU refuses it, and the pool is as before."""
    engine = await stand.open()
    before = (await engine.sense()).digest
    await do(engine, Place(id="p", instance=stand.instance("w"), host=stand.first))
    (firmware,) = stand.folder.cache.glob("firmware-*.bin")
    firmware.write_bytes(b"short")
    action = Place(id="q", instance=stand.instance("x"), host=stand.first)
    with pytest.raises(Refused) as refusal:
        await do(engine, action)
    assert "could not load PC BIOS" in str(refusal.value)
    assert "x" not in (await engine.sense()).instances.row
    assert (await engine.sense()).digest != before
    assert await engine.find("q") is Trace.FAILED
    await engine.aclose()
    await until(lambda: len(processes_of(stand.folder.root)) == 1)


@pytest.mark.parametrize(
    ("accelerator", "boot", "version", "asleep"),
    [
        (Accelerator.TCG, Disk(), "7.2.22", True),
        (Accelerator.TCG, Disk(), "", True),
        (Accelerator.TCG, Disk(), "9.0.0", False),
        (Accelerator.TCG, Disk(), "10.1.2", False),
        (Accelerator.KVM, Disk(), "7.2.22", False),
        (Accelerator.TCG, Firmware(image="f"), "7.2.22", False),
    ],
)
def test_only_a_guest_that_would_lose_memory_sleeps(
    accelerator: Accelerator, boot: Boot, version: str, *, asleep: bool
) -> None:
    platform = Platform(accelerator=accelerator, board="pc", cpu="max")
    machine = Machine(instance="x", uuid="u", cpus=1, memory_mib=64, platform=platform, boot=boot)
    assert sleeps(machine, version) is asleep


async def test_a_process_that_ends_while_it_is_spoken_to_is_no_fault(
    stand: QemuStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose power button was pressed by a controller that died may end at any instant."""
    engine = await stand.open()
    await boot_with(stand, engine, BUSY)
    number = process_id(stand.folder.residence(stand.first, "x"))
    assert number is not None

    async def speak(end: Monitor) -> None:
        os.kill(number, signal.SIGKILL)
        await unseal(end)

    monkeypatch.setattr(settle, "unseal", speak)
    await settle.settle(engine.ground, "x")
    assert processes_of(stand.folder.root) == []
    await engine.aclose()
