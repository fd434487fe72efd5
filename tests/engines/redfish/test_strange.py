# SPDX-License-Identifier: Apache-2.0
"""Services that answer strangely: typed errors, or a reading, and never a pool that is blind."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.act.clock import SystemClock
from billow.act.power.controllers import Controllers
from billow.act.power.engine import PowerEngine
from billow.act.power.inventory import Controller
from billow.act.power.records import Identities
from billow.engines.redfish.line import RedfishLine
from billow.errors import BillowError, Refused
from billow.model.kinds import Power

pytestmark = pytest.mark.anyio
UUID = "4c4c4544-0042-3610-8051-b4c04f564231"
SYSTEM = "/redfish/v1/Systems/1"
RESET = "#ComputerSystem.Reset"
KNOWN = Controller(
    host="h1", kind="redfish", address="http://192.0.2.1", secret_file=Path("s"), uuid=UUID
)
KEYS = st.sampled_from(
    [
        "Members",
        "@odata.id",
        "PowerState",
        "UUID",
        "SerialNumber",
        "Actions",
        RESET,
        "target",
        "ResetType@Redfish.AllowableValues",
        "Boot",
        "BootSourceOverrideTarget@Redfish.AllowableValues",
        "PowerRestorePolicy",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Answers:
    """A service whose resources are given; what is sent to it is kept."""

    def __init__(self, *resources: dict[str, Any] | BillowError) -> None:
        self.resources = list(resources)
        self.sent: list[str] = []
        self.bodies: list[Mapping[str, object]] = []

    async def get(self, _place: str) -> dict[str, Any]:
        found = self.resources.pop(0) if len(self.resources) > 1 else self.resources[0]
        if isinstance(found, BillowError):
            raise found
        return found

    async def post(self, place: str, body: Mapping[str, object]) -> None:
        self.sent.append(place)
        self.bodies.append(body)

    async def patch(self, place: str, _body: Mapping[str, object], _etag: str) -> None:
        self.sent.append(place)

    async def aclose(self) -> None:
        return


def line(answers: Answers, place: str = SYSTEM) -> RedfishLine:
    found = RedfishLine(KNOWN, "direct")
    found._service = answers  # type: ignore[assignment]  # the seam is its four methods
    found._place = place
    return found


@given(st.dictionaries(KEYS, JSON, max_size=6))
def test_no_answer_is_so_strange_that_it_is_no_reading_or_typed_error(
    resource: dict[str, Any],
) -> None:
    async def ask() -> None:
        for place in ("", SYSTEM):
            asked = line(Answers(resource), place)
            for what in (asked.read, asked.cut, asked.give, asked.bar, asked.unbar):
                try:
                    await what()
                except BillowError:
                    continue

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("shown", "power"),
    [("On", Power.ON), ("Off", Power.OFF), ("PoweringOff", Power.ON), ("Gone", Power.UNKNOWN)],
)
async def test_only_off_is_off(shown: str, power: Power) -> None:
    reading = await line(Answers({"PowerState": shown, "UUID": UUID})).read()
    assert reading.power is power


@pytest.mark.parametrize("listed", [["On", "PushPowerButton"], ["PushPowerButton"], []])
async def test_no_order_to_turn_off_could_turn_on(listed: list[str]) -> None:
    reset = {"target": f"{SYSTEM}/reset", "ResetType@Redfish.AllowableValues": listed}
    answers = Answers({"PowerState": "Off", "UUID": UUID, "Actions": {RESET: reset}})
    await line(answers).cut()
    assert (answers.sent, answers.bodies) == ([f"{SYSTEM}/reset"], [{"ResetType": "ForceOff"}])


async def test_a_system_that_is_elsewhere_now_is_found_again() -> None:
    gone = Refused("not there", code="http-404")
    answers = Answers(gone, {"Members": [{"@odata.id": "/redfish/v1/Systems/2"}]}, {"UUID": UUID})
    asked = line(answers)
    assert (await asked.read()).identities == (UUID,)
    assert asked._place == "/redfish/v1/Systems/2"


async def test_one_of_several_systems_must_be_named() -> None:
    two = {"Members": [{"@odata.id": "/a"}, {"@odata.id": "/b"}]}
    with pytest.raises(Refused, match="has 2 systems") as refusal:
        await line(Answers(two), "").read()
    assert refusal.value.details == ("/a", "/b")


async def test_a_sick_controller_blinds_nobody(tmp_path: Path) -> None:
    sick = Refused("it refuses", ("404",), code="http-404")
    controllers = Controllers(
        [KNOWN], lambda *_: line(Answers(sick)), Identities(tmp_path), SystemClock()
    )
    engine = PowerEngine("redfish", controllers, tmp_path, SystemClock())
    pool = await engine.sense()
    assert pool.host("h1").power is Power.UNKNOWN
    assert [(gap.subject, gap.why) for gap in pool.gaps] == [("host/h1", "it refuses")]
    await engine.aclose()
