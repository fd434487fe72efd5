# SPDX-License-Identifier: Apache-2.0
"""Proof by power is rehearsed hourly, kept as drills, and never counted where it did not work."""

from collections.abc import Sequence

import pytest

from billow.engines.sim.engine import SimEngine
from billow.engines.sim.fault import Fault
from billow.engines.sim.world import World
from billow.errors import Conflict, NotFound, Unavailable
from billow.ha.rehearsal import DUE_S, Rehearsal
from billow.model.ha.alarm import Alarm
from billow.model.ha.care import Drill
from billow.model.ha.incident import Method
from billow.model.host import Host, Node
from billow.model.kinds import Power
from billow.model.pool import Pool
from billow.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio


class Kept:
    """Where drills are kept, by host and method, as the store does."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, Method], Drill] = {}
        self.told: dict[str, Alarm] = {}

    async def record_drill(self, drill: Drill) -> None:
        self.found[drill.host, drill.method] = drill

    async def drills(self) -> Sequence[Drill]:
        return list(self.found.values())

    async def add_alarm(self, alarm: Alarm) -> None:
        self.told[alarm.key] = alarm


class Stage:
    def __init__(self, *, leads: bool = True) -> None:
        self.clock = VirtualClock()
        hosts = [Host(name, (Node(4000, 8192),)) for name in ("h1", "h2")]
        self.engine = SimEngine(World.of(Pool.build(hosts)), self.clock)
        self.kept = Kept()
        self.rehearsal = Rehearsal(
            self.engine,
            self.kept,  # type: ignore[arg-type]  # the three of its methods that are used
            self.clock,
            self.hosts,
            lambda: leads,
            lambda: self.heard,
        )
        self.heard: tuple[str, ...] = ("h1", "h2")

    async def hosts(self) -> tuple[str, ...]:
        return ("h1", "h2", "h-without")

    def strike(self, line: str) -> None:
        self.engine.watched.strike(Fault.parse(line))


async def test_every_controller_is_read_once_an_hour() -> None:
    stage = Stage()
    await stage.rehearsal.turn()
    first = {key: each.at for key, each in stage.kept.found.items()}
    assert set(first) == {("h1", Method.BMC), ("h2", Method.BMC)}
    assert all(each.ok and "reads on" in each.text for each in await stage.kept.drills())
    await stage.rehearsal.turn()
    assert {key: each.at for key, each in stage.kept.found.items()} == first
    await stage.clock.sleep(DUE_S)
    await stage.rehearsal.turn()
    assert all(each.at >= first[key] + DUE_S for key, each in stage.kept.found.items())


@pytest.mark.parametrize(
    ("line", "told"),
    [("host h1 bmc dies", "does not answer"), ("host h1 bmc is another's", "not h1's")],
)
async def test_what_would_prove_nothing_is_no_success(line: str, told: str) -> None:
    stage = Stage()
    stage.strike(line)
    await stage.rehearsal.turn()
    drill = stage.kept.found["h1", Method.BMC]
    assert not drill.ok
    assert told in drill.text
    assert stage.kept.found["h2", Method.BMC].ok
    (alarm,) = stage.kept.told.values()
    assert alarm.host == "h1"
    await stage.clock.sleep(DUE_S)
    await stage.rehearsal.turn()
    assert len(stage.kept.told) <= 2  # once a day, and a day may have ended


async def test_off_of_a_host_that_is_heard_is_told_and_is_no_proof() -> None:
    stage = Stage()
    stage.strike("host h1 bmc lies")
    await stage.rehearsal.turn()
    drill = stage.kept.found["h1", Method.BMC]
    assert not drill.ok
    assert "says off while h1 is heard" in drill.text
    stage.heard = ("h2",)
    await stage.clock.sleep(DUE_S)
    await stage.rehearsal.turn()
    assert stage.kept.found["h1", Method.BMC].ok


async def test_only_the_leader_rehearses() -> None:
    stage = Stage(leads=False)
    await stage.rehearsal.turn()
    assert stage.kept.found == {}


async def test_an_empty_host_is_turned_off_and_on() -> None:
    stage = Stage()
    drill = await stage.rehearsal.drill("h1", residents=())
    assert drill.ok
    assert drill.took_s >= 1.0
    assert stage.kept.found["h1", Method.BMC] == drill
    assert await stage.engine.power("h1") is Power.ON


async def test_a_host_on_which_something_runs_is_not() -> None:
    stage = Stage()
    with pytest.raises(Conflict, match="is not empty"):
        await stage.rehearsal.drill("h1", residents=("a",))
    assert stage.kept.found == {}
    assert await stage.engine.power("h1") is Power.ON
    with pytest.raises(NotFound):
        await stage.rehearsal.drill("h9", residents=())


async def test_an_exercise_that_fails_is_kept_as_such() -> None:
    stage = Stage()
    stage.strike("host h1 bmc dies")
    drill = await stage.rehearsal.drill("h1", residents=())
    assert not drill.ok
    with pytest.raises(Unavailable):
        await stage.engine.power("h1")
