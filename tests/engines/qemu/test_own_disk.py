# SPDX-License-Identifier: Apache-2.0
"""Disks of a host's own move with their instance, byte by byte, and never come out stale."""

import asyncio
import errno
import os
import signal
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from tests.engines.qemu.owning import (
    SOME,
    OwningStand,
    Written,
    check_at_home,
    check_holds,
    check_moved,
    fill,
    write,
)
from tests.engines.qemu.test_images import make_image
from tests.engines.qemu.world import processes_of, until

from billow.act.durable import save
from billow.act.terms import Terms
from billow.engines.qemu import disk
from billow.engines.qemu.engine import QemuEngine
from billow.engines.qemu.migration import mirror
from billow.engines.qemu.migration.abilities import knows
from billow.engines.qemu.migration.mirror import PHASE, Mirror
from billow.engines.qemu.monitor import COMMAND_TIMEOUT_S, Arguments, Monitor, talk
from billow.engines.qemu.network import HOST_LINK
from billow.engines.qemu.probe import Findings
from billow.engines.qemu.process import process_id
from billow.errors import Refused
from billow.model.action import Delete, Start, Stop
from billow.model.kinds import MigrationPolicy, Power, State, Storage
from billow.ports import Trace
from billow.testing.stand import do, migrate, place

pytestmark = [pytest.mark.qemu, pytest.mark.anyio]


@pytest.fixture
async def stand(tmp_path: Path, findings: Findings) -> AsyncIterator[OwningStand]:
    """Build a world whose instances have disks of their host's own, and clear it away."""
    stand = OwningStand(tmp_path / "state", findings)
    stand.folder.root.mkdir()
    save(stand.folder.settings, stand.plan)
    yield stand
    await stand.clear()
    assert processes_of(tmp_path) == []


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk of the first move be copied at 16 MiB/s."""
    execute, moves = Monitor.execute, count(1)

    async def slowly(
        self: Monitor,
        command: str,
        arguments: Arguments | None = None,
        *,
        timeout_s: float = COMMAND_TIMEOUT_S,
        at_once: bool = False,
    ) -> object:
        if command == "blockdev-mirror" and next(moves) == 1:
            arguments = {**(arguments or {}), "speed": 16 * 2**20}
        return await execute(self, command, arguments, timeout_s=timeout_s, at_once=at_once)

    monkeypatch.setattr(Monitor, "execute", slowly)


@pytest.mark.parametrize("policy", [MigrationPolicy.BALANCED, MigrationPolicy.POST_COPY])
async def test_a_disk_moves_with_its_instance(stand: OwningStand, policy: MigrationPolicy) -> None:
    engine = await stand.open()
    await do(engine, place(stand, "x"))
    await fill(stand, *SOME)
    seen = await do(engine, replace(migrate(stand, "x"), policy=policy))
    assert any(each.phase == PHASE for each in seen)
    fractions = [each.fraction for each in seen]
    assert fractions == sorted(fractions)
    assert seen[-1].copied_mib >= sum(part.length for part in SOME)
    await engine.aclose()
    await check_moved(stand, *SOME)


@pytest.mark.parametrize("later", [True, False])
async def test_what_is_written_during_the_move_is_there_too(
    stand: OwningStand, monkeypatch: pytest.MonkeyPatch, slow: None, *, later: bool
) -> None:
    """At each look at the copy of disk or memory, the guest writes over what was sent before.

    Not while the two ends greet each other: a write by the monitor, unlike a guest's, lets its
    QEMU do nothing else, and the target greets before it writes what it is sent.
    """
    written: list[Written] = []
    check = Mirror.check

    async def write_and_check(self: Mirror) -> bool:
        move = await self.source.execute("query-migrate")
        assert isinstance(move, dict)
        if self.running and move.get("status") != "setup":
            number = len(written)
            more = [
                Written(696 + each % 40 * 0.5, 0.5, 1 + each % 250)
                for each in range(number, number + 5)
            ]
            await write(self.source, *more)
            written.extend(more)
        return await check(self)

    async def knows_or_not(monitor: Monitor, command: str) -> bool:
        return later and await knows(monitor, command)

    monkeypatch.setattr(Mirror, "check", write_and_check)
    monkeypatch.setattr(f"{mirror.__name__}.knows", knows_or_not)
    engine = await stand.open()
    await do(engine, place(stand, "x"))
    await fill(stand, Written(696, 24, 200))
    await do(engine, migrate(stand, "x"))
    await engine.aclose()
    last = {part.at: part for part in written}
    assert len(written) >= 10
    await check_moved(stand, *last.values())


async def test_a_disk_on_an_image_moves_without_the_image(
    stand: OwningStand, tmp_path: Path
) -> None:
    engine = await stand.open()
    await engine._craft.catalogue.register("mine", make_image(tmp_path / "disk.img"))
    wanted = replace(stand.instance("x"), image="mine")
    await do(engine, replace(place(stand, "x"), instance=wanted))
    await fill(stand, Written(20, 2, 3))
    await do(engine, migrate(stand, "x"))
    assert disk.stored_mib(stand.disk(stand.second)) < 4
    await do(engine, Stop(id="stop", instance="x", host=stand.second, grace_s=0.0))
    await check_holds(stand.disk(stand.second), [Written(20, 2, 3), Written(21.5, 0.5, 3)])
    await do(engine, Start(id="start", instance="x", host=stand.second))
    serial = stand.folder.volume("x").serial
    await until(lambda: serial.read_bytes().count(b"billow disk booted") >= 2)
    await do(engine, Delete(id="delete", instance="x", host=stand.second))
    assert not stand.disk(stand.second).exists()
    await engine.aclose()


async def test_hosts_without_a_network_use_a_private_socket(stand: OwningStand) -> None:
    stand.findings = replace(stand.findings, namespaces=False)
    engine = await stand.open()
    await do(engine, place(stand, "x"))
    await fill(stand, *SOME)
    await do(engine, migrate(stand, "x"))
    await engine.aclose()
    await check_moved(stand, *SOME)


async def test_a_disk_goes_in_the_clear_where_that_was_set(stand: OwningStand) -> None:
    engine = await stand.open_under(Terms(encrypted=False))
    await do(engine, place(stand, "x"))
    await fill(stand, *SOME)
    await do(engine, migrate(stand, "x"))
    await engine.aclose()
    await check_moved(stand, *SOME)


async def test_two_disks_at_once_that_want_the_same_port(
    stand: OwningStand, monkeypatch: pytest.MonkeyPatch, slow: None
) -> None:
    monkeypatch.setattr(zlib, "crc32", lambda _: 0)
    engine = await stand.open()
    await do(engine, place(stand, "x"), place(stand, "y"))
    await fill(stand, *SOME)
    await asyncio.gather(*(do(engine, migrate(stand, name)) for name in "xy"))
    assert (await engine.sense()).instance("y").host == stand.second
    await do(engine, Delete(id="delete", instance="y", host=stand.second))
    await engine.aclose()
    await check_moved(stand, *SOME)


async def strike(
    stand: OwningStand, engine: QemuEngine, host: str, how: signal.Signals, phase: str
) -> None:
    """Move `x`, and strike its process on a host once something was copied in a phase."""
    residence, struck = stand.folder.residence(host, "x"), False
    async for progress in engine.perform(migrate(stand, "x"), fence=1):
        number = process_id(residence)
        if progress.phase == phase and progress.copied_mib and number and not struck:
            struck = True
            os.kill(number, how)
    assert not struck, "the move must fail"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_target_that_dies_or_hangs_while_the_disk_is_copied(
    stand: OwningStand, slow: None, how: signal.Signals
) -> None:
    engine = await stand.open_under(Terms(stall_s=1.0))
    await do(engine, place(stand, "x"))
    await fill(stand, *SOME)
    with pytest.raises(Refused):
        await strike(stand, engine, stand.second, how, PHASE)
    assert await engine.find("migrate-x") is Trace.FAILED
    await engine.aclose()
    await check_at_home(stand, *SOME, again=how is signal.SIGSTOP)


async def test_a_source_that_dies_keeps_its_disk(stand: OwningStand, slow: None) -> None:
    engine = await stand.open()
    await do(engine, place(stand, "x"))
    await fill(stand, *SOME)
    with pytest.raises(Refused):
        await strike(stand, engine, stand.first, signal.SIGKILL, PHASE)
    there = (await engine.sense()).instance("x")
    assert (there.host, there.state) == (stand.first, State.FAILED)
    assert not stand.folder.residence(stand.second, "x").path.exists()
    await do(engine, Start(id="start", instance="x", host=stand.first))
    await engine.aclose()
    await check_at_home(stand, *SOME)


async def test_a_controller_that_goes_leaves_a_copy_that_the_next_one_takes_back(
    stand: OwningStand, slow: None
) -> None:
    engine = await stand.open()
    await do(engine, place(stand, "x"))
    await fill(stand, *SOME)
    async for progress in engine.perform(migrate(stand, "x"), fence=1):
        if progress.phase == PHASE:
            break
    await engine.aclose()
    async with talk(stand.folder.residence(stand.first, "x").socket) as monitor:
        assert await monitor.execute("query-block-jobs") != []
    await check_at_home(stand, *SOME, again=True)


async def test_a_call_back_while_the_disk_is_copied(stand: OwningStand, slow: None) -> None:
    engine = await stand.open()
    await do(engine, place(stand, "x"))
    await fill(stand, *SOME)
    async for progress in engine.perform(migrate(stand, "x"), fence=1):
        if progress.phase == PHASE:
            break
    await engine.cancel("migrate-x")
    with pytest.raises(Refused) as refusal:
        await do(engine, migrate(stand, "x"))
    assert refusal.value.code == "cancelled"
    await engine.aclose()
    await check_at_home(stand, *SOME)


async def test_a_target_that_hangs_at_the_switch_does_not_take_the_guest_with_it(
    stand: OwningStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last of the disk cannot be written: QEMU itself waits for it, until it is cut off."""
    end = Mirror.end

    async def hang(self: Mirror) -> None:
        number = process_id(stand.folder.residence(stand.second, "x"))
        assert number is not None
        os.kill(number, signal.SIGSTOP)
        await end(self)

    monkeypatch.setattr(Mirror, "end", hang)
    monkeypatch.setattr(mirror, "END_S", 1.0)
    engine = await stand.open()
    await do(engine, place(stand, "x"))
    await fill(stand, *SOME)
    with pytest.raises(Refused):
        await do(engine, migrate(stand, "x"))
    await engine.aclose()
    monkeypatch.undo()
    await check_at_home(stand, *SOME)


async def test_a_stopped_instance_takes_its_disk_along(stand: OwningStand) -> None:
    engine = await stand.open()
    await do(engine, place(stand, "x"))
    await fill(stand, *SOME)
    await do(engine, Stop(id="stop-x", instance="x", host=stand.first, grace_s=0.0))
    seen = await do(engine, migrate(stand, "x"))
    assert [each.phase for each in seen if each.total_mib] == [PHASE] * 3
    await do(engine, Start(id="start", instance="x", host=stand.second))
    await engine.aclose()
    await check_moved(stand, *SOME)


async def test_a_target_without_room_leaves_a_stopped_instance_where_it_was(
    stand: OwningStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = disk._copy_piece

    def full(source: int, target: int, place: int, length: int) -> None:
        if place:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        copy(source, target, place, length)

    monkeypatch.setattr(disk, "_copy_piece", full)
    engine = await stand.open()
    await do(engine, place(stand, "x"))
    await fill(stand, *SOME)
    await do(engine, Stop(id="stop-x", instance="x", host=stand.first, grace_s=0.0))
    with pytest.raises(Refused) as refusal:
        await do(engine, migrate(stand, "x"))
    assert "No space left" in str(refusal.value.details)
    assert not stand.folder.residence(stand.second, "x").path.exists()
    await check_holds(stand.disk(stand.first), SOME)
    monkeypatch.undo()
    await do(engine, Start(id="start", instance="x", host=stand.first))
    await engine.aclose()
    await check_at_home(stand, *SOME)


async def test_what_a_removed_residence_left_is_swept(stand: OwningStand) -> None:
    """A crash may come after a record is gone and before the disk is."""
    engine = await stand.open()
    await do(engine, place(stand, "x"))
    await engine.aclose()
    left = stand.disk(stand.second)
    left.parent.mkdir(parents=True)
    left.write_bytes(b"stale")
    engine = await stand.open()
    await do(engine, place(stand, "y"), fence=2)
    assert not left.parent.exists()
    assert (await engine.sense()).instance("x").host == stand.first
    await engine.aclose()


async def test_a_disk_on_a_host_without_power_cannot_be_fetched(stand: OwningStand) -> None:
    engine = await stand.open()
    await do(engine, place(stand, "x"))
    await do(engine, Stop(id="stop-x", instance="x", host=stand.first, grace_s=0.0))
    ledger = engine.ground.ledger
    ledger.save_host(stand.first, replace(ledger.host(stand.first), power=Power.OFF))
    (blocker,) = await engine.blockers(migrate(stand, "x"))
    assert blocker.reason == f"the disk of x is on {stand.first}, which has no power"
    await engine.aclose()


async def test_a_pool_tells_where_disks_are_and_what_they_take(stand: OwningStand) -> None:
    engine = await stand.open()
    await do(engine, place(stand, "x"))
    await fill(stand, *SOME)
    there = (await engine.sense()).instance("x")
    assert there.disk is Storage.OWN
    assert 16 <= there.disk_used_mib < 20
    found = await engine.assess("x", stand.second)
    assert found.guest.disk_mib == pytest.approx(there.disk_used_mib)
    await engine.aclose()


async def test_a_target_that_cannot_be_reached_is_not_waited_for(stand: OwningStand) -> None:
    if not stand.findings.namespaces:
        pytest.skip("the hosts share this machine's network: there is nothing to cut")
    engine = await stand.open()
    await do(engine, place(stand, "x"))
    await fill(stand, *SOME)
    where = f"--net=/run/netns/{engine.ground.network.namespace(stand.second)}"
    for state in ("down", "up"):
        command = ("nsenter", where, "ip", "link", "set", HOST_LINK, state)
        process = await asyncio.create_subprocess_exec(*command)
        assert await process.wait() == 0
        if state == "down":
            with pytest.raises(Refused, match="cannot be reached"):
                await do(engine, migrate(stand, "x"))
    await engine.aclose()
    await check_at_home(stand, *SOME, again=True)
