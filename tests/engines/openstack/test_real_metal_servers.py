# SPDX-License-Identifier: Apache-2.0
"""Servers that are machines: deployed by a real Nova through a real Ironic, seen and turned by us.

What Ironic deploys is its own fake; Nova's driver, its records and Placement's are real.
"""

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest
from labs.openstack import Lab
from labs.openstack.contents import METAL_FLAVOR
from labs.openstack.machines import OFF, ON
from labs.openstack.places import METAL_COMPUTE
from tests.engines.openstack.carried import carried_out, opened, until

from billow.act.clock import SystemClock
from billow.app import Billow
from billow.engines.openstack.cloud import Cloud
from billow.engines.openstack.recover.survey import Survey
from billow.model.ask import Ask, AskVerb
from billow.model.kinds import Kind, Power, State
from billow.model.plan import Finding
from billow.model.run import Run, RunState
from billow.settings import Settings

pytestmark = [pytest.mark.openstack, pytest.mark.thorough, pytest.mark.anyio]
NAME = "whole"


@pytest.fixture
def cloud(fresh_machines: Lab) -> Lab:
    return fresh_machines


def deployed(lab: Lab) -> tuple[str, str]:
    """Have Nova make a server on a machine; return its id, and the machine's name."""
    server = lab.seeding.booted(NAME, METAL_FLAVOR)
    (home,) = [n for n in lab.machines.names if lab.machines.node(n)["instance_uuid"] == server]
    return server, home


def status(lab: Lab, server: str) -> str:
    """Return what Nova calls a server's status, by another reader than Billow."""
    return str(lab.client.get("compute", f"/servers/{server}")["server"]["status"])


def truth(lab: Lab, name: str) -> tuple[str, str]:
    """Return the power and the provision state that Ironic has of a machine."""
    return lab.machines.states()[name]


async def asked(billow: Billow, verb: AskVerb, subject: str) -> Run:
    """Plan a direct request, and carry it out."""
    return await carried_out(billow, await billow.ask([Ask(verb, subject)], actor="ann"))


async def refused(billow: Billow, ask: Ask) -> str:
    """Check that nothing is planned, and return why."""
    plan = await billow.ask([ask], actor="ann")
    assert plan.steps == ()
    (rejection,) = plan.rejections
    return rejection.reason


async def findings(lab: Lab) -> tuple[Finding, ...]:
    """Return what the books say is amiss."""
    there = Cloud.of(Settings(engine="openstack", cloud=lab.environment["OS_CLOUD"]))
    try:
        return await Survey(there, SystemClock()).findings()
    finally:
        await there.aclose()


async def test_a_deployed_machine_is_one_host_with_its_server(cloud: Lab, tmp_path: Path) -> None:
    server, home = deployed(cloud)
    async with opened(cloud, tmp_path) as billow:
        pool = await billow.sense()
        assert set(pool.hosts.id) == {*cloud.hosts, *cloud.machines.names}
        there = pool.instance(NAME)
        assert (there.kind, there.host, there.state) == (Kind.BARE_METAL, home, State.RUNNING)
        told = [each for each in pool.gaps if each.subject in {"baremetal", f"host/{home}"}]
        assert told == []
        assert not any(METAL_COMPUTE in f"{each.subject} {each.why}" for each in pool.gaps)
        assert await findings(cloud) == ()
        cloud.seeding.delete([server])
        pool = await billow.sense()
        assert NAME not in pool.instances.row
        assert pool.host(home).power is Power.ON
    assert truth(cloud, home) == (ON, "available")


async def test_its_server_keeps_a_machine_from_being_turned_off(cloud: Lab, tmp_path: Path) -> None:
    """It is stopped by Nova, which turns the machine off, and started likewise."""
    server, home = deployed(cloud)
    async with opened(cloud, tmp_path) as billow:
        why = await refused(billow, Ask(AskVerb.POWER_OFF, home))
        assert f"{home} still has 1 instance" in why
        assert truth(cloud, home) == (ON, "active")
        for verb, shown, power, state in (
            (AskVerb.STOP, "SHUTOFF", OFF, State.STOPPED),
            (AskVerb.START, "ACTIVE", ON, State.RUNNING),
        ):
            run = await asked(billow, verb, NAME)
            assert run.state is RunState.DONE, run
            assert (status(cloud, server), truth(cloud, home)) == (shown, (power, "active"))
            assert (await billow.sense()).instance(NAME).state is state
        assert await findings(cloud) == ()


async def test_a_fenced_machine_stops_its_server_which_starts_it_again(
    cloud: Lab, tmp_path: Path
) -> None:
    """Ironic tells Nova of the power that it cut."""
    server, home = deployed(cloud)
    async with opened(cloud, tmp_path) as billow:
        assert (await asked(billow, AskVerb.FENCE, home)).state is RunState.DONE
        assert truth(cloud, home) == (OFF, "active")
        assert (await billow.sense()).instance(NAME).state is State.STOPPED
        await until(lambda: status(cloud, server) == "SHUTOFF", "Nova was not told")
        assert (await asked(billow, AskVerb.START, NAME)).state is RunState.DONE
        assert truth(cloud, home) == (ON, "active")
        assert (await billow.sense()).host(home).power is Power.ON
    assert cloud.states()[METAL_COMPUTE] == ("up", "enabled")


async def test_what_novas_driver_cannot_do_is_refused(cloud: Lab, tmp_path: Path) -> None:
    server, _ = deployed(cloud)
    async with opened(cloud, tmp_path) as billow:
        smaller = (await billow.sense()).shape("1c1g")
        why = "it is a machine of its own"
        assert why in await refused(billow, Ask(AskVerb.MIGRATE, NAME, target=cloud.hosts[0]))
        assert why in await refused(billow, Ask(AskVerb.MIGRATE, NAME, target="metal001"))
        assert "it is its host" in await refused(billow, Ask(AskVerb.RESIZE, NAME, shape=smaller))
    records = cloud.client.get("compute", f"/os-migrations?instance_uuid={server}")
    assert records["migrations"] == []


async def test_room_that_is_left_on_a_machine_is_given_back(cloud: Lab, tmp_path: Path) -> None:
    """It is found under the name that the machine has in the pool, and repaired under it."""
    first = cloud.machines.node("metal001")["uuid"]
    consumer = f"/allocations/{uuid4()}"
    body = {
        "allocations": {first: {"resources": {"CUSTOM_METAL": 1}}},
        "consumer_generation": None,
        "project_id": cloud.client.project_id,
        "user_id": cloud.client.project_id,
        "consumer_type": "INSTANCE",
    }
    await asyncio.to_thread(cloud.client.ask, "PUT", "placement", consumer, body)
    (finding,) = await findings(cloud)
    assert finding.subject == "host/metal001"
    async with opened(cloud, tmp_path) as billow:
        run = await asked(billow, AskVerb.REPAIR, "metal001")
        assert run.state is RunState.DONE, run
    assert cloud.client.get("placement", consumer)["allocations"] == {}
    assert await findings(cloud) == ()


async def test_without_novas_compute_no_server_is_turned(cloud: Lab, tmp_path: Path) -> None:
    """Its machines are seen as before; that it is not heard is told."""
    _, home = deployed(cloud)
    cloud.service(METAL_COMPUTE).kill()
    await asyncio.to_thread(cloud.await_down, METAL_COMPUTE)
    async with opened(cloud, tmp_path) as billow:
        pool = await billow.sense()
        assert pool.host(home).power is Power.ON
        (gap,) = [each for each in pool.gaps if each.subject == "baremetal"]
        assert f"Nova does not hear {METAL_COMPUTE}" in gap.why
        why = await refused(billow, Ask(AskVerb.STOP, NAME))
        assert f"nova-compute of {METAL_COMPUTE} is down" in why
    assert truth(cloud, home) == (ON, "active")
