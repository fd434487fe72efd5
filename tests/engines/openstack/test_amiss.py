# SPDX-License-Identifier: Apache-2.0
"""Nova's and Placement's books are held against each other, and only what is amiss is put right."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.engines.openstack.double import Double
from tests.engines.openstack.ironic import machine
from tests.engines.openstack.memory import HOSTS, Record, Server, id_of

from billow.act.clock import SystemClock
from billow.engines.openstack.cloud import Cloud
from billow.engines.openstack.open import engine_of
from billow.engines.openstack.recover import survey
from billow.engines.openstack.recover.amiss import (
    IDLE_S,
    Booked,
    Books,
    Holding,
    Kind,
    ailments,
)
from billow.engines.openstack.recover.amiss import Record as Move
from billow.engines.openstack.recover.craft import Recovery
from billow.engines.openstack.recover.survey import Survey
from billow.engines.openstack.transport import Answer, Request
from billow.errors import Refused
from billow.model.action import Repair
from billow.model.plan import Severity
from billow.settings import Settings
from billow.testing.stand import do

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quick")]
FIRST, SECOND, THIRD = HOSTS
X = Booked(uuid="x", name="web", host="h1", status="ACTIVE", task="", idle_s=2 * IDLE_S)
HELD = Holding(consumer="x", host="h1", provider="p1")
BEHIND = Holding(consumer="x", host="h2", provider="p2")
MOVE = Move(uuid="m", server="x", source="h2", target="h1", under_way=False)


def kinds(*held: Holding, server: Booked = X, records: tuple[Move, ...] = ()) -> list[Kind]:
    books = Books(holdings=held, servers={server.uuid: server}, records=records)
    return [each.kind for each in ailments(books)]


async def test_sound_books_say_nothing() -> None:
    assert kinds(HELD) == []
    assert kinds(HELD, replace(HELD, provider="below p1")) == []


async def test_room_that_a_server_left_behind_is_found_unless_it_is_on_its_way() -> None:
    assert kinds(HELD, BEHIND) == [Kind.LEFT_BEHIND]
    going = replace(MOVE, under_way=True)
    assert kinds(HELD, BEHIND, records=(going,)) == []
    busy = replace(X, task="migrating", idle_s=0.0)
    assert kinds(HELD, BEHIND, server=busy) == []


async def test_room_of_a_move_is_found_when_the_move_has_ended() -> None:
    held = Holding(consumer="m", host="h2", provider="p2")
    assert kinds(HELD, held, records=(MOVE,)) == [Kind.MOVE_ENDED]
    assert kinds(HELD, held, records=(replace(MOVE, under_way=True),)) == []
    waits = replace(X, status="VERIFY_RESIZE", idle_s=0.0)
    assert kinds(HELD, held, server=waits, records=(MOVE,)) == [], "a way back needs its room"


async def test_room_of_nobody_is_found() -> None:
    assert kinds(HELD, Holding(consumer="z", host="h3", provider="p3")) == [Kind.NOBODY]


async def test_room_is_nobodys_only_where_every_cell_answers() -> None:
    """Lists leave out the servers and moves of a cell that is down, without a word."""
    books = Books(holdings=(HELD,), servers={}, records=())
    assert [each.kind for each in ailments(books)] == [Kind.NOBODY]
    assert ailments(replace(books, whole=False)) == ()


async def test_what_stands_still_half_way_is_found_after_an_hour() -> None:
    waits = replace(X, status="VERIFY_RESIZE")
    assert kinds(HELD, server=waits) == [Kind.UNCONFIRMED]
    assert kinds(HELD, server=replace(waits, idle_s=60.0)) == []
    stuck = replace(X, status="REBUILD", task="rebuilding")
    assert kinds(HELD, server=stuck) == [Kind.STANDS_STILL]
    assert kinds(HELD, server=stuck, records=(replace(MOVE, under_way=True),)) == []


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Double:
    """A cloud with a server on its first host, and room held on others for nobody."""
    monkeypatch.setattr(survey, "LOOK_TWICE_S", 0.01)
    double = Double()
    cloud = double.cloud
    made = Server(id_of("x"), "x", "small", {}, id_of("tiny"), FIRST, "ACTIVE", "")
    cloud.servers[made.id] = made
    cloud.allocations[made.id] = (FIRST, "small")
    cloud.allocations[id_of("nobody")] = (SECOND, "small")
    cloud.records.append(Record(1, "live-migration", made.id, SECOND, FIRST, "completed"))
    cloud.allocations[cloud.records[0].uuid] = (SECOND, "small")
    return double


def recovery(double: Double, folder: Path) -> Recovery:
    async def server(instance: str) -> str:
        return id_of(instance)

    cloud = Cloud(double, calls_at_once=8, calls_per_s=10_000)
    return Recovery.of(cloud, server=server, clock=SystemClock(), folder=folder)


async def test_a_repair_gives_back_what_nobody_uses_and_touches_nothing_else(
    double: Double, tmp_path: Path
) -> None:
    recover = recovery(double, tmp_path)
    findings = await recover.survey.findings()
    assert {each.subject for each in findings} == {f"host/{SECOND}"}
    assert {each.severity for each in findings} == {Severity.WARNING}
    repair = Repair(id="r", host=SECOND)
    assert await recover.blockers(repair, (), None) == []
    assert not await recover.mend(repair)
    assert [each async for each in recover.do(repair)][-1].phase == "2 things put right"
    assert double.cloud.allocations == {id_of("x"): (FIRST, "small")}
    assert await recover.mend(repair)
    assert [each async for each in recover.do(repair)][-1].phase == "nothing was amiss"
    assert await recover.blockers(Repair(id="r", host="nowhere"), (), None)


async def test_hosts_are_called_as_the_pool_calls_them(double: Double, tmp_path: Path) -> None:
    """Nova names their providers after hypervisors, which may have a host's full name."""
    double.cloud.domain = ".example.org"
    recover = recovery(double, tmp_path)
    assert {each.subject for each in await recover.survey.findings()} == {f"host/{SECOND}"}
    assert [each async for each in recover.do(Repair(id="r", host=SECOND))]
    assert double.cloud.allocations == {id_of("x"): (FIRST, "small")}


async def test_room_on_a_machine_is_given_back_under_its_name(
    double: Double, tmp_path: Path
) -> None:
    """Of Ironic's machines Nova and Placement say the id only; a server on one is sound."""
    cloud = double.cloud
    cloud.allocations.clear()
    first, second = machine(cloud, "m1"), machine(cloud, "m2")
    made = Server(id_of("b"), "b", "small", {}, id_of("tiny"), first.uuid, "ACTIVE", "")
    cloud.servers[made.id] = made
    cloud.allocations |= {made.id: (first.uuid, "small"), id_of("nobody"): (second.uuid, "small")}
    settings = Settings(engine="openstack", state_dir=tmp_path, allow_changes=True)
    asked = Cloud(double, calls_at_once=8, calls_per_s=10_000)
    engine = engine_of(asked, settings, SystemClock())
    (finding,) = await Survey(asked, SystemClock()).findings()
    assert finding.subject == "host/m2"
    assert "billow host repair m2" in finding.text
    await do(engine, Repair(id="r", host="m2"))
    assert cloud.allocations == {made.id: (first.uuid, "small")}
    (blocker,) = await engine.blockers(Repair(id="r2", host="nowhere"))
    assert "nowhere" in blocker.reason
    await engine.aclose()


async def test_what_hypervisors_are_may_be_denied(
    double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then a finding names the provider, as Placement does."""
    send = double.send

    def deny(request: Request) -> Answer:
        return Answer(403, b"{}") if "/os-hypervisors" in request.path else send(request)

    monkeypatch.setattr(double, "send", deny)
    double.cloud.domain = ".example.org"
    books = Survey(Cloud(double, calls_at_once=8, calls_per_s=10_000), SystemClock())
    assert {each.host for each in await books.ailments()} == {f"{SECOND}.example.org"}


async def test_a_cell_that_is_down_is_noticed(double: Double) -> None:
    """Nova names the hosts of such a cell, and says nothing of them (from 2.69 on)."""
    books = Survey(Cloud(double, calls_at_once=8, calls_per_s=10_000), SystemClock())
    assert (await books.books()).whole
    double.cloud.services[THIRD].dark = True
    read = await books.books()
    assert not read.whole
    assert read.alive == {FIRST, SECOND}
    assert [each.kind for each in await books.ailments()] == [Kind.MOVE_ENDED]


async def test_the_entries_of_others_than_nova_are_left_alone(double: Double) -> None:
    double.cloud.kinds[id_of("nobody")] = "RESERVATION"
    books = Survey(Cloud(double, calls_at_once=8, calls_per_s=10_000), SystemClock())
    assert [each.kind for each in await books.ailments()] == [Kind.MOVE_ENDED]


async def test_what_somebody_changed_meanwhile_is_told(double: Double, tmp_path: Path) -> None:
    double.cloud.stale.add(id_of("nobody"))
    with pytest.raises(Refused, match="1 of 2 things"):
        _ = [each async for each in recovery(double, tmp_path).do(Repair(id="r", host=SECOND))]
