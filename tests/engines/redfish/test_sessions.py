# SPDX-License-Identifier: Apache-2.0
"""A service that wants sessions, and has few: one serves all questions, and none is left behind."""

import asyncio
from pathlib import Path

import httpx2
import pytest

from billow.act.power.inventory import Controller
from billow.engines.redfish.service import Service
from billow.errors import Refused, Unavailable

pytestmark = pytest.mark.anyio
SESSIONS = "/redfish/v1/SessionService/Sessions"
PLACE = "/redfish/v1/Systems/1"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Bmc:
    """A service without basic authentication that has room for so many sessions."""

    def __init__(self, room: int) -> None:
        self.room, self.number = room, 0
        self.held: set[str] = set()
        self.good: set[str] = set()
        self.log_ins = 0
        self.asked, self.left, self.may_enter = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.may_enter.set()

    async def answer(self, request: httpx2.Request) -> httpx2.Response:
        await asyncio.sleep(0)
        if request.method == "POST" and request.url.path == SESSIONS:
            return await self._enter()
        name = request.headers.get("x-auth-token", "")
        if name not in self.good:
            return httpx2.Response(401)
        if request.method == "DELETE":
            self.held.discard(request.url.path.rpartition("/")[2])
            self.left.set()
            return httpx2.Response(204)
        return httpx2.Response(200, json={"PowerState": "On"})

    async def _enter(self) -> httpx2.Response:
        self.log_ins += 1
        self.asked.set()
        await self.may_enter.wait()
        if len(self.held) >= self.room:
            return httpx2.Response(400, json={"error": {"message": "session limit exceeded"}})
        self.number += 1
        name = f"s{self.number}"
        self.held.add(name)
        self.good.add(name)
        headers = {"x-auth-token": name, "location": f"{SESSIONS}/{name}"}
        return httpx2.Response(201, headers=headers)


def service(bmc: Bmc, folder: Path) -> Service:
    secret = folder / "secret"
    secret.write_text("word\n")
    secret.chmod(0o600)
    known = Controller(
        host="h1", kind="redfish", address="http://192.0.2.1", user="u", secret_file=secret
    )
    found = Service(known, "direct")
    transport = httpx2.MockTransport(bmc.answer)
    found._open = httpx2.AsyncClient(transport=transport, base_url=known.address)
    return found


async def test_questions_at_one_time_share_one_session(tmp_path: Path) -> None:
    bmc = Bmc(room=1)
    asked = service(bmc, tmp_path)
    found = await asyncio.gather(*(asked.get(PLACE) for _ in range(4)))
    assert [each["PowerState"] for each in found] == ["On"] * 4
    assert (bmc.log_ins, bmc.held) == (1, {"s1"})
    await asked.aclose()
    assert not bmc.held


async def test_a_session_that_is_replaced_is_given_back(tmp_path: Path) -> None:
    bmc = Bmc(room=2)
    asked = service(bmc, tmp_path)
    await asked.get(PLACE)
    bmc.good.clear()
    await asyncio.gather(*(asked.get(PLACE) for _ in range(4)))
    assert bmc.log_ins == 2
    await asyncio.wait_for(bmc.left.wait(), 5.0)
    assert bmc.held == {"s2"}
    await asked.aclose()
    assert not bmc.held


async def test_a_log_in_that_is_refused_takes_no_good_session_away(tmp_path: Path) -> None:
    bmc = Bmc(room=1)
    asked = service(bmc, tmp_path)
    await asked.get(PLACE)
    bmc.good.clear()
    with pytest.raises(Refused):
        await asked.get(PLACE)
    bmc.good.add("s1")  # it was only out of breath
    assert (await asked.get(PLACE))["PowerState"] == "On"
    await asked.aclose()
    assert not bmc.held


async def test_a_wrong_password_is_tried_once_for_all_who_ask(tmp_path: Path) -> None:
    bmc = Bmc(room=0)
    asked = service(bmc, tmp_path)
    found = await asyncio.gather(*(asked.get(PLACE) for _ in range(4)), return_exceptions=True)
    assert {type(each) for each in found} == {Refused}
    assert bmc.log_ins == 1
    await asked.aclose()


async def test_a_session_is_not_lost_when_who_asked_gives_up(tmp_path: Path) -> None:
    bmc = Bmc(room=1)
    bmc.may_enter.clear()
    asked = service(bmc, tmp_path)
    asking = asyncio.create_task(asked.get(PLACE))
    await bmc.asked.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    bmc.may_enter.set()
    assert (await asked.get(PLACE))["PowerState"] == "On"
    assert bmc.log_ins == 1
    await asked.aclose()
    assert not bmc.held


async def test_no_session_now_is_no_refusal(tmp_path: Path) -> None:
    bmc = Bmc(room=1)

    async def busy() -> httpx2.Response:
        return httpx2.Response(503)

    bmc._enter = busy  # type: ignore[method-assign]  # the one answer that differs
    asked = service(bmc, tmp_path)
    with pytest.raises(Unavailable, match="gives no session now"):
        await asked.get(PLACE)
    await asked.aclose()
