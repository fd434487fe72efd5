# SPDX-License-Identifier: Apache-2.0
"""Plans on a real Nova: they end as predicted, or as if they had not been, whatever breaks."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from labs.openstack import Lab
from labs.openstack.faults import Fault
from tests.engines.openstack.carried import (
    PATIENCE_S,
    allocated,
    carried_out,
    check_sound,
    expected,
    homes,
    opened,
    planned,
    scatter,
    until_copying,
)

from billow.model.action import Migrate
from billow.model.plan import Plan
from billow.model.run import Phase, Run, RunState

pytestmark = [pytest.mark.openstack, pytest.mark.thorough, pytest.mark.anyio]
ROOT = Path(__file__).parents[3]


@pytest.fixture
def cloud(fresh_cloud: Lab) -> Lab:
    return fresh_cloud


def wanted(plan: Plan, run: Run) -> dict[str, str]:
    """Return where moves must have left their instances, by what the journal says of each."""
    found = {}
    for step in plan.steps:
        action, entry = step.action, run.entries.get(step.action.id)
        assert isinstance(action, Migrate)
        done = entry is not None and entry.phase is Phase.DONE
        found[action.instance] = action.target if done else action.source
    return found


async def test_a_defrag_plan_ends_as_predicted(cloud: Lab, tmp_path: Path) -> None:
    """All moves land where planned, and Placement holds what the predicted pool says, exactly."""
    hosts = scatter(cloud)
    async with opened(cloud, tmp_path) as billow:
        plan = await planned(billow, hosts)
        run = await carried_out(billow, plan)
        assert run.state is RunState.DONE, run
        pool = await check_sound(cloud, billow)
        assert homes(pool) == homes(plan.predicted)
        assert allocated(cloud) == expected(cloud, plan.predicted)
        again = await billow.propose(
            "defrag", {"shapes": {"4c8g": 1.0}, "protected": cloud.hosts[4:]}, actor="ann"
        )
        assert again.steps == ()


ORDER, RECORDS = "/action$", "/os-migrations"
AT_THE_DOOR = {
    "refused-503": Fault("compute", "POST", ORDER, status=503, times=2),
    "answer-500-lost": Fault("compute", "POST", ORDER, status=500, done=True),
    "connection-broken": Fault("compute", "POST", ORDER, status=0),
    "connection-broken-after": Fault("compute", "POST", ORDER, status=0, done=True),
    "conflict-409": Fault("compute", "POST", ORDER, status=409),
    "records-503": Fault("compute", "GET", RECORDS, status=503, times=12, agent="openstacksdk"),
    "servers-500": Fault("compute", "GET", "/servers/", status=500, times=12, skip=6),
    "token-expired": Fault("compute", status=401, times=3, skip=12, agent="openstacksdk"),
    "placement-503": Fault(
        "placement", "GET", "/allocations", status=503, times=8, agent="openstacksdk"
    ),
}
BEHIND_IT = {
    "no-placement-for-nova": Fault(
        "placement", "GET", "/allocations", status=503, times=8, agent="nova"
    ),
}
"""What Nova itself cannot do: it gives servers up whose guests never noticed."""


@pytest.mark.parametrize("fault", AT_THE_DOOR | BEHIND_IT)
async def test_a_fault_of_an_api(fault: str, cloud: Lab, tmp_path: Path) -> None:
    hosts = scatter(cloud)
    strikes = (AT_THE_DOOR | BEHIND_IT)[fault]
    async with opened(cloud, tmp_path) as billow:
        plan = await planned(billow, hosts)
        with cloud.gates.struck(strikes):
            run = await carried_out(billow, plan)
            assert cloud.gates.hits(strikes)
        pool = await check_sound(cloud, billow)
        assert homes(pool) == homes(pool) | wanted(plan, run)
        assert run.state is RunState.DONE or fault in BEHIND_IT, run


def _kill_conductor(lab: Lab) -> None:
    process = lab.service("nova-conductor")
    process.kill()
    process.start()


BREAKS: dict[str, Callable[[Lab], None]] = {
    "conductor-killed": _kill_conductor,
    "queue-restarted": lambda lab: lab.restart("rabbitmq"),
}


@pytest.mark.parametrize("part", BREAKS)
async def test_a_part_of_the_cloud_breaks_while_moves_are_under_way(
    part: str, cloud: Lab, tmp_path: Path
) -> None:
    """The plan ends, each move as the journal says: there, or back as if it had not been."""
    hosts = scatter(cloud)
    async with opened(cloud, tmp_path) as billow:
        plan = await planned(billow, hosts)
        running = asyncio.create_task(carried_out(billow, plan))
        await until_copying(cloud)
        await asyncio.to_thread(BREAKS[part], cloud)
        run = await running
        pool = await check_sound(cloud, billow)
        assert homes(pool) == homes(pool) | wanted(plan, run)


async def test_our_controller_is_killed(cloud: Lab, tmp_path: Path) -> None:
    """The next one finds what Nova has under way, and finishes the plan."""
    hosts = scatter(cloud)
    async with opened(cloud, tmp_path) as billow:
        plan = await planned(billow, hosts)
    words = [sys.executable, "-m", "tests.engines.openstack.carried"]
    given = [str(cloud.places.root), str(tmp_path), plan.id]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(*words, *given, cwd=ROOT, env=environment)
    await until_copying(cloud)
    process.kill()
    await process.wait()
    async with opened(cloud, tmp_path) as billow:
        (run,) = await billow.runs()
        async with asyncio.timeout(PATIENCE_S):
            while not run.state.final:  # the dead one's lease must end before it is taken over
                await asyncio.sleep(0.5)
                run = await billow.run(run.id)
        pool = await check_sound(cloud, billow)
        assert homes(pool) == homes(pool) | wanted(plan, run)
        assert run.state is RunState.DONE, run
