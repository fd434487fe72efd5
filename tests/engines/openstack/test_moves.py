# SPDX-License-Identifier: Apache-2.0
"""Orders to Nova: once, to their end, whichever of their calls goes wrong."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import replace

import pytest
from tests.engines.openstack.double import Double
from tests.engines.openstack.faults import MISHAPS, Faulty, Mishap
from tests.engines.openstack.memory import HOSTS, id_of

from billow.act.terms import Terms
from billow.engines.openstack import move
from billow.engines.openstack.cloud import Cloud
from billow.engines.openstack.nova import Nova
from billow.engines.openstack.place import Wanted, place, remove, take_back
from billow.engines.openstack.transport import Transport
from billow.errors import BillowError, Refused
from billow.model.action import Place
from billow.model.instance import Instance
from billow.model.run import Progress
from billow.model.shape import Shape

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quick")]
FIRST, SECOND, THIRD = HOSTS
Flow = Callable[[Nova, str], AsyncGenerator[Progress, None]]


def nova(transport: Transport) -> Nova:
    return Nova(Cloud(transport, calls_at_once=4, calls_per_s=10_000))


def wanted(name: str = "x", host: str = FIRST, shape: str = "small") -> Wanted:
    instance = Instance(name, Shape(shape, 1000, 1024), image="tiny")
    action = Place(id=f"place-{name}", instance=instance, host=host)
    return Wanted(action=action, flavor=id_of(shape), network="none")


async def drain(flow: AsyncGenerator[Progress, None]) -> list[Progress]:
    return [each async for each in flow]


async def placed(double: Double) -> str:
    await drain(place(nova(double), wanted()))
    (server,) = double.cloud.servers
    return server


def live(nova: Nova, server: str) -> AsyncGenerator[Progress, None]:
    return move.carry(nova, move.live(server, "x", SECOND), Terms())


def cold(nova: Nova, server: str) -> AsyncGenerator[Progress, None]:
    return move.carry(nova, move.cold(server, "x", SECOND), Terms())


def resized(nova: Nova, server: str) -> AsyncGenerator[Progress, None]:
    return move.carry(nova, move.resize(server, "x", id_of("larger")), Terms())


FLOWS: dict[str, Flow] = {"live": live, "cold": cold, "resize": resized}


@pytest.mark.parametrize("flow", FLOWS)
async def test_a_move_ends_when_placement_lets_go(flow: str) -> None:
    double = Double()
    server = await placed(double)
    reports = await drain(FLOWS[flow](nova(double), server))
    there = double.cloud.servers[server]
    assert there.host != FIRST
    assert (there.state, there.task) == ("ACTIVE", "")
    assert double.cloud.allocations == {server: (there.host, there.flavor)}
    assert [each.status for each in double.cloud.records] in (["completed"], ["confirmed"])
    assert reports[-1].fraction == 1.0


@pytest.mark.parametrize("mishap", MISHAPS, ids=str)
@pytest.mark.parametrize("flow", FLOWS)
async def test_a_change_that_goes_wrong_is_neither_lost_nor_doubled(
    flow: str, mishap: Mishap
) -> None:
    """Whichever order of a move goes wrong, it is moved once, and nothing is left behind."""
    double = Double()
    server = await placed(double)
    for at in (1, 2):
        faulty = Faulty(double, mishap, at, changes=True)
        moves = len(double.cloud.records)
        try:
            await drain(FLOWS[flow](nova(faulty), server))
            arrived = True
        except BillowError:
            await move.settle(nova(double), server, keep=False)
            arrived = False
        there = double.cloud.servers[server]
        assert (there.state, there.task) == ("ACTIVE", "")
        assert double.cloud.allocations == {server: (there.host, there.flavor)}
        assert len(double.cloud.records) - moves <= 1
        assert arrived
        if faulty.seen < at:
            break
        there.host, there.flavor = FIRST, "small"
        double.cloud.allocations[server] = (FIRST, "small")


@pytest.mark.parametrize("mishap", MISHAPS, ids=str)
async def test_a_server_is_made_once(mishap: Mishap) -> None:
    double = Double()
    await drain(place(nova(Faulty(double, mishap, 1, changes=True)), wanted()))
    assert [each.host for each in double.cloud.servers.values()] == [FIRST]
    assert len(double.cloud.allocations) == 1


@pytest.mark.parametrize("mishap", MISHAPS, ids=str)
async def test_a_server_is_removed_wholly(mishap: Mishap) -> None:
    double = Double()
    server = await placed(double)
    await remove(nova(Faulty(double, mishap, 1, changes=True)), server)
    assert not double.cloud.servers
    assert not double.cloud.allocations


async def test_reads_that_go_wrong_are_borne() -> None:
    """An API that does not answer for a while is waited for while a move is under way."""
    double = Double()
    server = await placed(double)
    await drain(live(nova(Faulty(double, Mishap(503, times=6), 3, changes=False)), server))
    assert double.cloud.servers[server].host == SECOND


async def test_what_fits_nowhere_leaves_nothing() -> None:
    double = Double()
    double.cloud.services[FIRST].status = "disabled"
    with pytest.raises(Refused, match="scheduler let no host through"):
        await drain(place(nova(double), wanted()))
    await take_back(nova(double), wanted().action)
    assert not double.cloud.servers
    assert not double.cloud.allocations


async def test_a_network_is_named_or_not() -> None:
    double = Double()
    named = replace(wanted(), network="net")
    await drain(place(nova(double), named))
    (ordered,) = [each.body for each in double.sent if each.path == "/servers"]
    assert ordered is not None
    assert ordered["server"]["networks"] == [{"uuid": id_of("net")}]


@pytest.mark.parametrize("flow", ["live", "cold"])
async def test_a_failed_move_is_told_by_its_record(flow: str) -> None:
    """Nova leaves no fault on the server: the reason is in the instance's actions."""
    double = Double()
    server = await placed(double)
    double.cloud.services[SECOND].status = "disabled"
    with pytest.raises(Refused, match="scheduler let no host through") as refusal:
        await drain(FLOWS[flow](nova(double), server))
    assert "why-not" in refusal.value.fix
    assert double.cloud.servers[server].host == FIRST


async def test_a_move_is_aborted() -> None:
    double = Double()
    server = await placed(double)
    flow = live(nova(double), server)
    async for progress in flow:
        if progress.phase == "copying":
            break
    await flow.aclose()
    await move.settle(nova(double), server, keep=False)
    assert double.cloud.servers[server].host == FIRST
    assert [each.status for each in double.cloud.records] == ["cancelled"]
    assert double.cloud.allocations == {server: (FIRST, "small")}


@pytest.mark.parametrize(("keep", "host"), [(True, SECOND), (False, FIRST)])
async def test_a_cold_move_that_was_left_is_settled(*, keep: bool, host: str) -> None:
    double = Double()
    server = await placed(double)
    await nova(double).act(server, "migrate", {"host": SECOND})
    await move.settle(nova(double), server, keep=keep)
    assert double.cloud.servers[server].host == host
    assert double.cloud.allocations == {server: (host, "small")}


async def test_a_server_that_nova_forgot_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure in Nova's own failure path leaves a server moving for ever, its record ended."""
    monkeypatch.setattr(move, "STUCK_S", 0.2)
    double = Double()
    server = await placed(double)
    there = double.cloud.servers[server]
    double.cloud.record("live-migration", there, SECOND).status = "error"
    there.task = "migrating"
    await move.settle(nova(double), server, keep=False)
    assert (there.host, there.state, there.task) == (FIRST, "ACTIVE", "")


async def test_a_server_whose_conductor_died_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """It wrote a record, and nobody chooses a target any more."""
    monkeypatch.setattr(move, "ABANDONED_S", 0.2)
    double = Double()
    server = await placed(double)
    there = double.cloud.servers[server]
    double.cloud.record("live-migration", there, "").status = "accepted"
    there.task = "migrating"
    await move.settle(nova(double), server, keep=False)
    assert (there.host, there.state, there.task) == (FIRST, "ACTIVE", "")


@pytest.mark.parametrize("status", ["", "error"])
async def test_a_server_that_nova_gave_up_over_its_move_is_active_again(status: str) -> None:
    """Its conductor got no answer of Placement: the guest never noticed."""
    double = Double()
    server = await placed(double)
    there = double.cloud.servers[server]
    if status:
        double.cloud.record("live-migration", there, SECOND).status = status
    there.state = "ERROR"
    await move.settle(nova(double), server, keep=False)
    assert there.state == "ERROR"  # it was not moved live
    await move.settle(nova(double), server, keep=False, live=True)
    assert (there.host, there.state, there.task) == (FIRST, "ACTIVE", "")


async def test_a_move_under_way_is_joined() -> None:
    """Whoever asks for the move that Nova is at work on follows it."""
    double = Double()
    server = await placed(double)
    first = live(nova(double), server)
    async for progress in first:
        if progress.phase == "copying":
            break
    await first.aclose()
    await drain(live(nova(double), server))
    assert len(double.cloud.records) == 1
    assert double.cloud.servers[server].host == SECOND
