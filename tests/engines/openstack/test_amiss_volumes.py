# SPDX-License-Identifier: Apache-2.0
"""Nova's and Cinder's words on volumes are held against each other; one thing is put right."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.engines.openstack.cinder import volume
from tests.engines.openstack.double import Double
from tests.engines.openstack.memory import HOSTS, Server, id_of
from tests.engines.openstack.test_amiss import MOVE, X, recovery

from billow.engines.openstack.decode import volume_of
from billow.engines.openstack.recover import survey
from billow.engines.openstack.recover.amiss import IDLE_S, Ailment, Booked, Books, Kind, Record
from billow.engines.openstack.recover.volumes import volume_ailments
from billow.errors import Refused
from billow.model.action import Repair
from billow.model.plan import Severity

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quick")]
FIRST, SECOND, THIRD = HOSTS
DATA = id_of("data")
WEB = replace(X, compute="h1", volumes=frozenset({DATA}))
NOW = 1_000_000.0
LONG_AGO = datetime.fromtimestamp(NOW - 2 * IDLE_S, UTC).replace(tzinfo=None).isoformat()


def found(
    *rows: Mapping[str, Any], server: Booked = WEB, records: tuple[Record, ...] = ()
) -> list[Ailment]:
    books = Books(
        holdings=(),
        servers={server.uuid: server},
        records=records,
        volumes=tuple(map(volume_of, rows)),
        alive=frozenset({"h1"}),
        now=NOW,
    )
    return list(volume_ailments(books))


def kinds(*rows: Mapping[str, Any], **more: Any) -> list[Kind]:  # noqa: ANN401
    return [each.kind for each in found(*rows, **more)]


async def test_sound_volumes_say_nothing() -> None:
    assert kinds(volume("data", ("x", "h1")), volume("spare")) == []
    assert volume_ailments(Books(holdings=(), servers={"x": WEB}, records=())) == ()


async def test_an_attachment_for_a_server_that_is_no_more_is_healed_on_a_living_host() -> None:
    kept = volume("data", ("x", "h1"))
    (here,) = found(kept, volume("left", ("gone", "h1")))
    assert (here.kind, here.host) == (Kind.ATTACHED_TO_NOBODY, "h1")
    assert here.heals_on("h1")
    assert not here.heals_on("h2")
    (there,) = found(kept, volume("left", ("gone", "h2")))
    assert not there.heals_on("h2"), "its guest may run there, where Nova hears nobody"
    assert "another cloud shares this Cinder" in there.finding.text
    assert kinds(kept, volume("glance", ("", "h1"))) == [], "a host itself may have a volume"


async def test_an_attachment_that_its_server_does_not_know_is_told() -> None:
    (unknown,) = found(volume("data", ("x", "h1")), volume("more", ("x", "h1")))
    assert unknown.kind is Kind.ATTACHED_ELSEWHERE
    assert f"attachment delete {id_of('more x h1')}" in unknown.finding.text
    assert unknown.finding.severity is Severity.WARNING


async def test_an_attachment_that_stayed_behind_is_told_unless_its_server_is_on_its_way() -> None:
    both = volume("data", ("x", "h1"), ("x", "h2"))
    (left,) = found(both)
    assert (left.kind, left.host, left.id) == (Kind.ATTACHED_ELSEWHERE, "h2", id_of("data x h2"))
    assert kinds(both, records=(replace(MOVE, under_way=True),)) == []
    assert kinds(both, server=replace(WEB, status="VERIFY_RESIZE")) == []


async def test_a_volume_that_only_nova_has_attached_is_told() -> None:
    assert kinds() == [Kind.NOT_ATTACHED]
    assert kinds(volume("data")) == [Kind.NOT_ATTACHED]
    assert Kind.NOT_ATTACHED in kinds(volume("data", ("y", "h1")))
    assert kinds(volume("data", status="reserved")) == [], "Nova is about to attach it"
    shelved = replace(WEB, compute="", status="SHELVED_OFFLOADED")
    assert kinds(volume("data", status="reserved"), server=shelved) == []


@pytest.mark.parametrize(
    ("status", "command"),
    [("detaching", "--state in-use"), ("backing-up", "--state in-use"), ("deleting", "error")],
)
async def test_a_volume_that_stands_still_is_told_after_an_hour(status: str, command: str) -> None:
    (stuck,) = found(volume("data", ("x", "h1"), status=status, updated_at=LONG_AGO))
    assert (stuck.kind, stuck.host, stuck.heals_on("h1")) == (Kind.VOLUME_STUCK, "h1", False)
    assert command in stuck.finding.text
    just_now = datetime.fromtimestamp(NOW - 60, UTC).isoformat()
    assert kinds(volume("data", ("x", "h1"), status=status, updated_at=just_now)) == []
    assert kinds(volume("data", ("x", "h1"), status=status, updated_at="odd")) == []


async def test_a_volume_that_is_reserved_for_nobody_is_told_of_itself() -> None:
    held = volume("data", status="reserved", updated_at=LONG_AGO)
    assert kinds(held) == [], "its server is shelved, or waits for a word"
    nobody = replace(WEB, volumes=frozenset())
    (stuck,) = found(held, server=nobody)
    assert stuck.finding.subject == f"volume/{DATA}"
    assert f"--volume-id {DATA}" in stuck.finding.text


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Double:
    """A cloud with a server and its volume on the first host, and a volume of nobody there."""
    monkeypatch.setattr(survey, "LOOK_TWICE_S", 0.01)
    double = Double()
    cloud = double.cloud
    web = Server(id_of("x"), "x", "small", {}, id_of("tiny"), FIRST, "ACTIVE", "", volumes=[DATA])
    cloud.servers[web.id] = web
    cloud.allocations[web.id] = (FIRST, "small")
    kept, left = volume("data", (web.id, FIRST)), volume("left", (id_of("gone"), FIRST))
    cloud.volumes = {each["id"]: each for each in (kept, left)}
    return double


def attached(double: Double) -> list[str]:
    assert double.cloud.volumes is not None
    return [each["name"] for each in double.cloud.volumes.values() if each["attachments"]]


async def test_a_repair_lets_go_what_nobody_has_and_nothing_else(
    double: Double, tmp_path: Path
) -> None:
    recover = recovery(double, tmp_path)
    (finding,) = await recover.survey.findings()
    assert finding.subject == f"host/{FIRST}"
    assert "billow host repair" in finding.text
    repair = Repair(id="r", host=FIRST)
    assert not await recover.mend(repair)
    assert [each async for each in recover.do(repair)][-1].phase == "1 things put right"
    assert attached(double) == ["data"]
    assert await recover.mend(repair)


async def test_what_is_only_told_does_not_keep_a_repair_from_its_end(
    double: Double, tmp_path: Path
) -> None:
    assert double.cloud.volumes is not None
    server = double.cloud.servers[id_of("x")]
    double.cloud.volumes = {id_of("more"): volume("more", (server.id, FIRST))}
    server.volumes = []
    recover = recovery(double, tmp_path)
    assert [each.kind for each in await recover.survey.ailments()] == [Kind.ATTACHED_ELSEWHERE]
    repair = Repair(id="r", host=FIRST)
    assert await recover.mend(repair)
    assert [each async for each in recover.do(repair)][-1].phase == "nothing was amiss"
    assert attached(double) == ["more"]


async def test_a_server_that_a_list_left_out_keeps_its_volume(
    double: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists leave out the servers of a cell that is down; Nova still knows each by itself."""
    recover = recovery(double, tmp_path)
    books = recover.survey.books

    async def without_servers() -> Books:
        return replace(await books(), servers={})

    monkeypatch.setattr(type(recover.survey), "books", lambda _: without_servers())
    volumes = [e for e in await recover.survey.ailments() if e.kind is Kind.ATTACHED_TO_NOBODY]
    assert [each.provider for each in volumes] == [id_of("gone")]


async def test_cinder_has_the_last_word(double: Double, tmp_path: Path) -> None:
    recover = recovery(double, tmp_path)
    (ailment,) = await recover.survey.ailments()
    assert double.cloud.volumes is not None
    server = double.cloud.servers[id_of("x")]
    double.cloud.servers[id_of("gone")] = replace(server, id=id_of("gone"), volumes=[])
    with pytest.raises(Refused, match="still amiss"):
        await _again(recover.survey, ailment)
    assert attached(double) == ["data", "left"]


async def test_without_cinder_the_other_books_are_kept(double: Double, tmp_path: Path) -> None:
    double.cloud.volumes = None
    double.cloud.allocations[id_of("nobody")] = (SECOND, "small")
    recover = recovery(double, tmp_path)
    assert [each.kind for each in await recover.survey.ailments()] == [Kind.NOBODY]


async def _again(survey: survey.Survey, ailment: Ailment) -> None:
    """Repair what was seen before its server came back."""

    async def before() -> tuple[Ailment, ...]:
        return (ailment,)

    survey.ailments = before  # type: ignore[method-assign]
    async for _ in survey.repair(ailment.host):
        pass
