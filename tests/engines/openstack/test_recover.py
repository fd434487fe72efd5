# SPDX-License-Identifier: Apache-2.0
"""Hosts die, are left, and come back, on a cloud in memory with the real one's traps."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engines.openstack.double import Double
from tests.engines.openstack.faults import MISHAPS, Faulty, Mishap
from tests.engines.openstack.memory import HOSTS, Server, id_of

from billow.act.clock import SystemClock
from billow.act.registrar import NOT_CLEANED
from billow.engines.openstack.cloud import Cloud
from billow.engines.openstack.recover import evacuate as evacuation
from billow.engines.openstack.recover import hosts, ward
from billow.engines.openstack.recover.craft import Recovery
from billow.engines.openstack.transport import Transport
from billow.errors import BillowError, NotFound, Refused, Unavailable
from billow.model.action import Action, Evacuate, Fence, PowerOff, PowerOn
from billow.model.kinds import Power
from billow.model.run import Progress

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quick", "hasty")]
FIRST, SECOND, THIRD = HOSTS


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait as suits a cloud in memory."""
    monkeypatch.setattr(ward, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(evacuation, "HEALTH_EVERY_S", 0.1)
    monkeypatch.setattr(evacuation, "STALLED_S", 60.0)
    monkeypatch.setattr(hosts, "CLEARED_WITHIN_S", 0.2)
    monkeypatch.setattr(hosts, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(hosts, "SPEAKS_S", 30.0)


class Switch:
    """A management controller of every host of a cloud in memory; fulfils `billow.ports.Bmc`."""

    def __init__(self, double: Double) -> None:
        self._services = double.cloud.services
        self._double = double
        self.dark: set[str] = set()

    async def power(self, host: str) -> Power:
        if host not in self._services:
            raise NotFound(f"no management controller of {host} is known")
        return Power.OFF if host in self.dark else Power.ON

    async def off(self, host: str) -> str:
        self.dark.add(host)
        self._services[host].up = False
        return "read off twice"

    async def on(self, host: str) -> None:
        self.dark.discard(host)
        self._double.cloud.restart(host)

    async def identity(self, host: str) -> str:
        return host


class Stage:
    """A cloud in memory with guests on its first host, and a recovery of it."""

    def __init__(self, folder: Path, guests: int = 1) -> None:
        self.double = Double()
        self.folder = folder
        self.switch = Switch(self.double)
        for number in range(guests):
            name = f"x{number}"
            made = Server(id_of(name), name, "small", {}, id_of("tiny"), FIRST, "ACTIVE", "")
            self.double.cloud.servers[made.id] = made
            self.double.cloud.allocations[made.id] = (FIRST, "small")

    def recovery(self, transport: Transport | None = None, *, powers: bool = True) -> Recovery:
        async def server(instance: str) -> str:
            return id_of(instance)

        cloud = Cloud(transport or self.double, calls_at_once=8, calls_per_s=10_000)
        bmc = self.switch if powers else None
        return Recovery.of(cloud, server=server, clock=SystemClock(), folder=self.folder, bmc=bmc)

    def server(self, name: str = "x0") -> Server:
        return self.double.cloud.servers[id_of(name)]

    def die(self) -> None:
        self.double.cloud.services[FIRST].up = False

    def records(self) -> list[tuple[str, str]]:
        self.double.cloud.advance()
        return [(each.target, each.status) for each in self.double.cloud.records]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def leave(
    name: str = "x0", target: str = SECOND, epoch: int = 1, incident: str = "i-1"
) -> Evacuate:
    return Evacuate(
        id=f"{incident}.{name}.{epoch}",
        instance=name,
        source=FIRST,
        target=target,
        epoch=epoch,
        incident=incident,
    )


async def do(recovery: Recovery, action: Action) -> list[Progress]:
    """Do an action as the performer does: by its blockers, and mended after an error."""
    for blocker in await recovery.blockers(action, (), None):
        raise Refused(blocker.reason, code="blocked")
    try:
        return [each async for each in recovery.do(action)]
    except BillowError:
        if await recovery.mend(action):
            return []
        raise


async def test_what_nova_hears_is_not_evacuated(stage: Stage) -> None:
    with pytest.raises(Refused, match="run twice"):
        await do(stage.recovery(), leave())
    assert stage.records() == []


async def test_a_host_that_is_told_dead_is_left_and_its_guest_runs(stage: Stage) -> None:
    recovery = stage.recovery()
    await recovery.mark_dead(FIRST, "its agent said so")
    await do(recovery, leave())
    assert (stage.server().host, stage.server().status) == (SECOND, "ACTIVE")
    assert stage.records() == [(SECOND, "done")]


async def test_forty_guests_are_ordered_by_forty_calls_and_few_looks(tmp_path: Path) -> None:
    stage = Stage(tmp_path, guests=7)
    recovery = stage.recovery()
    stage.die()
    await recovery.mark_dead(FIRST, "its power was cut")
    targets = (SECOND, THIRD)
    await asyncio.gather(*(do(recovery, leave(f"x{n}", targets[n % 2])) for n in range(7)))
    orders = [each for each in stage.double.sent if each.method == "POST"]
    assert len(orders) == 7
    changes = [each for each in stage.double.sent if each.method == "PUT"]
    assert len(changes) == 1
    before = stage.double.sent.index(orders[0])
    assert before <= 4, "a service, its guests and their records are asked for once for all"
    assert all(stage.server(f"x{n}").host == targets[n % 2] for n in range(7))


async def test_a_stopped_guest_stays_stopped_even_after_a_failed_try(stage: Stage) -> None:
    recovery = stage.recovery()
    stage.server().state = "SHUTOFF"
    stage.die()
    stage.double.cloud.failing.add(SECOND)
    with pytest.raises(Refused, match="x0"):
        await do(recovery, leave())
    assert (stage.server().status, stage.server().host) == ("ACTIVE", FIRST)
    await do(recovery, leave(target=THIRD, epoch=2))
    assert (stage.server().status, stage.server().host) == ("SHUTOFF", THIRD)


async def test_a_paused_guest_gets_a_home_and_is_not_started(stage: Stage) -> None:
    stage.server().state = "PAUSED"
    stage.die()
    await do(stage.recovery(), leave())
    assert (stage.server().status, stage.server().host) == ("SHUTOFF", SECOND)


async def test_a_refusal_is_told_in_words_and_the_next_host_is_tried(stage: Stage) -> None:
    recovery = stage.recovery()
    stage.die()
    stage.double.cloud.services[SECOND].status = "disabled"
    with pytest.raises(Refused, match="scheduler let no host through") as refusal:
        await do(recovery, leave())
    assert refusal.value.fix
    assert stage.server().status == "ACTIVE", "it waits for a home; it has not failed"
    await do(recovery, leave(target=THIRD, epoch=2))
    assert stage.server().host == THIRD


async def test_an_older_try_comes_too_late_also_in_a_new_process(stage: Stage) -> None:
    stage.die()
    await do(stage.recovery(), leave(epoch=3))
    again = stage.recovery()
    for late in (leave(epoch=2), leave(epoch=1)):
        assert "older" in (await again.blockers(late, (), None))[0].reason


def _mishaps() -> Iterator[tuple[Mishap, int, bool]]:
    for mishap in MISHAPS:
        for at in range(1, 4):
            yield mishap, at, True
        for at in (1, 2, 3, 5, 8) if mishap.status != 409 else ():  # a look conflicts with nobody
            yield mishap, at, False


@pytest.mark.parametrize(("mishap", "at", "changes"), list(_mishaps()), ids=str)
async def test_whichever_call_goes_wrong_it_is_evacuated_once(
    stage: Stage, mishap: Mishap, at: int, *, changes: bool
) -> None:
    stage.die()
    recovery = stage.recovery(Faulty(stage.double, mishap, at, changes=changes))
    for epoch, target in ((1, SECOND), (2, THIRD), (3, SECOND)):
        try:
            await do(recovery, leave(epoch=epoch, target=target))
        except (Refused, Unavailable):
            continue
        break
    assert stage.server().host in {SECOND, THIRD}
    assert stage.server().status == "ACTIVE"
    assert [each[1] for each in stage.records()].count("done") == 1


async def test_what_a_dead_controller_ordered_is_joined(stage: Stage) -> None:
    stage.die()
    stage.double.cloud.conducted = False
    doing = asyncio.create_task(do(stage.recovery(), leave()))
    async with asyncio.timeout(20):
        while not stage.records():  # noqa: ASYNC110  # the double tells nobody
            await asyncio.sleep(0.01)
    doing.cancel()
    await asyncio.gather(doing, return_exceptions=True)
    mended = asyncio.create_task(stage.recovery().mend(leave()))
    await asyncio.sleep(0.3)
    stage.double.cloud.conducted = True
    assert await mended
    assert stage.records() == [(SECOND, "done")]


@pytest.mark.parametrize("mark", [("task", "rebuilding"), ("state", "ERROR")])
@pytest.mark.parametrize("left", ["failed", "accepted"])
async def test_of_two_orders_of_one_moment_one_gets_through(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, left: str, mark: tuple[str, str]
) -> None:
    """As a real Nova was seen to do: it takes both, and fails one.

    That one leaves its task or the server in error, and now and then its record as it was accepted.
    """
    monkeypatch.setattr(evacuation, "STUCK_S", 0.3)
    monkeypatch.setattr(evacuation, "HEALTH_EVERY_S", 0.1)
    recovery, cloud = stage.recovery(), stage.double.cloud
    stage.die()
    await recovery.mark_dead(FIRST, "its power was cut")
    going = asyncio.create_task(do(recovery, leave()))
    while not cloud.records:  # noqa: ASYNC110  # of a cloud in memory
        await asyncio.sleep(0.01)
    cloud.record("evacuation", stage.server(), SECOND).status = left
    marks = [mark]

    def leave_mark(server: Server) -> None:
        if marks:
            setattr(server, *marks.pop())

    monkeypatch.setattr(cloud, "touch", leave_mark)
    await going
    there = stage.server()
    assert (there.host, there.status, there.task) == (SECOND, "ACTIVE", "")


async def test_what_no_conductor_takes_up_is_taken_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evacuation, "STALLED_S", 0.5)
    stage.die()
    recovery = stage.recovery()
    stage.double.cloud.failing.clear()
    lost = stage.server()
    lost_record = stage.double.cloud.record("evacuation", lost, SECOND)
    lost.task = "rebuilding"
    with pytest.raises(Refused, match="x0"):
        await do(recovery, leave())
    lost_record.status = "error"
    lost.task = ""
    monkeypatch.setattr(evacuation, "STALLED_S", 60.0)
    await do(recovery, leave(target=THIRD, epoch=2))
    assert lost.host == THIRD


async def test_a_target_that_dies_meanwhile_is_given_up(stage: Stage) -> None:
    stage.die()
    recovery = stage.recovery()
    guest = stage.server()
    record = stage.double.cloud.record("evacuation", guest, SECOND)
    guest.task, record.status = "rebuilding", "pre-migrating"
    stage.double.cloud.services[SECOND].forced_down = True
    with pytest.raises(Refused) as refusal:
        await do(recovery, leave())
    assert f"{SECOND} is dead, too" in refusal.value.details


async def test_a_host_counts_again_only_when_it_has_cleared_up(stage: Stage) -> None:
    recovery = stage.recovery()
    await do(recovery, Fence(id="f", host=FIRST))
    assert stage.switch.dark == {FIRST}
    await do(recovery, leave())
    with pytest.raises(Refused) as refusal:
        await recovery.mark_alive(FIRST)
    assert refusal.value.code == NOT_CLEANED
    assert stage.double.cloud.services[FIRST].forced_down
    await do(recovery, PowerOn(id="o", host=FIRST))
    assert not stage.double.cloud.services[FIRST].forced_down
    assert stage.records() == [(SECOND, "completed")]
    assert list(stage.double.cloud.allocations.values()) == [(SECOND, "small")]


async def test_nothing_is_fenced_where_nobody_can_prove_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path, guests=0)
    recovery = stage.recovery(powers=False)
    for action in (Fence(id="f", host=FIRST), PowerOff(id="p", host=FIRST)):
        (blocker,) = await recovery.blockers(action, (), None)
        assert "no management controller" in blocker.reason
    assert not stage.double.cloud.services[FIRST].forced_down


async def test_a_host_that_a_person_turned_on_counts_when_it_speaks(stage: Stage) -> None:
    recovery = stage.recovery(powers=False)
    stage.die()
    await recovery.mark_dead(FIRST, "I pulled its plug")
    waiting = asyncio.create_task(do(recovery, PowerOn(id="o", host=FIRST)))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    stage.double.cloud.restart(FIRST)
    await asyncio.wait_for(waiting, 20)
    assert not stage.double.cloud.services[FIRST].forced_down


async def test_unknown_hosts_are_said_to_be_unknown(stage: Stage) -> None:
    with pytest.raises(NotFound):
        await stage.recovery().mark_dead("nowhere", "?")
