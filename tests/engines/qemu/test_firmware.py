# SPDX-License-Identifier: Apache-2.0
"""The firmware guest: it is built from its source, obeys its orders, and lives on across a move."""

import asyncio
import contextlib
import os
import signal
from dataclasses import replace

import pytest
from tests.engines.qemu.world import QemuStand, answers, boot_with, said, until

from billow.engines.qemu.folder import Residence
from billow.engines.qemu.machine import Accelerator
from billow.engines.qemu.monitor import talk
from billow.engines.qemu.process import alive, process_id
from billow.errors import BillowError, Invalid, Refused
from billow.firmware import build
from billow.firmware.control import (
    ADDRESS,
    FIRST_FREE,
    PAGE,
    WORDS,
    Answer,
    Orders,
    Role,
    decode,
    encode,
)
from billow.firmware.image import image
from billow.model.action import Delete, Stop
from billow.model.kinds import State
from billow.testing.stand import do, migrate, place

MIB_PAGES = 2**20 // PAGE


@pytest.mark.qemu
def test_the_kept_image_is_what_the_source_builds() -> None:
    assert build.build() == image()
    assert len(image()) == build.SIZE


def test_orders_come_back_as_words() -> None:
    orders = Orders(role=Role.WRITER, pages=3, period_ns=5, batch=7, fill=True, beat_ms=11, spin=13)
    page = encode([orders], memory_mib=16)
    words = [int.from_bytes(page[at : at + 8], "little") for at in range(0, WORDS * 8, 8)]
    assert len(page) == PAGE
    assert words[1:6] == [Role.WRITER, FIRST_FREE, 3, 5, 7]
    assert words[9] == 1
    assert words[11:13] == [11, 13]
    assert decode([1, 0, 0, 0, 0, 0, 2, 3, 4, 0, 5, 0, 0, 6]) == Answer(1, 2, 3, 4, 5, 6)


@pytest.mark.parametrize(
    ("orders", "memory_mib"),
    [
        ([{"base": FIRST_FREE + 1}], 16),
        ([{"base": 0}], 16),
        ([{"pages": -1}], 16),
        ([{"pages": 16 * MIB_PAGES}], 16),
        ([{}] * 65, 16),
    ],
)
def test_orders_that_cannot_be_are_refused(orders: list[dict[str, int]], memory_mib: int) -> None:
    with pytest.raises(Invalid):
        encode([Orders(**each) for each in orders], memory_mib)  # type: ignore[arg-type]  # ints


@pytest.mark.qemu
@pytest.mark.anyio
@pytest.mark.parametrize("accelerator", [Accelerator.KVM, Accelerator.TCG])
async def test_a_guest_works_speaks_moves_and_stops(
    stand: QemuStand, accelerator: Accelerator
) -> None:
    if accelerator is Accelerator.TCG:
        stand.findings = replace(stand.findings, kvm=False)
    engine = await stand.open()
    await do(engine, place(stand, "x"))
    record = engine.ground.ledger.instance("x")
    assert record is not None
    expected = Accelerator.KVM if stand.findings.kvm else Accelerator.TCG
    assert record.machine.platform.accelerator is expected
    serial = stand.folder.volume("x").serial
    await until(lambda: "beat=1 " in said(serial))
    await do(engine, migrate(stand, "x"))
    beats = said(serial).count("beat=")
    await until(lambda: said(serial).count("beat=") > beats)
    await do(engine, Stop(id="stop", instance="x", host=stand.second, grace_s=20))
    lines = said(serial).splitlines()
    assert lines[0] == "billow-firmware up cpus=1"
    assert sum("up" in line for line in lines) == 1, "it was booted once and moved alive"
    numbers = [int(line.split("=")[1].split()[0]) for line in lines if "beat=" in line]
    assert numbers == list(range(1, len(numbers) + 1)), "no beat was lost or said twice"
    assert lines[-1] == "billow-firmware power button, off"
    await engine.aclose()


@pytest.mark.qemu
@pytest.mark.anyio
async def test_a_writer_moves_with_every_page(stand: QemuStand) -> None:
    """Two busy vCPUs; after the move each page holds the count that its writer put there last."""
    engine = await stand.open()
    pages = 256
    orders = [
        Orders(role=Role.WRITER, pages=pages, period_ns=2_000_000, fill=True),
        Orders(role=Role.READER, base=FIRST_FREE + pages * PAGE, pages=pages),
    ]
    await boot_with(stand, engine, orders)
    before = await answers(stand, stand.first, "x", 2)
    await do(engine, migrate(stand, "x"))
    async with talk(stand.folder.residence(stand.second, "x").socket) as monitor:
        await monitor.execute("stop")
        after = [decode(await monitor.words(ADDRESS + n * PAGE, WORDS)) for n in range(2)]
        counts = [
            (await monitor.words(FIRST_FREE + page * PAGE + 8, 1))[0] for page in range(pages)
        ]
    assert all(late.work > early.work for early, late in zip(before, after, strict=True))
    written = after[0].work
    assert max(counts) in (written, written + 1), "one page may be written and not yet counted"
    newest = counts.index(max(counts))
    around = counts[newest + 1 :] + counts[: newest + 1]
    assert around == list(range(max(counts) - pages + 1, max(counts) + 1))
    await do(engine, Delete(id="delete", instance="x", host=stand.second))
    await engine.aclose()


@pytest.mark.qemu
@pytest.mark.anyio
async def test_a_guest_that_ends_by_itself_is_stopped_and_one_that_is_killed_has_failed(
    stand: QemuStand,
) -> None:
    engine = await stand.open()
    await do(engine, place(stand, "x"), place(stand, "y"))
    off, killed = (stand.folder.residence(stand.first, name) for name in ("x", "y"))
    async with talk(off.socket) as monitor:
        await monitor.execute("system_powerdown")
    number = process_id(killed)
    assert number is not None
    os.kill(number, signal.SIGKILL)
    await until(lambda: not alive(off) and not alive(killed))
    pool = await engine.sense()
    assert pool.instance("x").state is State.STOPPED
    assert pool.instance("y").state is State.FAILED
    await engine.aclose()


@pytest.mark.qemu
@pytest.mark.anyio
@pytest.mark.parametrize("left_alone", [False, True], ids=["stopped", "taken over"])
async def test_a_guest_ends_in_order_though_somebody_speaks_to_it_as_it_goes(
    stand: QemuStand, *, left_alone: bool
) -> None:
    """QEMU 7.2 sleeps for ever when it is spoken to while it cleans up."""
    engine = await stand.open()
    await do(engine, place(stand, "x"))
    residence = stand.folder.residence(stand.first, "x")
    talking = asyncio.create_task(_talk_without_end(residence))
    if left_alone:  # by a controller that died as it had pressed the button
        residence.pressed.touch()
        async with talk(residence.socket) as monitor:
            while not await monitor.power_down(2.0):  # one that still boots misses it
                pass
        with pytest.raises(BillowError):
            await talking
    reports = await do(engine, Stop(id="stop", instance="x", host=stand.first, grace_s=60.0))
    with pytest.raises(BillowError):
        await talking
    assert reports[-1].phase == "stopped"
    assert not alive(residence)
    assert (await engine.sense()).instance("x").state is State.STOPPED
    await engine.aclose()


async def _talk_without_end(residence: Residence) -> None:
    while True:
        async with talk(residence.socket, timeout_s=3.0) as monitor:
            with contextlib.suppress(Refused):
                await monitor.execute("object-del", {"id": "nothing"}, timeout_s=3.0)
