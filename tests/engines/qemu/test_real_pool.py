# SPDX-License-Identifier: Apache-2.0
"""Capabilities on pools of real guests: what they plan is carried out, and helps.

The whole product runs, as a user starts it; only the work that guests do is ordered behind its
back, as a tenant would order it inside the guest.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from tests.engines.qemu.world import processes_of

from billow.app import Billow, open_billow, remove_pool
from billow.engines.qemu.folder import StateFolder
from billow.engines.qemu.ledger import Ledger
from billow.engines.qemu.machine import Firmware
from billow.firmware.control import Orders, Role, encode
from billow.model.ask import Ask, AskVerb
from billow.model.instance import Instance
from billow.model.kinds import Power, State
from billow.model.plan import Plan
from billow.model.run import RunState
from billow.model.shape import Shape
from billow.settings import Settings

pytestmark = [pytest.mark.qemu, pytest.mark.slow, pytest.mark.anyio]
HOG: Final = [Orders(role=Role.CALCULATOR)]
"""One vCPU that calculates without a pause."""
PATIENCE_S: Final = 20.0


@asynccontextmanager
async def opened(folder: Path, **given: object) -> AsyncIterator[Billow]:
    """Open a pool of real guests, and remove it with all that runs in it."""
    looks = {"sense_every_s": 0.5, "history_step_s": 1.0, "standing": {}}
    settings = Settings.model_validate(
        {"engine": "qemu", "state_dir": folder, "pool": "real", **looks, **given}
    )
    billow = await open_billow(settings)
    try:
        yield billow
    finally:
        await billow.aclose()
        await remove_pool(settings)
        assert processes_of(folder) == []


async def carry_out(billow: Billow, plan: Plan) -> None:
    """Approve a plan and see it through."""
    assert plan.steps, [each.reason for each in plan.rejections]
    run = await billow.wait((await billow.apply(plan.id, actor="ann")).id)
    assert run.state is RunState.DONE, run


async def create(billow: Billow, *wanted: Instance, **knobs: object) -> None:
    """Place instances and start them."""
    await carry_out(billow, await billow.propose("placement", knobs, requests=wanted, actor="ann"))


async def ask(billow: Billow, verb: AskVerb, *names: str, target: str = "") -> None:
    """Ask for the same of some instances and see it through."""
    asks = [Ask(verb, name, target=target) for name in names]
    await carry_out(billow, await billow.ask(asks, actor="ann"))


async def homes(billow: Billow) -> Mapping[str, str]:
    return {each.id: each.host for each in (await billow.sense()).instance_views()}


async def order(billow: Billow, folder: Path, *names: str) -> None:
    """Let guests work at full tilt from now on."""
    await ask(billow, AskVerb.STOP, *names)
    ledger = Ledger(StateFolder(folder / "qemu"))
    for name in names:
        record = ledger.instance(name)
        assert record is not None
        assert isinstance(record.machine.boot, Firmware)
        machine = replace(record.machine, boot=replace(record.machine.boot, orders=True))
        volume = ledger.save_instance(replace(record, machine=machine))
        volume.orders.write_bytes(encode(HOG, machine.memory_mib))
    await ask(billow, AskVerb.START, *names)


async def until_planned(make: Callable[[], Awaitable[Plan]]) -> Plan:
    """Return the first plan that does something."""
    async with asyncio.timeout(PATIENCE_S):
        while not (plan := await make()).steps:  # noqa: ASYNC110  # it must be asked
            await asyncio.sleep(0.5)
    return plan


async def test_a_wanted_instance_starts_after_defragmentation(tmp_path: Path) -> None:
    """Every host has half of its memory left, and nobody room for three quarters of a host."""
    small, large = Shape("small", 100, 48), Shape("large", 100, 144)
    async with opened(tmp_path, hosts=3, host_cpus=1, host_memory_mib=192) as billow:
        await create(billow, *(Instance(f"s{n}", small) for n in range(6)), strategy="spread")
        spread = list((await homes(billow)).values())
        assert sorted(spread) == ["h1", "h1", "h2", "h2", "h3", "h3"]
        wanted = [Instance("wanted", large)]
        plan = await billow.propose("placement", {}, requests=wanted, actor="ann")
        assert not plan.steps
        assert [each.subject for each in plan.rejections] == ["instance/wanted"]
        knobs = {"cpu_milli": 100, "memory_mib": 144, "moves": 4, "time_limit_s": 2.0}
        plan = await billow.propose("defrag", knobs, actor="ann")
        await carry_out(billow, plan)
        await create(billow, *wanted)
        pool = await billow.sense()
        assert {each.state for each in pool.instance_views()} == {State.RUNNING}
        assert len(pool.instances) == 7


async def test_a_hot_host_is_cooled(tmp_path: Path) -> None:
    """Two guests want the whole of a one-CPU host, while the host beside it does nothing."""
    hog = Instance("hog", Shape("hog", 600, 32), cpu_limit_milli=600)
    neighbour = Instance("neighbour", Shape("quiet", 400, 32), cpu_limit_milli=400)
    async with opened(tmp_path, hosts=2, host_cpus=1, host_memory_mib=256) as billow:
        await create(billow, hog, neighbour)
        here = await homes(billow)
        if here["hog"] != here["neighbour"]:
            await ask(billow, AskVerb.MIGRATE, "hog", target=here["neighbour"])
        calm = await billow.propose("hotspot", {}, actor="ann")
        assert not calm.steps
        await order(billow, tmp_path, "hog", "neighbour")
        plan = await until_planned(lambda: billow.propose("hotspot", {}, actor="ann"))
        assert any("hot" in each.text for each in plan.findings)
        await carry_out(billow, plan)
        assert len(set((await homes(billow)).values())) == 2
        await asyncio.sleep(2)
        assert not (await billow.propose("hotspot", {}, actor="ann")).steps


async def test_empty_hosts_sleep_and_wake_for_a_burst(tmp_path: Path) -> None:
    small = Shape("small", 100, 48)
    knobs = {"spare_hosts": 0}
    async with opened(tmp_path, hosts=3, host_cpus=1, host_memory_mib=192) as billow:
        await create(billow, *(Instance(f"s{n}", small) for n in range(3)), strategy="spread")
        assert len(set((await homes(billow)).values())) == 3
        plan = await until_planned(lambda: billow.propose("power", knobs, actor="ann"))
        await carry_out(billow, plan)
        asleep = [
            host.id for host in (await billow.sense()).host_views() if host.power is Power.OFF
        ]
        assert len(asleep) == 2
        assert len(set((await homes(billow)).values())) == 1
        burst = [Instance(f"b{n}", small) for n in range(4)]
        plan = await billow.propose("placement", {}, requests=burst, actor="ann")
        assert plan.rejections, "the burst does not fit on the hosts that are on"
        plan = await billow.propose("power", knobs, requests=burst, actor="ann")
        await carry_out(billow, plan)
        await create(billow, *burst)
        pool = await billow.sense()
        assert len(pool.instances) == 7
        assert {each.state for each in pool.instance_views()} == {State.RUNNING}
        assert any(pool.host(name).power is Power.ON for name in asleep)
