# SPDX-License-Identifier: Apache-2.0
"""How a cloud is asked: what is tried again, what an answer means, how pages follow each other."""

import json
from collections.abc import Iterator

import pytest
from tests.engines.openstack.replay import Replay, recorded

from billow.engines.openstack import cloud as cloud_module
from billow.engines.openstack.cloud import Cloud
from billow.engines.openstack.pace import Pace
from billow.engines.openstack.transport import Answer, Request, Versions, open_transport
from billow.errors import (
    BillowError,
    Conflict,
    Denied,
    Invalid,
    NotFound,
    Refused,
    Unauthenticated,
    Unavailable,
)

pytestmark = pytest.mark.anyio


class Script:
    """A transport that answers one after the other what a test wrote."""

    name = "scripted"

    def __init__(self, *answers: Answer | BillowError) -> None:
        self._answers: Iterator[Answer | BillowError] = iter(answers)
        self.sent: list[Request] = []

    def send(self, request: Request) -> Answer:
        self.sent.append(request)
        found = next(self._answers)
        if isinstance(found, BillowError):
            raise found
        return found

    def versions(self, service: str) -> Versions | None:
        return {"compute": Versions((2, 1), (2, 93)), "placement": Versions((1, 0), (1, 39))}.get(
            service
        )

    def close(self) -> None:
        """Do nothing."""


def asked(*answers: Answer | BillowError) -> tuple[Cloud, Script]:
    script = Script(*answers)
    return Cloud(script, calls_at_once=2, calls_per_s=10_000), script


OK = Answer(200, b'{"servers": []}')
BROKEN = Answer(503, b"<html>Service Unavailable</html>")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud_module, "WAITS_S", (0.0, 0.0, 0.0))


async def test_a_read_is_tried_again() -> None:
    gone = Unavailable("nobody", code="openstack-no-answer")
    cloud, script = asked(BROKEN, gone, OK)
    assert await cloud.get("compute", "/servers") == {"servers": []}
    assert len(script.sent) == 3


async def test_a_read_is_not_tried_for_ever() -> None:
    cloud, script = asked(*[BROKEN] * 9)
    with pytest.raises(Unavailable, match="503") as caught:
        await cloud.get("compute", "/servers")
    assert caught.value.code == "openstack-503"
    assert len(script.sent) == 4


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_a_change_is_sent_once(method: str) -> None:
    cloud, script = asked(BROKEN, OK)
    with pytest.raises(Unavailable):
        await cloud.call(method, "compute", "/servers", {"server": {}})
    assert len(script.sent) == 1


@pytest.mark.parametrize(
    ("key", "kind", "reason"),
    [
        ("error 404", NotFound, "Instance nothing could not be found."),
        ("error 400", Refused, "'name' is a required property"),
        ("error 409", Conflict, "generation already changed"),
    ],
)
async def test_what_real_services_say_becomes_an_error(
    key: str, kind: type[BillowError], reason: str
) -> None:
    told = recorded()[key]
    cloud, _ = asked(Answer(told["status"], json.dumps(told["body"]).encode()))
    with pytest.raises(kind) as caught:
        await cloud.call("PUT", "compute", "/any?limit=3")
    assert caught.value.code == f"openstack-{told['status']}"
    assert any(reason in each for each in caught.value.details)
    assert "PUT /any" in caught.value.details


@pytest.mark.parametrize(
    ("status", "kind"), [(401, Unauthenticated), (403, Denied), (500, Unavailable), (422, Refused)]
)
async def test_statuses_have_kinds(status: int, kind: type[BillowError]) -> None:
    answer = Answer(status, b'{"faultstring": "so it is"}')
    cloud, _ = asked(answer, answer)
    with pytest.raises(kind) as caught:
        await cloud.call("POST", "baremetal", "/nodes", {})
    assert "so it is" in caught.value.details


async def test_what_ironic_packs_into_another_document_is_read() -> None:
    """As Ironic 39.0.0 answered in the lab."""
    inner = json.dumps({"faultcode": "Client", "faultstring": "it is locked", "debuginfo": None})
    cloud, _ = asked(Answer(409, json.dumps({"error_message": inner}).encode()))
    with pytest.raises(Conflict) as caught:
        await cloud.call("PUT", "baremetal", "/nodes/n1/states/power", {})
    assert caught.value.details[-1] == "it is locked"


async def test_a_token_that_expired_again_is_replaced_again() -> None:
    cloud, script = asked(Answer(401, b"{}"), OK)
    assert await cloud.call("POST", "compute", "/servers", {}) == {"servers": []}
    assert len(script.sent) == 2


async def test_a_busy_cloud_is_given_the_time_it_asks_for() -> None:
    busy = Answer(429, b"{}", {"Retry-After": "0"})
    cloud, script = asked(busy, OK)
    assert await cloud.call("POST", "compute", "/servers", {}) == {"servers": []}
    assert len(script.sent) == 2


async def test_a_cloud_that_asks_for_an_hour_is_not_waited_for() -> None:
    cloud, script = asked(Answer(429, b"{}", {"Retry-After": "3600"}))
    with pytest.raises(Unavailable) as caught:
        await cloud.get("compute", "/servers")
    assert caught.value.code == "openstack-busy"
    assert len(script.sent) == 1


async def test_pages_follow_their_links_whatever_host_these_name() -> None:
    link = {"rel": "next", "href": "http://inside.example:8774/v2.1/servers?limit=1&marker=a"}
    first = {"servers": [{"id": "a"}], "servers_links": [link]}
    cloud, script = asked(
        Answer(200, json.dumps(first).encode()), Answer(200, b'{"servers": [{"id": "b"}]}')
    )
    rows = await cloud.rows("compute", "/servers?limit=1", "servers", "2.90")
    assert [each["id"] for each in rows] == ["a", "b"]
    assert [each.path for each in script.sent] == [
        "/servers?limit=1",
        "/servers?limit=1&marker=a",
    ]
    assert {each.microversion for each in script.sent} == {"2.90"}


async def test_pages_of_glance_and_ironic_name_the_next_one() -> None:
    first = {"images": [{"id": "a"}], "next": "/v2/images?marker=a"}
    cloud, _ = asked(Answer(200, json.dumps(first).encode()), Answer(200, b'{"images": []}'))
    assert len(await cloud.rows("image", "/images", "images")) == 1


async def test_a_page_that_leads_to_itself_ends() -> None:
    link = {"rel": "next", "href": "http://x/servers?limit=1"}
    page = Answer(200, json.dumps({"servers": [{}], "servers_links": [link]}).encode())
    cloud, script = asked(page, page)
    assert len(await cloud.rows("compute", "/servers?limit=1", "servers")) == 1
    assert len(script.sent) == 1


async def test_the_newest_microversion_that_both_speak() -> None:
    cloud, _ = asked()
    assert await cloud.microversion("compute", "2.96") == "2.93"
    assert await cloud.microversion("compute", "2.61") == "2.61"
    assert await cloud.microversion("network", "2.0") == ""
    assert not await cloud.has("baremetal")


async def test_a_service_that_was_down_is_asked_again_for_its_microversions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cloud, script = asked()
    told = iter([Versions(), Versions((3, 0), (3, 71))])
    monkeypatch.setattr(script, "versions", lambda _: next(told))
    assert await cloud.microversion("block-storage", "3.61") == ""
    assert await cloud.microversion("block-storage", "3.61") == "3.61"
    assert await cloud.microversion("block-storage", "3.99") == "3.71"


async def test_a_service_newer_than_all_that_we_speak(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud, script = asked()
    monkeypatch.setattr(script, "versions", lambda _: Versions((3, 0), (3, 5)))
    with pytest.raises(Refused, match="no microversion up to"):
        await cloud.microversion("compute", "2.96")


async def test_what_is_no_json_is_refused() -> None:
    cloud, _ = asked(Answer(200, b"<html>"))
    with pytest.raises(Refused) as caught:
        await cloud.get("compute", "/servers")
    assert caught.value.code == "bad-answer"


async def test_an_empty_answer_is_empty() -> None:
    cloud, _ = asked(Answer(202, b""))
    assert await cloud.call("POST", "compute", "/servers/x/action", {}) == {}


async def test_calls_keep_to_their_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def note(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("billow.engines.openstack.pace.asyncio.sleep", note)
    pace = Pace(10.0)
    for _ in range(40):
        await pace.turn()
    assert len(waited) >= 28  # a second's worth at once, then one by one
    assert max(waited) > 2.0


async def test_a_cloud_that_is_not_described(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", f"{tmp_path}/none.yaml")
    monkeypatch.chdir(str(tmp_path))
    with pytest.raises(Invalid, match="the cloud nowhere"):
        open_transport("nowhere", 4)


async def test_without_openstacksdk_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr("billow.engines.openstack.transport.importlib.import_module", missing)
    with pytest.raises(Invalid) as caught:
        open_transport("any", 4)
    assert caught.value.fix == "pip install 'billow[openstack]'"


async def test_a_cloud_that_nobody_reaches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    """A real connection, refused at once: port 1 of this machine."""
    monkeypatch.chdir(str(tmp_path))
    for name, value in {
        "AUTH_URL": "http://127.0.0.1:1",
        "USERNAME": "u",
        "PASSWORD": "p",
        "PROJECT_NAME": "x",
        "USER_DOMAIN_NAME": "d",
        "PROJECT_DOMAIN_NAME": "d",
    }.items():
        monkeypatch.setenv(f"OS_{name}", value)
    cloud = Cloud(open_transport("", 4), calls_at_once=4, calls_per_s=100)
    with pytest.raises(Unavailable) as caught:
        await cloud.get("compute", "/servers")
    assert caught.value.code == "openstack-no-answer"
    await cloud.aclose()


async def test_the_replay_has_nothing_of_any_machine() -> None:
    text = json.dumps(Replay().told)
    assert "127.0.0.1" not in text
    assert "site-packages" not in text
