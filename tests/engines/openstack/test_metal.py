# SPDX-License-Identifier: Apache-2.0
"""Ironic as who turns machines, on one in memory with the real one's traps."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.engines.openstack.faults import Faulty, Mishap
from tests.engines.openstack.ironic import OFF
from tests.engines.openstack.metal_world import FENCE, HOST, OFF_IT, MetalStand, Stage

from billow.engines.openstack import patience
from billow.engines.openstack.recover import metal
from billow.errors import Refused, Unavailable
from billow.model.kinds import Power
from billow.testing.bmc_contract import BmcContract
from billow.testing.stand import do

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quick")]


class TestIronic(BmcContract):
    @pytest.fixture
    def stand(self, tmp_path: Path) -> MetalStand:
        return MetalStand(tmp_path)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    made = Stage(tmp_path)
    yield made
    await made.close()


async def test_a_proof_is_two_readings_of_the_controller(stage: Stage) -> None:
    """Also where Ironic had recorded long ago that it is off, and that is no longer true."""
    stage.machine.power = OFF
    proof = await stage.metal().off(HOST)
    assert not stage.machine.on
    assert stage.machine.orders == [OFF, OFF]
    for words in ("read off twice", "serial-m1", stage.machine.uuid, "not inhibited"):
        assert words in proof


async def test_what_was_recorded_before_proves_nothing(stage: Stage) -> None:
    """Ironic's record says off, and its controller does not answer: it may have come on since."""
    stage.machine.power, stage.machine.unreached = OFF, True
    with pytest.raises(Unavailable) as caught:
        await stage.metal().off(HOST)
    assert "no answer" in caught.value.details[0]
    with pytest.raises(Refused):
        await do(stage.engine(), FENCE)
    assert stage.machine.on


async def test_an_order_that_was_lost_is_given_again_where_the_record_was_old(
    stage: Stage,
) -> None:
    """That it says off shows nothing of the order: it said so before."""
    stage.machine.power = OFF
    await do(stage.engine(Faulty(stage.double, Mishap(503), 1, changes=True)), FENCE)
    assert stage.machine.orders == [OFF, OFF]


@pytest.mark.parametrize("trouble", ["deaf", "unreached"])
async def test_what_ironic_could_not_do_is_said_in_its_words(stage: Stage, trouble: str) -> None:
    setattr(stage.machine, trouble, True)
    with pytest.raises(Unavailable, match="does not read that") as caught:
        await stage.metal().off(HOST)
    assert caught.value.details[0] == stage.machine.error
    with pytest.raises(Refused, match="power off") as refusal:
        await do(stage.engine(), OFF_IT)
    assert stage.machine.error in refusal.value.details


async def test_an_old_error_does_not_hide_that_it_was_done(stage: Stage) -> None:
    """Where its last deployment failed, Ironic keeps that error through power that it gives."""
    stage.machine.state, stage.machine.error = "deploy failed", "it could not be deployed"
    assert await stage.metal().off(HOST)


async def test_power_that_never_comes_is_given_up(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metal, "TURNED_S", 0.3)
    stage.machine.stuck = True
    with pytest.raises(Unavailable, match="does not end its work") as caught:
        await stage.metal().off(HOST)
    assert caught.value.details == ("power off, by conductor",)


async def test_what_ironic_still_wants_of_a_machine_is_waited_for(stage: Stage) -> None:
    stage.machine.target = OFF
    waiting = asyncio.create_task(stage.metal().settled(HOST))
    uuid = f"/nodes/{stage.machine.uuid}"
    while stage.asked("GET").count(uuid) < 3:  # noqa: ASYNC110  # the double tells nobody
        await asyncio.sleep(0.01)
    assert not waiting.done()
    stage.machine.target = None
    assert (await waiting).target == ""


async def test_a_machine_that_a_conductor_has_locked_is_waited_for(stage: Stage) -> None:
    stage.machine.locked_by = "conductor-2"
    doing = asyncio.create_task(stage.metal().off(HOST))
    while len(stage.asked("PUT")) < 2:  # noqa: ASYNC110  # the double tells nobody
        await asyncio.sleep(0.01)
    stage.machine.locked_by = None
    assert await doing


async def test_a_lock_that_nobody_takes_off_is_told(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "CONFLICT_S", 0.1)
    stage.machine.locked_by = "conductor-2"
    with pytest.raises(Unavailable, match="at work on m1") as caught:
        await stage.metal().off(HOST)
    assert any("conductor-2" in each for each in caught.value.details)


async def test_a_refusal_of_ironic_is_told(stage: Stage) -> None:
    stage.machine.state = "cleaning"
    with pytest.raises(Refused, match="can not be performed while it is cleaning"):
        await stage.metal().off(HOST)
    assert stage.machine.on


async def test_what_ironic_does_not_know_is_neither_on_nor_off(stage: Stage) -> None:
    for said in (None, "error"):
        stage.machine.power = said
        assert await stage.metal().power(HOST) is Power.UNKNOWN


async def test_a_machine_is_known_by_what_is_most_telling(stage: Stage) -> None:
    metal_, uuid = stage.metal(), "4c4c4544-0042-3610-8051-b4c04f564231"
    assert await metal_.identity(HOST) == "serial-m1"
    stage.machine.extra = {}
    assert await metal_.identity(HOST) == stage.machine.uuid
    stage.machine.inventory = {"system_uuid": uuid, "serial_number": "abc"}
    assert await metal_.identity(HOST) == uuid
    stage.machine.extra = {"system_uuid": "0" * 32}
    assert await metal_.identity(HOST) == uuid, "many machines show zeros"


async def test_another_machine_does_not_end_what_was_begun(stage: Stage) -> None:
    turns = stage.metal()
    await turns.power(HOST)
    stage.machine.extra = {"serial_number": "another"}
    with pytest.raises(Refused) as refusal:
        await turns.settled(HOST)
    assert refusal.value.code == "wrong-host"


async def test_a_machine_that_is_inspected_later_stays_the_same(stage: Stage) -> None:
    stage.machine.extra = {}
    metal_ = stage.metal()
    await metal_.power(HOST)
    stage.machine.inventory = {"serial_number": "abc"}
    assert await metal_.power(HOST) is Power.ON
