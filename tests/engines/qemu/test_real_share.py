# SPDX-License-Identifier: Apache-2.0
"""Two classes share real hosts: limits, weights, suspension and what is measured, on real guests.

Every guest runs at full tilt under the best accelerator that this machine has. What needs a CPU
controller is skipped where there is none (no package brings one, so none can be required); what is
done without one is tested everywhere.
"""

import asyncio
import os
from dataclasses import replace
from typing import Final

import pytest
from tests.engines.qemu.world import QemuStand, boot_with

from billow.engines.qemu.engine import QemuEngine
from billow.engines.qemu.groups import Hierarchy, find_hierarchy
from billow.engines.qemu.monitor import talk
from billow.engines.qemu.open import PoolPlan
from billow.engines.qemu.process import process_id, threads
from billow.engines.qemu.record import HostPlan
from billow.firmware.control import ADDRESS, WORDS, Orders, Role, decode
from billow.model.action import Allot, Migrate, Place, Resume, Start, Stop, Suspend, Throttle
from billow.model.host import Node
from billow.model.instance import Instance
from billow.model.kinds import Service, State
from billow.testing.stand import do, migrate

HOG: Final = [Orders(role=Role.CALCULATOR)]
"""One vCPU that calculates without a pause."""
needs_groups = pytest.mark.skipif(
    not find_hierarchy().cpu, reason="this machine lets nobody make a group with a CPU controller"
)
pytestmark = [pytest.mark.qemu, pytest.mark.anyio]


async def work_of(engine: QemuEngine, host: str, name: str = "x") -> int:
    """Return how much a guest has done since it was booted."""
    async with talk(engine.ground.ledger.folder.residence(host, name).socket) as monitor:
        return decode(await monitor.words(ADDRESS, WORDS)).work


async def working(engine: QemuEngine, host: str, done: int = 0) -> None:
    """Wait until `x` has done more than it had."""
    async with asyncio.timeout(20):
        while await work_of(engine, host) <= done:  # noqa: ASYNC110  # QEMU must be asked
            await asyncio.sleep(0.05)


async def looked_at(engine: QemuEngine, name: str, over_s: float = 2.0) -> Instance:
    """Return an instance as it is over the next seconds."""
    await engine.sense()
    await asyncio.sleep(over_s)
    return (await engine.sense()).instance(name)


@needs_groups
@pytest.mark.thorough
async def test_a_limit_holds_over_a_move_and_a_restart(stand: QemuStand) -> None:
    engine = await stand.open()
    await boot_with(stand, engine, HOG)
    assert (await looked_at(engine, "x")).cpu_used_milli > 200
    await do(engine, Throttle(id="t", instance="x", host=stand.first, cpu_limit_milli=100))
    used = [(await looked_at(engine, "x")).cpu_used_milli]
    await do(engine, migrate(stand, "x"))
    used.append((await looked_at(engine, "x")).cpu_used_milli)
    await do(engine, Stop(id="s", instance="x", host=stand.second, grace_s=0))
    await do(engine, Start(id="r", instance="x", host=stand.second))
    used.append((await looked_at(engine, "x")).cpu_used_milli)
    assert used == pytest.approx([100] * 3, rel=0.2)
    lift = Throttle(id="l", instance="x", host=stand.second, cpu_limit_milli=0, was_milli=100)
    await do(engine, lift)
    assert (await looked_at(engine, "x")).cpu_used_milli > 200
    await engine.aclose()


async def test_suspended_is_still_over_a_restart_and_a_move(stand: QemuStand) -> None:
    engine = await stand.open()
    await boot_with(stand, engine, HOG)
    await working(engine, stand.first)
    await do(engine, Suspend(id="s", instance="x", host=stand.first))
    done = await work_of(engine, stand.first)
    await engine.aclose()
    engine = await stand.open()
    assert (await looked_at(engine, "x")).cpu_used_milli < 50
    assert await work_of(engine, stand.first) == done > 0
    await do(engine, migrate(stand, "x"))
    pool = await engine.sense()
    assert (pool.instance("x").state, pool.instance("x").host) == (State.PAUSED, stand.second)
    assert await work_of(engine, stand.second) == done
    await do(engine, Resume(id="r", instance="x", host=stand.second))
    await working(engine, stand.second, done)
    await engine.aclose()


async def test_ratios_outlive_the_engine_and_make_room(stand: QemuStand) -> None:
    engine = await stand.open()
    wanted = replace(stand.instance("y"), shape=stand.too_large())
    action = Place(id="p", instance=wanted, host=stand.first)
    assert await engine.blockers(action)
    await do(engine, Allot(id="a", host=stand.first, cpu_ratio=3.0, memory_ratio=1.5))
    await engine.aclose()
    engine = await stand.open()
    host = (await engine.sense()).host(stand.first)
    assert (host.cpu_ratio, host.memory_ratio) == (3.0, 1.5)
    assert not await engine.blockers(action)
    await engine.aclose()


@needs_groups
@pytest.mark.thorough
async def test_a_batch_hog_leaves_the_host_to_who_must_answer(stand: QemuStand) -> None:
    """Two guests want all of one CPU: the batch one gets what is left, and the other hardly waits.

    The same pair without classes is the measure: there each gets half and waits for half. Beside
    other work of this machine, both waits are longer, so only what the two do to each other counts.
    """
    node = Node(cpu_milli=1000, memory_mib=2048)
    stand.plan = PoolPlan(pool="test", hosts=(HostPlan(name="h1", number=1, nodes=(node,)),))
    engine = await stand.open()
    await boot_with(stand, engine, HOG, "latency")
    await boot_with(stand, engine, HOG, "equal")
    beside_equal = await looked_at(engine, "latency", 3.0)
    await do(engine, Stop(id="s", instance="equal", host="h1", grace_s=0))
    await boot_with(stand, engine, HOG, "batch", Service.BATCH)
    beside_batch = await looked_at(engine, "latency", 3.0)
    batch = (await engine.sense()).instance("batch")
    assert beside_equal.cpu_wait > 0.4
    assert beside_batch.cpu_used_milli > 1.4 * beside_equal.cpu_used_milli
    assert batch.cpu_used_milli < 0.03 * beside_batch.cpu_used_milli
    assert batch.cpu_wait > 0.9
    await do(engine, Suspend(id="z", instance="batch", host="h1"))
    assert (await engine.sense()).instance("batch").state is State.PAUSED
    await engine.aclose()


async def test_without_a_controller_batch_vcpus_give_way_and_limits_are_refused(
    stand: QemuStand,
) -> None:
    stand.findings = replace(stand.findings, hierarchy=Hierarchy())
    engine = await stand.open()
    assert Throttle not in engine.verbs
    await boot_with(stand, engine, HOG, "batch", Service.BATCH)
    await boot_with(stand, engine, HOG, "latency")
    assert await policies(engine, stand.first, "batch") == {os.SCHED_IDLE}
    assert await policies(engine, stand.first, "latency") == {os.SCHED_OTHER}
    limited = replace(stand.instance("y"), cpu_limit_milli=100)
    for action in (
        Throttle(id="t", instance="batch", host=stand.first, cpu_limit_milli=100),
        Place(id="p", instance=limited, host=stand.first),
    ):
        (blocker,) = await engine.blockers(action)
        assert "no cgroup CPU controller" in blocker.reason
        assert blocker.fix
    await do(engine, Migrate(id="m", instance="batch", source=stand.first, target=stand.second))
    assert await policies(engine, stand.second, "batch") == {os.SCHED_IDLE}
    await engine.aclose()


async def policies(engine: QemuEngine, host: str, name: str) -> set[int]:
    """Return the scheduling classes of a guest's vCPUs."""
    number = process_id(engine.ground.ledger.folder.residence(host, name))
    assert number is not None
    return {os.sched_getscheduler(each.number) for each in threads(number) if each.is_vcpu}
