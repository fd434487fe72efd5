# SPDX-License-Identifier: Apache-2.0
"""A host that is turned on stays on: nothing that its proof of being off left behind goes on."""

import asyncio
from pathlib import Path

import pytest
from tests.act.power.script import OFF, ON, SILENT, WHO, House, Script

from billow.act.power import controllers
from billow.act.power.controllers import Controllers
from billow.act.power.inventory import Controller
from billow.act.power.line import Reading
from billow.errors import BillowError
from billow.model.kinds import Power

pytestmark = pytest.mark.anyio
LATER_S = 30.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def dark(folder: Path, *cuts: BillowError | None) -> tuple[House, Script]:
    """Return a host that reads off three times, and on from then on; and its line."""
    house = House(folder, a=[OFF])
    line = Script(house.clock, [OFF, OFF, OFF, ON], list(cuts))
    house.lines["a"] = line
    return house, line


async def read_off(house: House, times: int = 2) -> None:
    for _ in range(times):
        await house.bmc.power("h1")
        await house.clock.sleep(1.1)


async def test_an_order_that_is_never_acknowledged_ends_before_the_host_is_turned_on(
    tmp_path: Path,
) -> None:
    house, line = dark(tmp_path, SILENT)
    await read_off(house)
    await house.bmc.off("h1")
    await house.bmc.on("h1")
    cuts = line.cuts
    await house.clock.sleep(LATER_S)
    assert line.cuts == cuts


async def test_an_order_that_is_under_way_is_waited_for_before_the_host_is_turned_on(
    tmp_path: Path,
) -> None:
    house, line = dark(tmp_path, None)
    line.cut_takes_s = 7.0
    await read_off(house)
    await house.bmc.off("h1")
    await house.bmc.on("h1")
    await house.clock.sleep(LATER_S)
    assert line.cuts == 1
    assert line.done == ["bar", "cut", "unbar", "give"]


async def test_a_bar_that_is_under_way_is_taken_back(tmp_path: Path) -> None:
    house, line = dark(tmp_path, None)
    line.may_bar.clear()
    await read_off(house)
    assert "its return is being inhibited" in await house.bmc.off("h1")
    asyncio.get_running_loop().call_later(0.05, line.may_bar.set)
    await house.bmc.on("h1")
    assert line.done == ["cut", "bar", "unbar", "give"]
    assert not line.barred


async def test_a_bar_that_does_not_end_is_broken_off(tmp_path: Path) -> None:
    house, line = dark(tmp_path, None)
    line.may_bar.clear()
    await read_off(house)
    assert "its return is being inhibited" in await house.bmc.off("h1")
    await house.bmc.on("h1")
    line.may_bar.set()
    await house.clock.sleep(LATER_S)
    assert line.bars == 1
    assert not line.barred


async def test_a_fence_that_is_still_proved_goes_on_while_somebody_turns_the_host_on(
    tmp_path: Path,
) -> None:
    house = House(tmp_path, a=[ON])
    line = Script(house.clock, [ON, ON, ON, ON, ON, OFF], [SILENT, SILENT, SILENT, None])
    house.lines["a"] = line
    await house.bmc.power("h1")
    fence = asyncio.create_task(house.bmc.off("h1"))
    await house.clock.sleep(0.5)
    assert line.cuts == 1
    await house.bmc.on("h1")
    assert "read off twice" in await fence
    assert line.acknowledged == 1


async def test_an_order_of_a_search_that_was_given_up_is_waited_for_too(tmp_path: Path) -> None:
    house, line = dark(tmp_path, None)
    line.cut_takes_s = 3.0
    await house.bmc.power("h1")
    fence = asyncio.create_task(house.bmc.off("h1"))
    await house.clock.sleep(0.5)
    fence.cancel()
    await asyncio.gather(fence, return_exceptions=True)
    assert (line.cuts, line.done) == (1, [])
    await house.bmc.on("h1")
    await house.clock.sleep(LATER_S)
    assert line.done == ["cut", "unbar", "give"]


async def test_a_proof_stands_though_its_bar_is_ended_by_who_turns_the_host_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controllers, "_BAR_S", 10.0)
    house, line = dark(tmp_path, None)
    line.may_bar.clear()
    await read_off(house)
    fence = asyncio.create_task(house.bmc.off("h1"))
    while not line.bars:
        await house.clock.sleep(0.05)
    await house.bmc.on("h1")
    assert "read off twice" in (proof := await fence)
    assert "not inhibited: it was turned on meanwhile" in proof


async def test_what_goes_on_for_another_host_is_left_alone(tmp_path: Path) -> None:
    house, line = dark(tmp_path, None)
    other = "4c4c4544-0042-3610-8051-000000000001"
    known = [
        Controller(host=host, kind="ipmi", address=host, secret_file=Path("s"), uuid=uuid)
        for host, uuid in (("h1", WHO), ("h2", other))
    ]
    second = Script(house.clock, [Reading(Power.ON, (other,))])
    lines = {"h1": line, "h2": second}
    house.bmc = Controllers(known, lambda of, _: lines[of.host], house.identities, house.clock)
    line.cut_takes_s = 7.0
    await read_off(house)
    await house.bmc.off("h1")
    await house.bmc.on("h2")
    await house.clock.sleep(8.0)
    assert line.acknowledged == 1


async def test_nothing_goes_on_when_all_is_let_go_of(tmp_path: Path) -> None:
    house, line = dark(tmp_path, SILENT)
    await read_off(house)
    await house.bmc.off("h1")
    await house.bmc.aclose()
    cuts = line.cuts
    await house.clock.sleep(LATER_S)
    assert (line.cuts, line.closed) == (cuts, True)
