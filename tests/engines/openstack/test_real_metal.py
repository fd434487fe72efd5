# SPDX-License-Identifier: Apache-2.0
"""Machines of a real Ironic: seen, turned by plans, proved off, left alone while it works on them.

Their power is Ironic's fake, which keeps in its record what a controller would know; all that is
between us and that is real.
"""

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest
from labs.openstack import Lab
from labs.openstack.faults import Fault
from labs.openstack.machines import CPUS, OFF, ON
from tests.engines.openstack.carried import carried_out, opened, until

from billow.app import Billow
from billow.engines.openstack.hosts import NOVAS_CHOICE
from billow.model.ask import Ask, AskVerb
from billow.model.kinds import Power
from billow.model.run import Run, RunState

pytestmark = [pytest.mark.openstack, pytest.mark.thorough, pytest.mark.anyio]
FIRST, SECOND = "metal001", "metal002"
ORDER = "/states/power$"


@pytest.fixture
def cloud(fresh_machines: Lab) -> Lab:
    return fresh_machines


async def turned(billow: Billow, verb: AskVerb, host: str) -> Run:
    """Plan a direct request on a host, and carry it out."""
    return await carried_out(billow, await billow.ask([Ask(verb, host)], actor="ann"))


def truth(lab: Lab, name: str) -> str:
    """Return the power that Ironic has of a machine, by another reader than Billow."""
    return str(lab.machines.node(name)["power_state"])


def orders(lab: Lab) -> list[int]:
    """Return how Ironic's API answered each order of power that was not the lab's own."""
    calls = lab.gates.calls("baremetal")
    return [each["status"] for each in calls if each["method"] == "PUT"]


async def test_machines_are_hosts_with_their_power(cloud: Lab, tmp_path: Path) -> None:
    cloud.machines.turn(SECOND, OFF)
    async with opened(cloud, tmp_path) as billow:
        pool = await billow.sense()
        found = {name: pool.host(name) for name in cloud.machines.names}
        assert [each.power for each in found.values()] == [Power.ON, Power.OFF, Power.ON]
        assert {each.cpu_milli for each in found.values()} == {1000 * CPUS}
        assert {each.cordon for each in found.values()} == {NOVAS_CHOICE}
        assert not any(each.subject == "baremetal" for each in pool.gaps)


async def test_a_plan_turns_a_machine_off_and_on(cloud: Lab, tmp_path: Path) -> None:
    """Each run is verified by sensing: the next look shows what was just done."""
    async with opened(cloud, tmp_path) as billow:
        for verb, power, shown in (
            (AskVerb.POWER_OFF, Power.OFF, OFF),
            (AskVerb.POWER_ON, Power.ON, ON),
            (AskVerb.FENCE, Power.OFF, OFF),
        ):
            run = await turned(billow, verb, FIRST)
            assert run.state is RunState.DONE, run
            assert truth(cloud, FIRST) == shown
            assert (await billow.sense()).host(FIRST).power is power
            assert truth(cloud, SECOND) == ON
    services = cloud.client.get("compute", "/os-services?binary=nova-compute")["services"]
    assert not any(each["forced_down"] for each in services)


async def refused(billow: Billow, verb: AskVerb, why: str) -> None:
    """Check that nothing is planned of the first machine, and that it is said why."""
    plan = await billow.ask([Ask(verb, FIRST)], actor="ann")
    assert plan.steps == ()
    (rejection,) = plan.rejections
    assert why in rejection.reason


async def test_a_machine_that_bears_a_server_is_fenced_but_not_turned_off(
    cloud: Lab, tmp_path: Path
) -> None:
    server = str(uuid4())
    cloud.machines.bear(FIRST, server)
    async with opened(cloud, tmp_path) as billow:
        await refused(billow, AskVerb.POWER_OFF, f"metal001 is not empty: server {server}")
        assert truth(cloud, FIRST) == ON
        assert (await turned(billow, AskVerb.FENCE, FIRST)).state is RunState.DONE
    assert truth(cloud, FIRST) == OFF


async def test_what_ironic_inspects_is_left_alone(cloud: Lab, tmp_path: Path) -> None:
    """Also where it began to after the plan was made."""
    why = "Ironic is at work on metal001: inspect wait"
    async with opened(cloud, tmp_path) as billow:
        plan = await billow.ask([Ask(AskVerb.POWER_OFF, FIRST)], actor="ann")
        await asyncio.to_thread(cloud.machines.hold, FIRST)
        run = await carried_out(billow, plan)
        (entry,) = run.entries.values()
        assert run.state is RunState.FAILED, run
        assert why in str(entry.error), entry
        await refused(billow, AskVerb.POWER_OFF, why)
    assert truth(cloud, FIRST) == ON


async def test_what_somebody_repairs_is_left_alone(cloud: Lab, tmp_path: Path) -> None:
    cloud.machines.maintain(FIRST, "a new fan")
    async with opened(cloud, tmp_path) as billow:
        await refused(billow, AskVerb.POWER_OFF, "in maintenance by Ironic's word: a new fan")
    assert truth(cloud, FIRST) == ON


LOST = {
    "503-done": Fault("baremetal", "PUT", ORDER, status=503, done=True),
    "503-not-done": Fault("baremetal", "PUT", ORDER, status=503, times=2),
    "connection-broken-after": Fault("baremetal", "PUT", ORDER, status=0, done=True),
    "connection-broken": Fault("baremetal", "PUT", ORDER, status=0),
    "conflict-409": Fault("baremetal", "PUT", ORDER, status=409, times=2),
    "looks-503": Fault(
        "baremetal", "GET", "/nodes/[0-9a-f-]+$", status=503, times=8, skip=4, agent="openstacksdk"
    ),
}


@pytest.mark.parametrize("fault", LOST)
async def test_an_answer_that_is_lost_is_found_by_looking(
    fault: str, cloud: Lab, tmp_path: Path
) -> None:
    async with opened(cloud, tmp_path) as billow:
        plan = await billow.ask([Ask(AskVerb.POWER_OFF, FIRST)], actor="ann")
        cloud.gates.forget()
        with cloud.gates.struck(LOST[fault]):
            run = await carried_out(billow, plan)
            assert cloud.gates.hits(LOST[fault])
        assert run.state is RunState.DONE, run
        assert truth(cloud, FIRST) == OFF
        assert (await billow.sense()).host(FIRST).power is Power.OFF
    accepted = [each for each in orders(cloud) if each == 202]
    assert len(accepted) + LOST[fault].done == 2, "twice for the proof, whatever was lost"


async def test_a_conductor_that_is_killed_meanwhile(cloud: Lab, tmp_path: Path) -> None:
    """Nothing is believed while nobody works for Ironic; when one does again, it is done."""
    conductor = cloud.service("ironic-conductor")
    async with opened(cloud, tmp_path) as billow:
        await billow.sense()
        conductor.kill()
        running = asyncio.create_task(turned(billow, AskVerb.FENCE, FIRST))
        await until(lambda: bool(orders(cloud)), "nothing was ordered")
        conductor.start()
        run = await running
        assert truth(cloud, FIRST) == (OFF if run.state is RunState.DONE else ON), run
        again = await turned(billow, AskVerb.FENCE, SECOND)
        assert again.state is RunState.DONE, again
    assert truth(cloud, SECOND) == OFF
