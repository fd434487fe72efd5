# SPDX-License-Identifier: Apache-2.0
"""A plan on a real OpenStack, carried out by the whole product, and what is true afterwards."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from labs.openstack import Lab

from billow.app import Billow, open_billow
from billow.model.action import Migrate
from billow.model.plan import Plan
from billow.model.pool import Pool
from billow.model.run import Run
from billow.settings import Settings

MEMORY_MIB = 16_384
"""So much that a host takes three servers of 4 GiB: what Nova reserves is missing for a fourth."""
HOSTS = 4
SHAPE, WANTED = "2c4g", "4c8g"
COPY_S = 1.5
PATIENCE_S = 240.0


@asynccontextmanager
async def opened(lab: Lab, folder: Path) -> AsyncIterator[Billow]:
    """Open the product on a lab's cloud."""
    settings = Settings.model_validate(
        {
            "engine": "openstack",
            "cloud": lab.environment["OS_CLOUD"],
            "allow_changes": True,
            "cloud_shared_disks": True,
            "cloud_network": "none",
            "state_dir": folder,
            "standing": {},
            "steps_at_once": 4,
        }
    )
    billow = await open_billow(settings)
    try:
        yield billow
    finally:
        await billow.aclose()


def scatter(lab: Lab) -> list[str]:
    """Spread eight servers over four hosts so that none has room for one of twice their size."""
    hosts = lab.hosts[:HOSTS]
    for host in lab.hosts:
        lab.shape(host, memory_mib=MEMORY_MIB, live_migrate_s=COPY_S)
    lab.computes.touch(lab.hosts)
    for number in range(2 * HOSTS):
        lab.seeding.boot(f"w{number}", SHAPE, hosts[number % HOSTS])
    for uuid in lab.seeding.named("w"):
        lab.seeding.await_state(uuid, "ACTIVE")
    return hosts


async def planned(billow: Billow, hosts: list[str]) -> Plan:
    """Return a plan that makes room on the hosts, which are all that there are for it."""
    others = [each.id for each in (await billow.sense()).host_views() if each.id not in hosts]
    knobs = {"shapes": {WANTED: 1.0}, "time_limit_s": 5.0, "protected": others}
    plan = await billow.propose("defrag", knobs, actor="ann")
    assert plan.steps, [each.reason for each in plan.rejections]
    assert all(isinstance(step.action, Migrate) for step in plan.steps)
    return plan


def allocated(lab: Lab) -> dict[str, Mapping[str, Mapping[str, int]]]:
    """Return what Placement holds on each host, by consumer, of CPUs and memory."""
    found: dict[str, Mapping[str, Mapping[str, int]]] = {}
    path = "/resource_providers"
    for each in lab.client.get("placement", path)["resource_providers"]:
        if each["name"] in lab.hosts:
            held = lab.client.get("placement", f"{path}/{each['uuid']}/allocations")["allocations"]
            found[each["name"]] = {
                consumer: {kind: row["resources"][kind] for kind in ("VCPU", "MEMORY_MB")}
                for consumer, row in held.items()
            }
    return found


def expected(lab: Lab, pool: Pool) -> dict[str, Mapping[str, Mapping[str, int]]]:
    """Return what Placement must hold when a cloud is exactly what a pool says."""
    uuids = {name: uuid for uuid, name in lab.seeding.named().items()}
    held: dict[str, dict[str, Mapping[str, int]]] = {host: {} for host in lab.hosts}
    for each in pool.instance_views():
        shape = each.shape
        amounts = {"VCPU": shape.cpu_milli // 1000, "MEMORY_MB": shape.memory_mib}
        held[each.host][uuids[each.id]] = amounts
    return {host: dict(rows) for host, rows in held.items()}


def homes(pool: Pool) -> dict[str, str]:
    """Return where each instance is."""
    return {each.id: each.host for each in pool.instance_views()}


async def check_sound(lab: Lab, billow: Billow) -> Pool:
    """Check that nothing is lost, doubled, half-done or held twice; return the pool."""
    pool = await billow.sense()
    servers = lab.client.get("compute", "/servers/detail?all_tenants=1")["servers"]
    states = {each["name"]: (each["status"], each["OS-EXT-STS:task_state"]) for each in servers}
    assert states == dict.fromkeys(states, ("ACTIVE", None)), states
    guests = lab.computes.guests()
    running = Counter(uuid for uuids in guests.values() for uuid in uuids)
    assert running == Counter(each["id"] for each in servers), guests
    where = {uuid: host for host, uuids in guests.items() for uuid in uuids}
    assert where == {each["id"]: each["OS-EXT-SRV-ATTR:host"] for each in servers}
    assert allocated(lab) == expected(lab, pool)
    return pool


async def until_copying(lab: Lab) -> None:
    """Wait until a live migration is under way."""
    await until(lambda: "running" in _statuses(lab), "no move began to copy")


def _statuses(lab: Lab) -> set[str]:
    return {each["status"] for each in lab.client.get("compute", "/os-migrations")["migrations"]}


async def until(holds: Callable[[], bool], else_say: str) -> None:
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE_S
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < end, else_say
        await asyncio.sleep(0.1)


async def carried_out(billow: Billow, plan: Plan) -> Run:
    """Approve a plan and wait for its end."""
    return await billow.wait((await billow.apply(plan.id, actor="ann")).id)


async def carry_out_there(root: str, folder: str, plan_id: str) -> None:
    """Carry a plan out in this process: the one that is going to be killed."""
    async with opened(Lab.found(Path(root)), Path(folder)) as billow:
        plan = await billow.plan(plan_id)
        await carried_out(billow, plan)


if __name__ == "__main__":
    asyncio.run(carry_out_there(*sys.argv[1:]))
