# SPDX-License-Identifier: Apache-2.0
"""What people said of hosts: maintenance that ends by itself, disarming, rehearsed proofs."""

import pytest

from billow.errors import Invalid, NotFound
from billow.model.ha.care import Drill, Maintenance, Reach
from billow.model.ha.incident import Method
from billow.ports import Care
from billow.store import Store

pytestmark = pytest.mark.anyio


def care_of(
    name: str, reach: Reach = Reach.HOST, *, since: float = 10.0, until: float = 20.0
) -> Maintenance:
    """Return a maintenance by ada."""
    ident = f"{reach}-{name}-{since:g}"
    return Maintenance(
        id=ident, reach=reach, name=name, owner="ada", why="fan", since=since, until=until
    )


async def test_it_ends_by_itself(store: Store) -> None:
    care: Care = store
    fan = care_of("h1")
    await care.begin_maintenance(fan)
    assert await care.maintenances(10.0) == [fan]
    assert fan.holds(10.0)
    assert not fan.holds(9.9)
    assert await care.maintenances(20.0) == []
    assert not fan.holds(20.0)
    with pytest.raises(NotFound):
        await care.end_maintenance(Reach.HOST, "h1", by="bob", at=20.0)


async def test_it_is_ended_by_a_person_and_kept(store: Store) -> None:
    await store.begin_maintenance(care_of("h1"))
    await store.begin_maintenance(care_of("h1", Reach.RACK))
    await store.end_maintenance(Reach.HOST, "h1", by="bob", at=12.0)
    assert [each.reach for each in await store.maintenances(12.0)] == [Reach.RACK]
    rack, host = await store.past_maintenances()
    assert (host.ended_at, host.ended_by, rack.ended_at) == (12.0, "bob", 0.0)
    assert not host.holds(12.0)
    with pytest.raises(NotFound):
        await store.end_maintenance(Reach.HOST, "h1", by="bob", at=12.0)


async def test_a_new_one_takes_the_place_of_the_old(store: Store) -> None:
    await store.begin_maintenance(care_of("h1"))
    longer = care_of("h1", since=15.0, until=90.0)
    await store.begin_maintenance(longer)
    assert await store.maintenances(16.0) == [longer]
    with pytest.raises(Invalid):
        await store.begin_maintenance(care_of("h2", since=5.0, until=5.0))


async def test_it_reaches_those_that_are_named(store: Store) -> None:
    there = {"host": "h1", "rack": "r1", "zone": "a"}
    for name, reach in (("h1", Reach.HOST), ("r1", Reach.RACK), ("a", Reach.ZONE)):
        assert care_of(name, reach).covers(**there)
        assert not care_of("x", reach).covers(**there)
    assert care_of("a/r1", Reach.RACK).covers(**there)
    assert not care_of("b/r1", Reach.RACK).covers(**there)
    assert care_of("", Reach.POOL).covers(**there)
    await store.begin_maintenance(care_of("", Reach.POOL))
    assert (await store.end_maintenance(Reach.POOL, "", by="ada", at=11.0)).reach is Reach.POOL


async def test_the_last_rehearsal_counts(store: Store) -> None:
    first = Drill(host="h1", method=Method.BMC, ok=False, at=1.0, took_s=2.5, text="no session")
    other = Drill(host="h1", method=Method.AGENT, ok=True, at=1.0)
    for drill in (first, other):
        await store.record_drill(drill)
    assert await store.drills() == [other, first]
    better = Drill(host="h1", method=Method.BMC, ok=True, at=2.0)
    await store.record_drill(better)
    assert await store.drills() == [other, better]
