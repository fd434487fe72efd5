# SPDX-License-Identifier: Apache-2.0
"""A channel as wide as it pays: chosen by what is seen, set on both ends, and nothing is lost."""

import asyncio
import math
import os
from dataclasses import replace

import pytest
from benchmarks.migration_pages import bad_pages, dump
from tests.engines.qemu.world import QemuStand, boot_with

from billow.act.terms import Terms
from billow.engines.qemu.engine import QemuEngine
from billow.engines.qemu.migration import width
from billow.engines.qemu.migration.sample import changes, pages_of, shrinks_to
from billow.engines.qemu.monitor import talk
from billow.engines.qemu.process import process_id
from billow.firmware.control import FIRST_FREE, Orders, Role
from billow.model.kinds import MigrationPolicy
from billow.plan import channel
from billow.testing.stand import do, migrate

pytestmark = [pytest.mark.qemu, pytest.mark.anyio]
MEMORY_MIB = 32
OLD_QEMU, NO_QEMU = (7, 0), (99, 0)
SHRINKS = [Orders(role=Role.WRITER, base=FIRST_FREE, pages=20 * 256, period_ns=10**8)]
"""20 MiB with a number in each page, the rest zeros."""
STAYS = [Orders(role=Role.READER, base=FIRST_FREE, pages=20 * 256, period_ns=10**8, fill=True)]
"""20 MiB of noise."""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let guests count that are as small as those of tests."""
    monkeypatch.setattr(channel, "LEAST_MIB", 4.0)
    monkeypatch.setattr(width, "LEAST_MIB", 4.0)
    monkeypatch.setattr(width, "_BESIDE_MIB", 0.0)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    monkeypatch.setattr(width, "SAFE_FROM", (7, 0))  # nothing fails on purpose here
    monkeypatch.setattr(width, "UNSAFE_ENCRYPTED", (NO_QEMU, NO_QEMU))


@pytest.fixture
def needs_link(stand: QemuStand) -> None:
    """Skip where hosts share this machine's network: who is not root. Root runs it."""
    if not stand.findings.namespaces:
        pytest.skip("hosts have no network of their own here: there is no link")


async def working(stand: QemuStand, engine: QemuEngine) -> int:
    """Return the process of `x` once it has filled its memory."""
    residence = stand.folder.residence(stand.first, "x")
    number = process_id(residence)
    while number is None:
        await asyncio.sleep(0.02)
        number = process_id(residence)
    while math.isnan(shrinks_to(number, MEMORY_MIB)):  # noqa: ASYNC110  # another process
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    return number


@pytest.mark.parametrize(("orders", "least", "most"), [(SHRINKS, 0, 0.2), (STAYS, 0.95, 1.0)])
async def test_a_few_pages_tell_how_well_memory_compresses(
    stand: QemuStand, orders: list[Orders], least: float, most: float
) -> None:
    engine = await stand.open()
    await boot_with(stand, engine, orders)
    assert least <= shrinks_to(await working(stand, engine), MEMORY_MIB) <= most
    assert math.isnan(shrinks_to(os.getpid(), MEMORY_MIB + 1))  # no guest of this size
    await engine.aclose()


WHOLE = [replace(SHRINKS[0], whole=True)]


@pytest.mark.thorough
@pytest.mark.parametrize(("orders", "least", "most"), [(SHRINKS, 0, 0.1), (WHOLE, 0.9, 1.0)])
async def test_two_looks_tell_what_changes_in_a_page(
    stand: QemuStand, orders: list[Orders], least: float, most: float
) -> None:
    engine = await stand.open()
    await boot_with(stand, engine, orders)
    process = await working(stand, engine)
    before = pages_of(process, MEMORY_MIB)
    assert math.isnan(changes(before, before))
    share = math.nan
    async with asyncio.timeout(60.0):
        while math.isnan(share):
            await asyncio.sleep(0.1)
            share = changes(before, pages_of(process, MEMORY_MIB))
    assert least <= share <= most
    await engine.aclose()


@pytest.mark.usefixtures("needs_link")
async def test_a_slow_link_is_spared_and_one_that_is_not_known_is_not(stand: QemuStand) -> None:
    engine = await stand.open()
    await boot_with(stand, engine, SHRINKS)
    await working(stand, engine)
    carried = engine.ground.network.carried
    pages = await dump(stand.folder.residence(stand.first, "x").socket, SHRINKS)
    carried[stand.first, stand.second] = (5.0, math.inf)
    carried[stand.second, stand.first] = (math.nan, math.inf)
    await do(engine, migrate(stand, "x"))
    assert await told(stand, stand.second) == (True, "zstd")
    back = replace(migrate(stand, "x"), id="back", source=stand.second, target=stand.first)
    await do(engine, back)
    assert await told(stand, stand.first) == (False, "none")
    assert await bad_pages(stand.folder.residence(stand.first, "x").socket, SHRINKS, pages) == 0
    await engine.aclose()


async def test_a_qemu_that_streams_may_end_sends_by_one(
    stand: QemuStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(width, "SAFE_FROM", (99, 0))
    engine = await stand.open()
    await boot_with(stand, engine, SHRINKS)
    await working(stand, engine)
    engine.ground.network.carried[stand.first, stand.second] = (5.0, math.inf)
    await do(engine, migrate(stand, "x"))
    assert await told(stand, stand.second) == (False, "none")
    await engine.aclose()


@pytest.mark.parametrize(("encrypted", "streams"), [(True, False), (False, True)])
@pytest.mark.usefixtures("needs_link")
async def test_a_qemu_that_encrypted_streams_may_end_sends_by_one(
    stand: QemuStand, monkeypatch: pytest.MonkeyPatch, *, encrypted: bool, streams: bool
) -> None:
    monkeypatch.setattr(width, "UNSAFE_ENCRYPTED", (OLD_QEMU, NO_QEMU))
    engine = await stand.open_under(Terms(encrypted=encrypted))
    await boot_with(stand, engine, SHRINKS)
    await working(stand, engine)
    engine.ground.network.carried[stand.first, stand.second] = (5.0, math.inf)
    await do(engine, migrate(stand, "x"))
    assert (await told(stand, stand.second))[0] is streams
    await engine.aclose()


async def test_post_copy_goes_by_a_single_stream(stand: QemuStand) -> None:
    engine = await stand.open()
    await boot_with(stand, engine, SHRINKS)
    await working(stand, engine)
    engine.ground.network.carried[stand.first, stand.second] = (5.0, math.inf)
    await do(engine, replace(migrate(stand, "x"), policy=MigrationPolicy.POST_COPY))
    assert await told(stand, stand.second) == (False, "none")
    await engine.aclose()


@pytest.mark.usefixtures("needs_link")
@pytest.mark.parametrize(("orders", "wanted"), [(SHRINKS, True), (WHOLE, False)])
async def test_changes_are_sent_of_a_small_guest_too_but_not_of_whole_pages(
    stand: QemuStand, monkeypatch: pytest.MonkeyPatch, orders: list[Orders], *, wanted: bool
) -> None:
    monkeypatch.setattr(width, "LEAST_MIB", MEMORY_MIB + 1.0)
    monkeypatch.setattr(channel, "LEAST_MIB", MEMORY_MIB + 1.0)
    engine = await stand.open()
    await boot_with(stand, engine, [replace(orders[0], period_ns=10**5)])
    await working(stand, engine)
    await do(engine, migrate(stand, "x"))
    assert (await capabilities(stand, stand.second))["xbzrle"] is wanted
    await engine.aclose()


async def told(stand: QemuStand, host: str) -> tuple[bool, str]:
    """Return whether the process that has `x` now had several streams, and how compressed."""
    states = await capabilities(stand, host)
    async with talk(stand.folder.residence(host, "x").socket) as monitor:
        parameters = await monitor.mapping("query-migrate-parameters")
    return states["multifd"], str(parameters["multifd-compression"])


async def capabilities(stand: QemuStand, host: str) -> dict[str, bool]:
    """Return what the process that has `x` now was told about moves."""
    async with talk(stand.folder.residence(host, "x").socket) as monitor:
        known = await monitor.execute("query-migrate-capabilities")
    assert isinstance(known, list)
    return {each["capability"]: bool(each["state"]) for each in known}
