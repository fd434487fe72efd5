# SPDX-License-Identifier: Apache-2.0
"""Evacuation with real QEMU: a second opinion on every death, and the disk has one writer at most.

Records are not believed here: what runs is counted in /proc, and who writes is asked of QEMU.
"""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.engines.qemu.owning import SOME, OwningStand, check_holds, write
from tests.engines.qemu.world import QemuStand, processes_of, until

from billow.engines.qemu import evacuate as evacuation
from billow.engines.qemu.disk import Layout, disk_of, make
from billow.engines.qemu.engine import QemuEngine
from billow.engines.qemu.evacuate import is_written
from billow.engines.qemu.ground import Ground
from billow.engines.qemu.lifecycle import boot, spawn
from billow.engines.qemu.machine import Firmware, Machine
from billow.engines.qemu.monitor import talk
from billow.engines.qemu.process import alive, gone, kill, last_words, process_id
from billow.engines.qemu.record import Resident, Role
from billow.engines.qemu.settle import settle, unclear
from billow.errors import Refused
from billow.model.action import Fence, Migrate, PowerOn
from billow.model.kinds import Power, State, Storage
from billow.ports import Trace
from billow.testing.stand import do, evacuate, homes, place

pytestmark = [pytest.mark.qemu, pytest.mark.anyio]


@pytest.fixture
async def engine(stand: QemuStand) -> AsyncIterator[QemuEngine]:
    """Open a pool in which `x` runs on h1, with a disk on the storage that all hosts share."""
    engine = await stand.open()
    await do(engine, place(stand, "x"))
    await with_shared_disk(stand, engine)
    yield engine
    await engine.aclose()


async def with_shared_disk(stand: QemuStand, engine: QemuEngine) -> Machine:
    """Give `x` a disk, which the firmware guest never looks at, and boot it anew."""
    ledger = engine.ground.ledger
    await kill(stand.folder.residence("h1", "x"))
    record = ledger.instance("x")
    assert record is not None
    assert isinstance(record.machine.boot, Firmware)
    with_disk = replace(record.machine.boot, disk=True)
    machine = replace(record.machine, boot=with_disk, storage=Storage.SHARED)
    ledger.save_instance(replace(record, machine=machine))
    disk = disk_of(stand.folder, machine, "h1")
    await make(stand.findings.qemu_img, disk, Layout(bytes=2**30))
    await boot(engine.ground, machine, "h1")
    assert is_written(disk)
    return machine


def machine_of(engine: QemuEngine) -> Machine:
    record = engine.ground.ledger.instance("x")
    assert record is not None
    return record.machine


def die_as_by_an_agent(stand: QemuStand, host: str = "h1") -> None:
    """End a guest as the agent of a living host does: by SIGKILL, asking nobody."""
    number = process_id(stand.folder.residence(host, "x"))
    assert number is not None
    os.kill(number, signal.SIGKILL)


async def test_guests_that_an_agent_ended_start_elsewhere_while_the_host_has_power(
    stand: QemuStand, engine: QemuEngine
) -> None:
    die_as_by_an_agent(stand)
    assert await gone(stand.folder.residence("h1", "x"), 10.0)
    assert (await engine.sense()).instance("x").state is State.FAILED
    await do(engine, evacuate(stand, "x"))
    pool = await engine.sense()
    assert pool.host("h1").power is Power.ON
    assert homes(pool) == {"x": "h2"}
    assert pool.instance("x").state is State.RUNNING
    assert len(processes_of(stand.folder.root)) == 1
    assert not stand.folder.residence("h1", "x").path.exists()


async def test_what_was_written_before_the_death_is_there_after_it(
    stand: QemuStand, engine: QemuEngine
) -> None:
    async with talk(stand.folder.residence("h1", "x").socket) as monitor:
        await write(monitor, *SOME)
    die_as_by_an_agent(stand)
    assert await gone(stand.folder.residence("h1", "x"), 10.0)
    await do(engine, evacuate(stand, "x"))
    disk = disk_of(stand.folder, machine_of(engine), "h2")
    await check_holds(disk, SOME)
    assert is_written(disk), "the new home's process has the right to write"


async def test_a_frozen_source_is_no_dead_source(stand: QemuStand, engine: QemuEngine) -> None:
    """A host that stands still is silent as a dead one is; its guest holds the disk."""
    number = process_id(stand.folder.residence("h1", "x"))
    assert number is not None
    os.kill(number, signal.SIGSTOP)
    try:
        with pytest.raises(Refused, match="run twice"):
            await do(engine, evacuate(stand, "x"))
        assert homes(await engine.sense()) == {"x": "h1"}
    finally:
        os.kill(number, signal.SIGCONT)
    assert len(processes_of(stand.folder.root)) == 1


async def test_a_lock_on_the_disk_alone_refuses(stand: QemuStand, engine: QemuEngine) -> None:
    """A writer of which no record tells, as on a machine that this one does not see."""
    die_as_by_an_agent(stand)
    assert await gone(stand.folder.residence("h1", "x"), 10.0)
    disk = disk_of(stand.folder, machine_of(engine), "h1")
    async with stranger(disk):
        with pytest.raises(Refused, match="held by a process that writes"):
            await do(engine, evacuate(stand, "x"))
        assert homes(await engine.sense()) == {"x": "h1"}
    assert not is_written(disk)
    await do(engine, evacuate(stand, "x", epoch=2))
    assert homes(await engine.sense()) == {"x": "h2"}


async def test_a_source_that_wakes_up_cannot_write(stand: QemuStand, engine: QemuEngine) -> None:
    """It is not the home; and were it started all the same, QEMU refuses it the disk."""
    die_as_by_an_agent(stand)
    assert await gone(stand.folder.residence("h1", "x"), 10.0)
    await do(engine, evacuate(stand, "x"))
    machine = machine_of(engine)
    with pytest.raises(Refused, match="the home of x is h2, not h1"):
        await boot(engine.ground, machine, "h1")
    residence = engine.ground.ledger.save_resident("h1", "x", resident())
    await spawn(engine.ground, machine, "h1")
    assert await gone(residence, 20.0)
    assert any("lock" in word for word in last_words(residence))
    assert alive(stand.folder.residence("h2", "x")), "the home's process never noticed"
    assert len(processes_of(stand.folder.root)) == 1


async def test_settling_cleans_a_host_that_returns(stand: QemuStand, engine: QemuEngine) -> None:
    """What a returned host kept of an instance goes; its process, were there one, too."""
    die_as_by_an_agent(stand)
    assert await gone(stand.folder.residence("h1", "x"), 10.0)
    await do(engine, evacuate(stand, "x"))
    stale = stand.folder.residence("h1", "x")
    stale.path.mkdir()
    stale.pid.write_text("1")
    ledger = engine.ground.ledger
    assert unclear(ledger) == {"x"}
    await settle(engine.ground, "x")
    assert unclear(ledger) == set()
    assert not stale.path.exists()
    assert len(processes_of(stand.folder.root)) == 1
    assert homes(await engine.sense()) == {"x": "h2"}


async def test_a_start_that_fails_leaves_it_where_it_was_for_another_try(
    stand: QemuStand, engine: QemuEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    die_as_by_an_agent(stand)
    assert await gone(stand.folder.residence("h1", "x"), 10.0)
    before = (await engine.sense()).digest

    async def fails(ground: Ground, machine: Machine, host: str) -> None:
        assert ground.ledger.home("x") is not None
        raise Refused(f"QEMU did not start {machine.instance} on {host}")

    with monkeypatch.context() as patched:
        patched.setattr(evacuation, "boot", fails)
        with pytest.raises(Refused, match="did not start"):
            await do(engine, evacuate(stand, "x"))
        assert (await engine.sense()).digest == before
        assert await engine.find("i-1.x.1") is Trace.FAILED
        assert unclear(engine.ground.ledger) == set()
    await do(engine, evacuate(stand, "x", epoch=2))
    pool = await engine.sense()
    assert (pool.instance("x").host, pool.instance("x").state) == ("h2", State.RUNNING)


async def test_tries_survive_a_move_and_a_restart(stand: QemuStand, engine: QemuEngine) -> None:
    """An older epoch is refused whoever asks, and wherever the instance is by then."""
    await do(engine, Fence(id="f", host="h1"), evacuate(stand, "x", "i-1", epoch=2))
    back = Migrate(id="back", instance="x", source="h2", target="h1")
    await do(engine, PowerOn(id="on", host="h1"), back, Fence(id="f2", host="h1"))
    again = await stand.open()
    with pytest.raises(Refused, match="epoch 1 is older than 2"):
        await do(again, evacuate(stand, "x", "i-1", epoch=1))
    await do(again, evacuate(stand, "x", "i-2", epoch=1))
    assert homes(await again.sense()) == {"x": "h2"}
    await again.aclose()


async def test_an_own_disk_is_not_evacuated(tmp_path: Path, stand: QemuStand) -> None:
    """It died with its host, or lives on there: what to do is told."""
    owning = OwningStand(stand.folder.root, stand.findings)
    engine = await owning.open()
    await do(engine, place(owning, "x"), Fence(id="f", host="h1"))
    with pytest.raises(Refused) as refusal:
        await do(engine, evacuate(owning, "x"))
    assert "the disk of x is on h1 itself" in refusal.value.brief
    assert "bring h1 back, or restore x from a copy" in refusal.value.fix
    assert homes(await engine.sense()) == {"x": "h1"}
    await engine.aclose()


@contextlib.asynccontextmanager
async def stranger(disk: Path) -> AsyncIterator[None]:
    """Let a QEMU that no record knows hold a disk for writing."""
    node = {"driver": "qcow2", "node-name": "d", "file": {"driver": "file", "filename": str(disk)}}
    socket = disk.with_name("nbd")
    process = await asyncio.create_subprocess_exec(
        *("qemu-storage-daemon", "--blockdev", json.dumps(node)),
        *("--nbd-server", f"addr.type=unix,addr.path={socket}"),
        *("--export", "nbd,id=e,node-name=d,writable=on"),
    )
    try:
        await until(lambda: is_written(disk))
        yield
    finally:
        process.kill()
        await process.wait()


def resident() -> Resident:
    """Return what a host believes that knows nothing of an evacuation."""
    return Resident(role=Role.HOME, wanted=State.RUNNING)
