# SPDX-License-Identifier: Apache-2.0
"""The built-in Linux guest: what is in its RAM disk, and that it boots, moves and shuts down."""

import asyncio
import gzip
import math
from dataclasses import replace

import pytest
from tests.engines.qemu.world import QemuStand, said, until

from billow.engines.qemu.engine import QemuEngine
from billow.engines.qemu.initramfs import File, archive
from billow.engines.qemu.monitor import talk
from billow.model.action import Place, Stop
from billow.model.kinds import State
from billow.testing.stand import do, migrate, place


def entries(packed: bytes) -> dict[str, tuple[int, bytes]]:
    """Return mode and data by name from a `newc` archive."""
    data, at = gzip.decompress(packed), 0
    found: dict[str, tuple[int, bytes]] = {}
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        mode, size, length = fields[1], fields[6], fields[11]
        name = data[at + 110 : at + 109 + length].decode()
        at += (110 + length + 3) // 4 * 4
        if name == "TRAILER!!!":
            return found
        found[name] = (mode, data[at : at + size])
        at += (size + 3) // 4 * 4


def test_an_archive_holds_its_files_and_their_folders() -> None:
    packed = archive([File("bin/sh", link="busybox"), File("bin/busybox", b"12345", True)])
    found = entries(packed)
    assert found["bin"][0] == 0o40755
    assert found["bin/busybox"] == (0o100755, b"12345")
    assert found["bin/sh"] == (0o120777, b"busybox")
    assert found["dev/console"][0] == 0o20600
    assert list(found).index("bin") < list(found).index("bin/sh")


def test_the_same_files_are_the_same_archive() -> None:
    files = [File("b", b"2"), File("a", b"1")]
    assert archive(files) == archive(reversed(files))


async def check_memory_told(engine: QemuEngine) -> None:
    """Check that the guest's own words about its memory arrive, and that it gave nothing back."""
    async with asyncio.timeout(30):
        while math.isnan((await engine.sense()).instance("x").ballooned_mib):  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    pool = await engine.sense()
    assert pool.instance("x").ballooned_mib == 0
    told = {fact.key: fact.value for fact in pool.facts if fact.subject == "instance/x"}
    assert 80 < float(told["guest_memory_mib"]) <= 160
    assert 10 < float(told["guest_available_mib"]) < float(told["guest_memory_mib"])
    residence = engine.ground.ledger.folder.residence("h1", "x")
    async with talk(residence.socket) as monitor:
        await monitor.execute("balloon", {"value": 130 * 2**20})
    async with asyncio.timeout(30):
        while (await engine.sense()).instance("x").ballooned_mib != 30:  # noqa: ASYNC110
            await asyncio.sleep(0.5)


@pytest.mark.qemu
@pytest.mark.slow
@pytest.mark.anyio
async def test_linux_boots_moves_and_shuts_down(stand: QemuStand) -> None:
    engine = await stand.open()
    small = stand.instance("x").shape
    shape = replace(small, name="linux", cpu_milli=1000, memory_mib=160)
    wanted = replace(place(stand, "x").instance, image="linux", shape=shape)
    await do(engine, Place(id="p", instance=wanted, host=stand.first))
    serial = stand.folder.volume("x").serial
    await until(lambda: "beat=1" in said(serial), timeout_s=180)
    assert "billow-linux x up" in said(serial)
    await check_memory_told(engine)
    await do(engine, migrate(stand, "x"))
    beats = said(serial).count("beat=")
    await until(lambda: said(serial).count("beat=") > beats)
    await do(engine, Stop(id="s", instance="x", host=stand.second, grace_s=60))
    assert "billow-linux x power button, off" in said(serial)
    assert said(serial).count(" up ") == 1, "it was booted once"
    assert (await engine.sense()).instance("x").state is State.STOPPED
    await engine.aclose()
