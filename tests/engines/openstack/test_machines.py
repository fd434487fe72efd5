# SPDX-License-Identifier: Apache-2.0
"""What the engine does to machines of Ironic's, and what is seen of them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from tests.engines.openstack.faults import MISHAPS, Faulty, Mishap
from tests.engines.openstack.ironic import OFF, ON, machine
from tests.engines.openstack.memory import HOSTS, Server, id_of
from tests.engines.openstack.metal_world import FENCE, HOST, OFF_IT, ON_IT, Stage

from billow.engines.openstack.hosts import NOVAS_CHOICE
from billow.errors import BillowError, NotFound
from billow.model.action import Action, Evacuate, Fence, Migrate, Place, Start
from billow.model.instance import Instance
from billow.model.kinds import Power, State
from billow.model.shape import Shape
from billow.ports import Trace
from billow.testing.stand import do

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quick")]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    made = Stage(tmp_path)
    yield made
    await made.close()


async def test_a_machine_goes_off_and_on_and_the_next_look_shows_it(stage: Stage) -> None:
    """Machines are read once a minute; after our own actions, at once."""
    engine = stage.engine()
    assert (await engine.sense()).host(HOST).power is Power.ON
    for action, power in ((OFF_IT, Power.OFF), (ON_IT, Power.ON), (FENCE, Power.OFF)):
        await do(engine, action)
        assert (await engine.sense()).host(HOST).power is power
        assert stage.machine.on is (power is Power.ON)
    read = stage.asked("GET").count("/nodes/detail")
    await engine.sense()
    assert stage.asked("GET").count("/nodes/detail") == read, "nothing was done since"


async def test_no_compute_is_told_to_be_dead_for_a_machine(stage: Stage) -> None:
    engine = stage.engine()
    await do(engine, FENCE)
    await engine.mark_dead(HOST, "its power was cut")
    await engine.mark_alive(HOST)
    assert stage.asked("PUT", "compute") == []
    with pytest.raises(NotFound):
        await engine.mark_dead("nowhere", "?")


async def test_what_others_turned_is_seen_when_they_say_so(stage: Stage) -> None:
    """A management controller's engine, say, which has the same host."""
    engine = stage.engine()
    await engine.sense()
    stage.machine.on, stage.machine.power = False, OFF
    assert (await engine.sense()).host(HOST).power is Power.ON
    await engine.mark_dead(HOST, "redfish turned it off")
    assert (await engine.sense()).host(HOST).power is Power.OFF


def _mishaps() -> Iterator[tuple[Mishap, int, bool]]:
    for mishap in MISHAPS:
        yield from ((mishap, at, True) for at in (1, 2))
        if mishap.status != 409:  # a look conflicts with nobody
            yield from ((mishap, at, False) for at in (8, 9, 10, 11, 12, 13))


@pytest.mark.parametrize(("mishap", "at", "changes"), list(_mishaps()), ids=str)
async def test_whichever_call_goes_wrong_it_is_off_and_proved(
    stage: Stage, mishap: Mishap, at: int, *, changes: bool
) -> None:
    """503 with the order done, an answer that was lost, a conflict: found by looking."""
    engine = stage.engine(Faulty(stage.double, mishap, at, changes=changes))
    await do(engine, OFF_IT)
    assert not stage.machine.on
    assert set(stage.machine.orders) == {OFF}
    assert (await engine.sense()).host(HOST).power is Power.OFF


async def test_an_order_that_is_found_taken_is_not_given_again(stage: Stage) -> None:
    lost = Faulty(stage.double, Mishap(503, done=True), 1, changes=True)
    await do(stage.engine(lost), OFF_IT)
    await do(stage.engine(lost), ON_IT, fence=2)
    assert stage.machine.orders == [OFF, OFF, ON], "twice for the proof, and not a third time"


async def _dead(stage: Stage, action: Action, when: Callable[[], bool]) -> None:
    """Let a controller die as it does an action, as soon as something holds."""
    engine = stage.engine()
    doing = asyncio.create_task(do(engine, action))
    while not when():  # noqa: ASYNC110  # the double tells nobody
        await asyncio.sleep(0.005)
    await engine.aclose()
    doing.cancel()
    await asyncio.gather(doing, return_exceptions=True)


async def test_what_a_dead_controller_ordered_is_followed_to_its_end(stage: Stage) -> None:
    """Ironic works on; whoever comes next waits for it and finds the machine off."""
    stage.machine.slow_s = 0.3
    await _dead(stage, FENCE, lambda: bool(stage.machine.orders))
    assert stage.machine.on
    again = stage.engine()
    assert await again.find(FENCE.id) is Trace.DONE
    assert (await again.sense()).host(HOST).power is Power.OFF


async def test_what_a_dead_controller_did_not_order_was_not_done(stage: Stage) -> None:
    stage.machine.locked_by = "conductor-2"
    await _dead(stage, OFF_IT, lambda: bool(stage.asked("PUT")))
    stage.machine.locked_by = None
    again = stage.engine()
    assert await again.find(OFF_IT.id) is Trace.UNKNOWN
    assert stage.machine.on
    await do(again, OFF_IT, fence=2)
    assert not stage.machine.on


async def test_a_machine_that_bears_a_server_is_not_turned_off(stage: Stage) -> None:
    stage.machine.instance = "5d1e7a3a-0000-4000-8000-000000000001"
    engine = stage.engine()
    (blocker,) = await engine.blockers(OFF_IT)
    assert blocker.reason == f"m1 is not empty: server {stage.machine.instance}"
    assert await engine.blockers(FENCE) == []
    assert await engine.blockers(ON_IT) == []


async def test_what_was_deployed_without_nova_is_not_turned_off(stage: Stage) -> None:
    """It bears something, and Ironic does not say what: a compute of this very cloud, perhaps."""
    stage.machine.state = "active"
    engine = stage.engine()
    (blocker,) = await engine.blockers(OFF_IT)
    assert blocker.reason == "m1 is not empty: something that Ironic deployed, which is active"
    assert await engine.blockers(FENCE) == []


async def test_a_compute_of_a_machines_name_is_not_taken_for_it(stage: Stage) -> None:
    machine(stage.double.cloud, HOSTS[0])
    engine = stage.engine()
    await engine.mark_dead(HOSTS[0], "its power was cut")
    assert stage.double.cloud.services[HOSTS[0]].forced_down
    (blocker,) = await engine.blockers(Fence(id="x", host=HOSTS[0]))
    assert "no management controller" in blocker.reason


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"state": "deploying"}, "Ironic is at work on m1: deploying"),
        ({"state": "clean wait"}, "Ironic is at work on m1: clean wait"),
        ({"maintenance": "a new fan"}, "maintenance by Ironic's word: a new fan"),
        (
            {"maintenance": "Sync lost it", "fault": "power failure", "power": "error"},
            "maintenance by Ironic's word: Sync lost it; power failure",
        ),
    ],
)
async def test_what_somebody_works_on_is_left_alone_unless_it_is_fenced(
    stage: Stage, told: dict[str, str], words: str
) -> None:
    for key, value in told.items():
        setattr(stage.machine, key, value)
    engine = stage.engine()
    for action in (OFF_IT, ON_IT):
        (blocker,) = await engine.blockers(action)
        assert words in blocker.reason
    assert await engine.blockers(FENCE) == []


async def test_what_has_failed_waits_for_somebody_and_may_be_turned(stage: Stage) -> None:
    stage.machine.state = "clean failed"
    assert await stage.engine().blockers(OFF_IT) == []


async def test_other_hosts_keep_their_own_ways(stage: Stage) -> None:
    engine = stage.engine()
    (blocker,) = await engine.blockers(Fence(id="x", host=HOSTS[0]))
    assert "no management controller" in blocker.reason
    with pytest.raises(BillowError):
        await stage.metal().off(HOSTS[0])


async def test_a_server_is_as_its_machine_is(stage: Stage) -> None:
    """It is stopped while its machine has no power, and can be started: Nova gives the power."""
    cloud = stage.double.cloud
    there = Server(id_of("x"), "x", "small", {}, id_of("tiny"), stage.machine.uuid, "ACTIVE", "")
    cloud.servers[there.id], stage.machine.instance = there, there.id
    engine = stage.engine()
    assert (await engine.sense()).instance("x").state is State.RUNNING
    (blocker,) = await engine.blockers(OFF_IT)
    assert blocker.reason == "m1 is not empty: server x"
    await do(engine, FENCE)
    assert (await engine.sense()).instance("x").state is State.STOPPED
    start = Start(id="s", instance="x", host=HOST)
    (blocker,) = await engine.blockers(start)
    assert blocker.reason == "Nova has not seen yet that m1 is off: x runs, by its word"
    there.state = "SHUTOFF"
    cloud.touch(there)
    await engine.sense()
    await do(engine, start)
    stage.machine.on, stage.machine.power = True, ON
    pool = await engine.sense()
    assert (pool.instance("x").state, pool.host(HOST).power) == (State.RUNNING, Power.ON)


async def test_a_machine_with_a_fault_starts_nothing(stage: Stage) -> None:
    stage.machine.fault, stage.machine.instance = "power failure", id_of("x")
    there = Server(id_of("x"), "x", "small", {}, id_of("tiny"), stage.machine.uuid, "SHUTOFF", "")
    stage.double.cloud.servers[there.id] = there
    (blocker,) = await stage.engine().blockers(Start(id="s", instance="x", host=HOST))
    assert blocker.reason == "Ironic reports a fault of m1"


async def test_a_server_that_is_a_machine_is_not_evacuated(stage: Stage) -> None:
    """Nova's driver for Ironic says so itself, and knows no service of a machine's name."""
    there = Server(id_of("x"), "x", "small", {}, id_of("tiny"), stage.machine.uuid, "ACTIVE", "")
    stage.double.cloud.servers[there.id], stage.machine.instance = there, there.id
    engine = stage.engine()
    await engine.sense()
    leave = Evacuate(id="e", instance="x", source=HOST, target=HOSTS[0], epoch=1, incident="i")
    (blocker,) = await engine.blockers(leave)
    assert blocker.reason == "x is a bare_metal: Nova's driver for Ironic evacuates nothing"


async def test_nothing_is_moved_or_placed_onto_a_machine(stage: Stage) -> None:
    """Nova would not know a compute service of that name."""
    there = Server(id_of("x"), "x", "small", {}, id_of("tiny"), HOSTS[0], "ACTIVE", "")
    stage.double.cloud.servers[there.id] = there
    engine = stage.engine()
    wanted = Instance("y", Shape("small", 1000, 1024), image="tiny")
    for action in (
        Migrate(id="m", instance="x", source=HOSTS[0], target=HOST),
        Place(id="l", instance=wanted, host=HOST),
    ):
        (blocker,) = await engine.blockers(action)
        assert NOVAS_CHOICE in blocker.reason
