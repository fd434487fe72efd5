# SPDX-License-Identifier: Apache-2.0
"""Moves of a guest that writes faster than the link carries, by each policy."""

import asyncio
import contextlib
import math

import pytest
from tests.engines.qemu.world import QemuStand, boot_with, processes_of

from billow.engines.qemu.engine import QemuEngine
from billow.engines.qemu.folder import Residence
from billow.engines.qemu.migration import abilities, move
from billow.engines.qemu.migration.limits import WATCHED_MIB_S, Limits, limited, release
from billow.engines.qemu.monitor import Monitor, talk
from billow.errors import Conflict, NotFound, Refused
from billow.firmware.control import FIRST_FREE, Orders, Role
from billow.model.action import Migrate
from billow.model.assessment import Way
from billow.model.kinds import MigrationPolicy, State
from billow.model.run import Progress
from billow.ports import Trace
from billow.testing.stand import do

pytestmark = [pytest.mark.qemu, pytest.mark.anyio]
WRITER = [Orders(role=Role.WRITER, base=FIRST_FREE, pages=24 * 256, fill=True, whole=True)]
"""One vCPU that rewrites 24 MiB without a pause."""


@pytest.fixture(autouse=True)
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let moves copy 16 MiB/s, less than the guest writes."""
    monkeypatch.setattr(move, "BANDWIDTH_BYTES_S", 16 * 2**20)


def by(stand: QemuStand, policy: MigrationPolicy, downtime_s: float | None = None) -> Migrate:
    """Return the move of `x` to the second host by a policy."""
    return Migrate(
        id=f"move-{policy}",
        instance="x",
        source=stand.first,
        target=stand.second,
        policy=policy,
        downtime_s=downtime_s,
    )


async def moved(
    stand: QemuStand, policy: MigrationPolicy, downtime_s: float | None = None
) -> list[Progress]:
    """Move the writer by a policy, check that it is there once, and return what was told."""
    engine = await stand.open()
    await boot_with(stand, engine, WRITER)
    told = [each async for each in engine.perform(by(stand, policy, downtime_s), fence=1)]
    pool = await engine.sense()
    assert (pool.instance("x").host, pool.instance("x").state) == (stand.second, State.RUNNING)
    assert len(processes_of(stand.folder.root)) == 1
    await engine.aclose()
    return told


@pytest.mark.parametrize(
    "policy",
    [MigrationPolicy.SHORTEST, MigrationPolicy.POST_COPY, MigrationPolicy.AUTO_CONVERGE],
)
async def test_a_busy_writer_arrives_and_its_standstill_is_told(
    stand: QemuStand, policy: MigrationPolicy
) -> None:
    patient = None if policy is MigrationPolicy.POST_COPY else 3.0  # else it throttles for long
    told = await moved(stand, policy, patient)
    flow = told[-1].flow
    assert flow is not None
    assert 0 < flow.downtime_s < 30
    if policy is MigrationPolicy.POST_COPY:
        assert flow.way is Way.POST_COPY
        assert any(each.phase == "fetching" for each in told)


async def test_qemu_limits_by_itself_where_single_vcpus_cannot_be_held(
    stand: QemuStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second way; a QEMU that has neither slows all down."""

    async def none_can(*_: object) -> bool:
        return False

    monkeypatch.setattr(abilities, "knows", none_can)
    told = await moved(stand, MigrationPolicy.BALANCED, downtime_s=3.0)
    ways = {each.flow.way for each in told if each.flow}
    assert ways <= {Way.DIRTY_LIMIT, Way.AUTO_CONVERGE}
    assert not any(each.flow and len(each.flow.dirty_mib_s) > 1 for each in told)


async def test_a_writer_that_nobody_may_slow_down_is_refused_and_stays(stand: QemuStand) -> None:
    engine = await stand.open()
    await boot_with(stand, engine, WRITER)
    with pytest.raises(Refused) as refusal:
        await do(engine, by(stand, MigrationPolicy.NO_THROTTLE))
    assert refusal.value.code == "move-endless"
    assert (await engine.sense()).instance("x").host == stand.first
    await engine.aclose()


async def test_vcpus_are_watched_held_and_let_go(stand: QemuStand) -> None:
    engine = await stand.open()
    await boot_with(stand, engine, [*WRITER, Orders()])
    residence = stand.folder.residence(stand.first, "x")
    if not stand.findings.platform(system=False).dirty_ring:
        await engine.aclose()
        pytest.skip("KVM has no dirty ring here: no vCPU can be held")
    async with talk(residence.socket) as monitor:
        limits = Limits(residence, monitor, 2)
        await limits.watch(0.0)
        assert residence.limits.exists()
        assert await limits.rates(0.5) == ()
        rates = await _counted(residence, monitor, limits)
        assert rates[0] > rates[1]
        await limits.hold((20.0, math.nan))
        assert {cpu: limit for cpu, (limit, _) in (await held(monitor)).items()} == {
            0: 20.0,
            1: WATCHED_MIB_S,
        }
        await release(residence, monitor)
        assert await held(monitor) == {}
        assert not residence.limits.exists()
    await engine.aclose()


async def _counted(residence: Residence, monitor: Monitor, limits: Limits) -> tuple[float, ...]:
    """Return rates; QEMU 7.2 rarely counts nothing at all until it is asked to watch anew."""
    for _ in range(10):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(15):
                while not sum(rates := await limits.rates(1.5)):  # noqa: ASYNC110  # QEMU counts
                    await asyncio.sleep(0.1)
                return rates
        await release(residence, monitor)
        await limits.watch(0.0)
    pytest.fail("QEMU counted no write")


async def test_a_cancelled_move_leaves_the_guest_unlimited_where_it_was(stand: QemuStand) -> None:
    engine = await stand.open()
    await boot_with(stand, engine, WRITER)
    action = by(stand, MigrationPolicy.SHORTEST)
    with pytest.raises(NotFound):
        await engine.cancel(action.id)
    follower = asyncio.create_task(do(engine, action))
    await until_copying(engine, action)
    await engine.cancel(action.id)
    with pytest.raises(Refused) as refusal:
        await follower
    assert refusal.value.code == "cancelled"
    assert await engine.find(action.id) is Trace.FAILED
    residence = stand.folder.residence(stand.first, "x")
    assert not residence.limits.exists()
    async with talk(residence.socket) as monitor:
        assert await monitor.status() == "running"
        assert await held(monitor) == {}
    with pytest.raises(NotFound):
        await engine.cancel(action.id)
    await engine.aclose()


async def until_copying(engine: QemuEngine, action: Migrate) -> None:
    """Follow a move until memory flows."""
    async for progress in engine.perform(action, fence=1):
        if progress.copied_mib > 1:
            return


async def held(monitor: Monitor) -> dict[int, tuple[float, float]]:
    """Return the limits of vCPUs; QEMU may refuse the question where there are none."""
    with contextlib.suppress(Refused):
        return await limited(monitor)
    return {}


async def test_a_guest_that_has_arrived_cannot_be_called_back(stand: QemuStand) -> None:
    engine = await stand.open()
    await boot_with(stand, engine, WRITER)
    action = by(stand, MigrationPolicy.POST_COPY)
    async for progress in engine.perform(action, fence=1):
        if progress.phase == "fetching":
            break
    with pytest.raises((Conflict, NotFound)):  # NotFound: it fetched all in the meantime
        await engine.cancel(action.id)
    assert (await engine.sense()).instance("x").host == stand.second
    await engine.aclose()
