# SPDX-License-Identifier: Apache-2.0
"""Assessing real guests over a really shaped link: what is measured, and what it foretells."""

import asyncio
import math
from dataclasses import replace

import pytest
from tests.engines.qemu.world import QemuStand, boot_with

from billow.engines.qemu.carried import carried
from billow.engines.qemu.dirtying import SAMPLED_FROM_MIB, dirtying
from billow.engines.qemu.engine import QemuEngine
from billow.engines.qemu.firmware.control import (
    ADDRESS,
    FIRST_FREE,
    PAGE,
    WORDS,
    Orders,
    Role,
    decode,
)
from billow.engines.qemu.monitor import talk
from billow.engines.qemu.network import HOST_LINK
from billow.engines.qemu.probe import Findings
from billow.engines.qemu.process import process_id
from billow.errors import Invalid, NotFound
from billow.model.assessment import Way
from billow.model.instance import Instance
from billow.model.shape import Shape
from billow.plan.convergence import Verdict, outlook
from billow.ports import Assessor
from billow.testing.stand import do, migrate

pytestmark = [pytest.mark.qemu, pytest.mark.anyio]
MIB_PAGES = 256
BATCH_MS = 25
"""Batches so long apart keep the timer's own writes at 1 or 2 MiB/s."""


class LargeStand(QemuStand):
    """Instances large enough for their pages to be sampled."""

    def instance(self, name: str, *, immovable: str = "") -> Instance:
        return Instance(name, Shape("medium", 100, 256), immovable=immovable)


@pytest.fixture
def large(stand: QemuStand, findings: Findings) -> QemuStand:
    if not findings.dirty_ring:
        pytest.fail("these tests need KVM with a dirty ring: what is measured without it is less")
    return LargeStand(stand.folder.root, findings)


def writer(mib_s: float, working_mib: int, base_mib: int = 1) -> Orders:
    """Return orders to write so much, page after page, in a region."""
    return Orders(
        role=Role.WRITER,
        base=FIRST_FREE + base_mib * 2**20,
        pages=working_mib * MIB_PAGES,
        period_ns=BATCH_MS * 10**6,
        batch=round(mib_s * MIB_PAGES * BATCH_MS / 1000),
        fill=True,
    )


def reader(base_mib: int, pages_mib: int) -> Orders:
    return replace(writer(20, pages_mib, base_mib), role=Role.READER)


async def shape(engine: QemuEngine, mbit: int) -> None:
    """Let the first host send so much and no more."""
    where = engine.ground.network.namespace("h1")
    line = f"ip netns exec {where} tc qdisc replace dev {HOST_LINK} root tbf rate {mbit}mbit"
    process = await asyncio.create_subprocess_exec(
        *line.split(), "burst", "128k", "latency", "20ms"
    )
    assert await process.wait() == 0


async def test_rates_are_what_vcpus_write(large: QemuStand) -> None:
    engine = await large.open()
    await boot_with(large, engine, [writer(60, 40), reader(50, 40), writer(8, 8, 100)])
    await asyncio.sleep(1.0)
    residence = large.folder.residence("h1", "x")
    process = process_id(residence)
    assert process is not None
    before, began = await work(large), asyncio.get_running_loop().time()
    found = await dirtying(residence.socket, process, SAMPLED_FROM_MIB - 1, ring=True)
    after, passed_s = await work(large), asyncio.get_running_loop().time() - began
    wrote = [(b - a) / MIB_PAGES / passed_s for a, b in zip(before, after, strict=True)]
    assert found.rates[0] == pytest.approx(wrote[0], rel=0.2)
    assert found.rates[1] <= 4
    assert found.rates[2] == pytest.approx(wrote[2], abs=3)
    assert math.isnan(found.sampled)
    assert found.held == {}
    await engine.aclose()


async def test_an_assessment_tells_all_that_a_move_depends_on(large: QemuStand) -> None:
    engine = await large.open()
    await boot_with(large, engine, [writer(60, 40), reader(50, 40), writer(8, 8, 100)])
    await asyncio.sleep(1.0)
    found = await engine.assess("x", large.second)
    assert found.guest.working_mib == pytest.approx(48, rel=0.25)
    assert found.guest.memory_mib == 256
    assert (1 - found.guest.empty_share) * 256 == pytest.approx(88, abs=12)
    assert found.ways == (Way.PLAIN, Way.DIRTY_LIMIT, Way.AUTO_CONVERGE)
    assert found.link.bandwidth_mib_s > 100
    assert (found.gaps, isinstance(engine, Assessor)) == ((), True)
    await engine.aclose()


async def work(stand: QemuStand, cpus: int = 3) -> list[int]:
    """Return how many pages each vCPU has written or read since boot."""
    async with talk(stand.folder.residence("h1", "x").socket) as monitor:
        pages = [await monitor.words(ADDRESS + cpu * PAGE, WORDS) for cpu in range(cpus)]
    return [decode(each).work for each in pages]


@pytest.mark.parametrize("mbit", [200, 840])
async def test_the_link_is_measured(large: QemuStand, mbit: int) -> None:
    engine = await large.open()
    await shape(engine, mbit)
    rate = await carried(engine.ground.network, large.first, large.second)
    assert rate == pytest.approx(mbit * 1e6 / 8 / 2**20 * 0.955, rel=0.1)
    await engine.aclose()


@pytest.mark.parametrize("mib_s", [5, 50])
async def test_a_move_takes_as_long_as_foretold(large: QemuStand, mib_s: int) -> None:
    engine = await large.open()
    await boot_with(large, engine, [writer(mib_s, 64), reader(80, 32)])
    await shape(engine, 840)
    await asyncio.sleep(1.0)
    found = await engine.assess("x", large.second)
    ahead = outlook(found)
    assert (ahead.verdict, ahead.chosen.way) == (Verdict.CONVERGES, Way.PLAIN)
    began = asyncio.get_running_loop().time()
    await do(engine, migrate(large, "x"))
    took = asyncio.get_running_loop().time() - began
    assert took == pytest.approx(ahead.chosen.seconds, rel=0.3, abs=0.7)
    await engine.aclose()


async def test_a_writer_that_is_too_fast_needs_a_limit(large: QemuStand) -> None:
    engine = await large.open()
    await boot_with(large, engine, [writer(60, 64), reader(80, 32)])
    await shape(engine, 300)
    await asyncio.sleep(1.0)
    ahead = outlook(await engine.assess("x", large.second))
    assert (ahead.verdict, ahead.chosen.way) == (Verdict.WITH_LIMIT, Way.DIRTY_LIMIT)
    assert ahead.chosen.speeds[0] < 0.9 < ahead.chosen.speeds[1]
    assert [each.way for each in ahead.others if not each.ends] == [Way.PLAIN]
    await engine.aclose()


async def test_without_the_ring_pages_are_sampled(stand: QemuStand, findings: Findings) -> None:
    translated = replace(findings, kvm=False, kvm_systems=False, dirty_ring=False)
    large = LargeStand(stand.folder.root, translated)
    engine = await large.open()
    await boot_with(large, engine, [writer(20, 24), reader(80, 8)])
    await asyncio.sleep(2.0)
    found = await engine.assess("x", large.second)
    assert (len(found.guest.writers), found.guest.writes_known) == (1, True)
    assert 0 < found.guest.dirty_mib_s <= 12, "in three seconds no page counts twice"
    assert Way.DIRTY_LIMIT not in found.ways
    assert "cannot be told apart" in found.gaps[0]
    await engine.aclose()


async def test_a_small_guest_without_the_ring_is_a_gap(
    stand: QemuStand, findings: Findings
) -> None:
    stand.findings = replace(findings, kvm=False, kvm_systems=False, dirty_ring=False)
    engine = await stand.open()
    await boot_with(stand, engine, [writer(5, 8)])
    found = await engine.assess("x", stand.second)
    assert not found.guest.writes_known
    assert not outlook(found).sure
    assert "not known" in found.gaps[0]
    await engine.aclose()


async def test_what_cannot_be_assessed_is_told(large: QemuStand) -> None:
    engine = await large.open()
    with pytest.raises(NotFound):
        await engine.assess("x", large.second)
    await boot_with(large, engine, [writer(5, 8)])
    with pytest.raises(Invalid):
        await engine.assess("x", large.first)
    await engine.aclose()
