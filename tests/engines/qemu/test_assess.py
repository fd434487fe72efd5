# SPDX-License-Identifier: Apache-2.0
"""Assessing real guests over a really shaped link: what is told apart, and what it foretells.

How exact it is depends on how busy this machine is, and is no test's business.
"""

import asyncio
import math
from dataclasses import replace

import pytest
from tests.engines.qemu.world import QemuStand, boot_with

from billow.engines.qemu.carried import carried
from billow.engines.qemu.dirtying import SAMPLED_FROM_MIB, dirtying
from billow.engines.qemu.engine import QemuEngine
from billow.engines.qemu.network import HOST_LINK
from billow.engines.qemu.probe import Findings
from billow.engines.qemu.process import process_id
from billow.errors import Invalid, NotFound
from billow.firmware.control import FIRST_FREE, Orders, Role
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
        pytest.skip("the dirty ring needs KVM, and this machine does not let guests run under it")
    return LargeStand(stand.folder.root, findings)


def writer(mib_s: float, working_mib: int, base_mib: int = 1, *, whole: bool = False) -> Orders:
    """Return orders to write so much, page after page, in a region; a word of each, or all."""
    return Orders(
        role=Role.WRITER,
        base=FIRST_FREE + base_mib * 2**20,
        pages=working_mib * MIB_PAGES,
        period_ns=BATCH_MS * 10**6,
        batch=round(mib_s * MIB_PAGES * BATCH_MS / 1000),
        fill=True,
        whole=whole,
    )


def reader(base_mib: int, pages_mib: int) -> Orders:
    return replace(writer(20, pages_mib, base_mib), role=Role.READER)


async def shape(engine: QemuEngine, mbit: int) -> None:
    """Let the first host send so much and no more."""
    where = engine.ground.network.namespace("h1")
    line = f"tc qdisc replace dev {HOST_LINK} root tbf rate {mbit}mbit burst 128k latency 20ms"
    process = await asyncio.create_subprocess_exec(
        "nsenter", f"--net=/run/netns/{where}", *line.split()
    )
    assert await process.wait() == 0


async def test_heavy_and_light_writers_and_readers_are_told_apart(large: QemuStand) -> None:
    engine = await large.open()
    await boot_with(large, engine, [writer(60, 40), reader(50, 40), writer(8, 8, 100)])
    residence = large.folder.residence("h1", "x")
    process = process_id(residence)
    assert process is not None
    found = await dirtying(residence.socket, process, SAMPLED_FROM_MIB - 1, ring=True)
    heavy, reading, light = (found.rates[cpu] for cpu in range(3))
    assert heavy > 2 * light
    assert light > reading
    assert reading <= 4
    assert math.isnan(found.sampled)
    assert found.held == {}
    await engine.aclose()


async def test_an_assessment_tells_all_that_a_move_depends_on(large: QemuStand) -> None:
    engine = await large.open()
    await boot_with(large, engine, [writer(60, 40), reader(50, 40), writer(8, 8, 100)])
    found = await engine.assess("x", large.second)
    assert 24 <= found.guest.working_mib <= 96
    assert found.guest.memory_mib == 256
    assert 48 <= (1 - found.guest.empty_share) * 256 <= 160
    assert found.ways == (Way.PLAIN, Way.DIRTY_LIMIT, Way.AUTO_CONVERGE, Way.POST_COPY)
    assert found.link.bandwidth_mib_s > 0
    assert (found.gaps, isinstance(engine, Assessor)) == ((), True)
    alone = await engine.weigh("x")
    assert (len(alone.writers), alone.writes_known) == (3, True)
    with pytest.raises(NotFound):
        await engine.weigh("nobody")
    await engine.aclose()


async def test_the_link_is_measured(large: QemuStand) -> None:
    engine = await large.open()
    rates = []
    for mbit in (100, 800):
        await shape(engine, mbit)
        rates.append(await carried(engine.ground.network, large.first, large.second))
    assert 0 < rates[0] <= 100e6 / 8 / 2**20 * 1.1
    assert 2 * rates[0] < rates[1] <= 800e6 / 8 / 2**20 * 1.1
    await engine.aclose()


@pytest.mark.thorough
@pytest.mark.parametrize("mib_s", [5, 30])
async def test_a_move_that_is_foretold_to_end_ends(large: QemuStand, mib_s: int) -> None:
    engine = await large.open()
    await boot_with(large, engine, [writer(mib_s, 64), reader(80, 32)])
    await shape(engine, 840)
    found = await engine.assess("x", large.second)
    ahead = outlook(found)
    assert (ahead.verdict, ahead.chosen.way) == (Verdict.CONVERGES, Way.PLAIN)
    await do(engine, migrate(large, "x"))
    assert (await engine.sense()).instance("x").host == large.second
    await engine.aclose()


async def test_a_writer_that_is_too_fast_needs_a_limit(large: QemuStand) -> None:
    engine = await large.open()
    await boot_with(large, engine, [writer(150, 64, whole=True), reader(80, 32)])
    await shape(engine, 150)
    async with asyncio.timeout(180.0):  # a busy machine lets it write as fast now and then
        while True:
            found = await engine.assess("x", large.second)
            share = found.link.share_mib_s  # below 12 MiB/s what QEMU tolerates is too much
            if share > 12 and found.guest.dirty_mib_s > 2 * share:
                break
    ahead = outlook(found)
    assert (ahead.verdict, ahead.chosen.way) == (Verdict.WITH_LIMIT, Way.DIRTY_LIMIT)
    assert ahead.chosen.speeds[0] < 0.9 < ahead.chosen.speeds[1]
    ends = {each.way: each.ends for each in ahead.others}
    assert (ends[Way.PLAIN], ends[Way.POST_COPY]) == (False, True)
    await engine.aclose()


async def test_a_writer_of_a_word_here_and_there_needs_none(large: QemuStand) -> None:
    engine = await large.open()
    await boot_with(large, engine, [writer(150, 64), reader(80, 32)])
    await shape(engine, 300)
    found = await engine.assess("x", large.second)
    assert found.guest.changes < 0.1
    assert outlook(found).verdict is Verdict.CONVERGES
    await engine.aclose()


async def test_without_the_ring_pages_are_sampled(stand: QemuStand, findings: Findings) -> None:
    translated = replace(findings, kvm=False, kvm_systems=False, dirty_ring=False)
    large = LargeStand(stand.folder.root, translated)
    engine = await large.open()
    await boot_with(large, engine, [writer(20, 24), reader(80, 8)])
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
