# SPDX-License-Identifier: Apache-2.0
"""What people name when they leave hosts alone: two zones may each have a rack of one name."""

from itertools import count

import pytest

from billow.engines.sim.engine import SimEngine
from billow.engines.sim.world import World
from billow.errors import Invalid, NotFound
from billow.incidents import Incidents, Leave
from billow.model.ha.care import Maintenance, Reach
from billow.model.text import parse
from billow.sense.collect import Collector
from billow.sense.recorder import Recorder
from billow.store import Store
from billow.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio

POOL = """\
billow-pool 1 taken=2026-11-22T08:00:00Z
host a1 nodes=(4,8GiB) zone=a rack=r1
host a2 nodes=(4,8GiB) zone=a rack=r2
host b1 nodes=(4,8GiB) zone=b rack=r1
host b3 nodes=(4,8GiB) zone=b
"""


@pytest.fixture
def incidents(store: Store) -> Incidents:
    """Return the use case over two zones, each with a rack r1."""
    clock = VirtualClock()
    engine = SimEngine(World.of(parse(POOL)), clock)
    numbers = count(1)
    collector = Collector(engine, Recorder())
    return Incidents(store, collector, clock, lambda kind: f"{kind}-{next(numbers)}")


async def left(incidents: Incidents, rack: str) -> Maintenance:
    return await incidents.leave(Leave(Reach.RACK, rack, 60.0, "its switch"), actor="ada")


async def test_a_rack_that_two_zones_have_is_named_with_its_zone(incidents: Incidents) -> None:
    with pytest.raises(Invalid) as told:
        await left(incidents, "r1")
    assert told.value.details == ("a/r1", "b/r1")
    made = await left(incidents, "a/r1")
    assert made.name == "a/r1"
    assert made.covers("a1", "r1", "a")
    assert not made.covers("b1", "r1", "b")
    assert (await incidents.resume(Reach.RACK, "r1", actor="ada")).name == "a/r1"


async def test_a_rack_that_one_zone_has_is_kept_with_its_zone(incidents: Incidents) -> None:
    assert (await left(incidents, "r2")).name == "a/r2"
    assert (await incidents.resume(Reach.RACK, "r2", actor="ada")).name == "a/r2"
    for name in ("r9", "b/r2", "", "b/"):
        with pytest.raises(NotFound):
            await left(incidents, name)


async def test_racks_of_one_name_in_two_zones_are_looked_after_one_by_one(
    incidents: Incidents,
) -> None:
    await left(incidents, "a/r1")
    await left(incidents, "b/r1")
    with pytest.raises(Invalid, match="2 racks 'r1'"):
        await incidents.resume(Reach.RACK, "r1", actor="ada")
    await incidents.resume(Reach.RACK, "a/r1", actor="ada")
    assert (await incidents.resume(Reach.RACK, "r1", actor="ada")).name == "b/r1"


async def test_an_old_record_of_a_rack_without_its_zone_goes_on(
    store: Store, incidents: Incidents
) -> None:
    old = Maintenance(
        id="old", reach=Reach.RACK, name="r1", owner="bob", why="fans", since=1.0, until=1e12
    )
    await store.begin_maintenance(old)
    assert old.covers("a1", "r1", "a")
    assert old.covers("b1", "r1", "b")
    assert (await incidents.resume(Reach.RACK, "r1", actor="ada")).id == "old"
    nameless = Maintenance(
        id="none", reach=Reach.RACK, name="", owner="bob", why="fans", since=1.0, until=1e12
    )
    assert not nameless.covers("b3", "", "b")
