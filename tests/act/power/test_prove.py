# SPDX-License-Identifier: Apache-2.0
"""What proves that a host is off, in virtual time: a controller is a script of its answers."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from tests.act.power.script import NO, OFF, ON, SILENT, WHO, House, Script

from billow.act.power.controllers import Controllers
from billow.act.power.inventory import Controller
from billow.act.power.line import Reading
from billow.act.power.prove import Patience, prove_off
from billow.act.power.records import Identities
from billow.errors import BillowError, Conflict, Invalid, NotFound, Refused, Unavailable
from billow.model.kinds import Power
from billow.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio


async def proved(line: Script, clock: VirtualClock, *, at_once: int = 4) -> float:
    """Return the seconds until it was proved. Raises what the search raises."""
    began = clock.now()
    await prove_off(line, lambda _: None, clock, Patience(at_once, 30.0))
    return clock.now() - began


async def test_two_readings_a_second_apart_are_a_proof() -> None:
    clock = VirtualClock()
    line = Script(clock, [OFF])
    assert 1.0 < await proved(line, clock) < 1.4
    assert (line.cuts, line.reads) == (1, 2)


async def test_one_reading_of_on_in_between_begins_anew() -> None:
    clock = VirtualClock()
    line = Script(clock, [OFF, ON, OFF])
    assert 3.0 < await proved(line, clock) < 3.6
    assert line.reads == 4


async def test_slow_answers_are_asked_for_side_by_side() -> None:
    clock = VirtualClock()
    assert 6.0 < await proved(Script(clock, [OFF], takes_s=5.0), clock) < 6.6
    assert await proved(Script(clock, [OFF], takes_s=5.0), clock, at_once=1) > 10.0


async def test_silence_in_between_neither_helps_nor_harms() -> None:
    clock = VirtualClock()
    assert 2.0 < await proved(Script(clock, [OFF, SILENT, OFF]), clock) < 2.6


async def test_silence_alone_is_no_proof() -> None:
    clock = VirtualClock()
    line = Script(clock, [SILENT], [SILENT])
    with pytest.raises(Unavailable, match="no answer"):
        await proved(line, clock)
    assert clock.now() - VirtualClock().now() == pytest.approx(30.0, abs=1.5)


async def test_an_order_that_nobody_acknowledged_is_given_again_and_the_reading_decides() -> None:
    clock = VirtualClock()
    line = Script(clock, [ON, ON, OFF], [SILENT, SILENT, None])
    assert await proved(line, clock) > 3.0
    assert line.cuts == 3


async def test_an_order_that_is_refused_does_not_matter_when_it_reads_off() -> None:
    clock = VirtualClock()
    assert await proved(Script(clock, [OFF], [NO]), clock) < 1.6


async def test_an_order_that_is_refused_while_it_is_on_ends_the_search() -> None:
    clock = VirtualClock()
    began = clock.now()
    line = Script(clock, [ON], [NO])
    with pytest.raises(Refused, match="it says no"):
        await proved(line, clock)
    assert line.cuts == 3
    assert clock.now() - began < 6.0


async def test_an_unknown_power_is_no_proof() -> None:
    clock = VirtualClock()
    line = Script(clock, [OFF, Reading(Power.UNKNOWN, (WHO,))])
    with pytest.raises(Unavailable, match="did not read off in time: unknown"):
        await proved(line, clock)


async def test_the_next_path_is_walked_when_one_is_dead_and_first_from_then_on(
    tmp_path: Path,
) -> None:
    house = House(tmp_path, a=[SILENT], b=[ON, OFF])
    assert await house.bmc.power("h1") is Power.ON
    assert house.bmc.paths("h1") == ("netns:b", "netns:a")
    assert "over netns:b" in await house.bmc.off("h1")
    assert house.lines["a"].cuts == 0
    assert house.lines["b"].bars == 1


async def test_a_machine_with_another_name_is_not_turned_off(tmp_path: Path) -> None:
    stranger = Reading(Power.ON, ("4c4c4544-0042-3610-8051-000000000001",))
    house = House(tmp_path, a=[stranger])
    with pytest.raises(Refused, match="another machine's"):
        await house.bmc.off("h1")
    assert house.lines["a"].cuts == 0


async def test_a_machine_that_is_exchanged_during_a_search_proves_nothing(tmp_path: Path) -> None:
    stranger = Reading(Power.OFF, ("4c4c4544-0042-3610-8051-000000000001",))
    house = House(tmp_path, a=[ON, OFF, stranger])
    with pytest.raises(Refused, match="another machine's"):
        await house.bmc.off("h1")
    assert house.lines["a"].bars == 0


async def test_an_identity_is_read_again_after_a_day(tmp_path: Path) -> None:
    stranger = Reading(Power.ON, ("4c4c4544-0042-3610-8051-000000000001",))
    house = House(tmp_path, a=[ON, OFF, OFF, stranger])
    await house.bmc.power("h1")
    await house.bmc.off("h1")
    assert house.lines["a"].cuts == 1
    await house.clock.sleep(100_000.0)
    with pytest.raises(Refused, match="another machine's"):
        await house.bmc.off("h1")
    assert house.lines["a"].cuts == 1


async def test_what_was_read_while_a_host_was_only_doubted_counts(tmp_path: Path) -> None:
    house = House(tmp_path, a=[ON, OFF])
    await house.bmc.power("h1")
    for _ in range(2):
        await house.clock.sleep(1.1)
        await house.bmc.power("h1")
    began = house.clock.now()
    assert "read off twice" in await house.bmc.off("h1")
    assert house.clock.now() - began < 0.5
    assert (house.lines["a"].cuts, house.lines["a"].reads) == (1, 3)


@pytest.mark.parametrize(
    ("before", "wait_s"), [([OFF, ON], 1.1), ([OFF], 0.2), ([OFF, SILENT], 0.0)]
)
async def test_what_was_read_before_and_said_otherwise_or_at_once_does_not(
    tmp_path: Path, before: list[Reading | BillowError], wait_s: float
) -> None:
    house = House(tmp_path, a=[ON, *before, ON, OFF])
    await house.bmc.power("h1")
    for _ in before:
        with contextlib.suppress(Unavailable):
            await house.bmc.power("h1")
        await house.clock.sleep(wait_s)
    began = house.clock.now()
    await house.bmc.off("h1")
    assert house.clock.now() - began > 2.0  # on was read; then off twice, a second apart


async def test_what_was_read_a_minute_ago_does_not_count(tmp_path: Path) -> None:
    house = House(tmp_path, a=[OFF])
    await house.bmc.power("h1")
    await house.clock.sleep(60.0)
    began = house.clock.now()
    await house.bmc.off("h1")
    assert house.clock.now() - began > 1.0
    assert house.lines["a"].reads == 3


async def test_an_order_that_is_slower_than_the_proof_is_given_all_the_same(
    tmp_path: Path,
) -> None:
    house = House(tmp_path, a=[OFF])
    for _ in range(3):
        await house.bmc.power("h1")
        await house.clock.sleep(1.1)
    house.lines["a"].cut_takes_s = 7.0
    await house.bmc.off("h1")
    assert house.lines["a"].acknowledged == 0
    await house.clock.sleep(8.0)
    assert house.lines["a"].acknowledged == 1


async def test_a_machine_is_learnt_once_and_nobody_becomes_another(tmp_path: Path) -> None:
    house = House(tmp_path, a=[ON])
    await house.bmc.learn("h1", WHO.upper())
    with pytest.raises(Conflict, match="was another machine"):
        await house.bmc.learn("h1", "4c4c4544-0042-3610-8051-000000000001")
    with pytest.raises(NotFound):
        await house.bmc.learn("h9", WHO)
    known = [
        Controller(host=name, kind="ipmi", address=name, secret_file=Path("s"))
        for name in ("h1", "h2")
    ]
    both = Controllers(known, lambda *_: house.lines["a"], house.identities, house.clock)
    with pytest.raises(Invalid):
        await both.learn("h1", "00000000-0000-0000-0000-000000000000")
    await both.learn("h1", WHO)
    assert both.recorded("h1") == WHO
    with pytest.raises(Conflict, match="the machine of h1"):
        await both.learn("h2", WHO)
    assert await both.power("h1") is Power.ON


async def test_a_rehearsal_tells_of_every_path(tmp_path: Path) -> None:
    house = House(tmp_path, a=[SILENT], b=[ON])
    assert await house.bmc.rehearse("h1") == "netns:a: no answer; netns:b: reads on"
    deaf = House(tmp_path, a=[SILENT])
    with pytest.raises(Unavailable) as error:
        await deaf.bmc.rehearse("h1")
    assert error.value.details == ("netns:a: no answer",)


async def test_what_was_recorded_is_not_replaced_unasked(tmp_path: Path) -> None:
    records = Identities(tmp_path)
    await records.record("h1", WHO)
    await records.record("h1", WHO.upper())
    with pytest.raises(Conflict, match="another machine"):
        await records.record("h1", "4c4c4544-0042-3610-8051-000000000001")
    with pytest.raises(Invalid, match="as many machines do"):
        await records.record("h2", "00000000-0000-0000-0000-000000000000")
    assert Identities(tmp_path).recorded("h1") == WHO.upper()
    await records.record("h1", "SN-77", replace=True)
    assert records.recorded("h1") == "SN-77"


async def test_controllers_that_share_a_folder_record_beside_each_other(tmp_path: Path) -> None:
    hosts = {f"h{number}": f"SN-{number}" for number in range(1, 21)}
    each = [Identities(tmp_path) for _ in hosts]
    await asyncio.gather(
        *(one.record(*host) for one, host in zip(each, hosts.items(), strict=True))
    )
    assert Identities(tmp_path).all() == hosts
