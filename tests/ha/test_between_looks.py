# SPDX-License-Identifier: Apache-2.0
"""Between two looks at the pool, and between two leases: nothing is forgotten there."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from billow.errors import Unavailable
from billow.ha.remains import Remains
from billow.model.ha.evidence import NETWORKS, Network
from billow.model.ha.incident import Incident, Phase, Victim
from billow.model.ha.response import CloseOff, Deed, StartElsewhere
from billow.model.pool import Pool
from billow.testing.pools import pool
from tests.ha.stand import Stand, stand

pytestmark = pytest.mark.anyio
POOL = "6 hosts x 64GiB 16c; a: 4 vms x 4GiB 2c on=h1; b: 2 vms x 4GiB 2c on=h2"
RECOVERING = Incident(id="i", host="h1", opened_at=0.0, row=170, since=0.0, phase=Phase.RECOVERING)


@contextmanager
def without(held: Stand, lost: Callable[[Deed], bool]) -> Iterator[None]:
    """Let some deeds come to nothing, as if this controller's lease had lapsed."""
    deeds = held.responder._crew.deeds
    begin = deeds.begin

    def begun(incident: Incident, deed: Deed) -> None:
        if not lost(deed):
            begin(incident, deed)

    deeds.begin = begun  # type: ignore[method-assign]
    yield
    deeds.begin = begin  # type: ignore[method-assign]


async def closed_off(held: Stand) -> None:
    """Let a host lose its storage path, and be closed off for that."""
    await held.until(lambda: True)
    held.fleet.silent["h1"] = (Network.STORAGE,)
    await held.until_phase("h1", Phase.WAITING)
    await held.until(lambda: bool(held.lab.pool().host("h1").cordon))


async def test_a_host_is_open_again_after_an_incident_that_was_over_at_once(tmp_path: Path) -> None:
    async with stand(pool(POOL), tmp_path) as held:
        homes = held.homes()
        await closed_off(held)
        held.fleet.silent.clear()
        await held.until_phase("h1", Phase.CLOSED)
        await held.until(lambda: not held.lab.pool().host("h1").cordon)
        assert held.homes() == homes, "nothing was moved"


async def test_a_host_that_a_closed_incident_left_closed_off_is_opened(tmp_path: Path) -> None:
    """Its controller may have died between the last step and its deed."""
    async with stand(pool(POOL), tmp_path) as held:
        await closed_off(held)
        with without(held, lambda deed: isinstance(deed, CloseOff)):
            held.fleet.silent.clear()
            await held.until_phase("h1", Phase.CLOSED)
            assert held.lab.pool().host("h1").cordon
        await held.controller.world.collector.fresh()  # as the loop does every few seconds
        await held.until(lambda: not held.lab.pool().host("h1").cordon)


async def test_starts_whose_lease_lapsed_are_begun_again_under_the_same_fence(
    tmp_path: Path,
) -> None:
    async with stand(pool(POOL), tmp_path) as held:
        await held.until(lambda: True)
        with without(held, lambda deed: isinstance(deed, StartElsewhere)):
            held.fleet.die("h1")
            await held.until_phase("h1", Phase.RECOVERING)
            for _ in range(20):
                await held.responder.turn()
                await asyncio.sleep(0.02)
        done = await held.until_phase("h1", Phase.QUARANTINE)
        assert all(each.fate == "started" for each in done.victims)


async def test_a_controller_that_cannot_see_the_pool_has_a_voice(tmp_path: Path) -> None:
    async with stand(pool(POOL), tmp_path) as held:
        collector = held.controller.world.collector
        sense, blind = collector._engine.sense, True

        async def sensed() -> Pool:
            if blind:
                raise Unavailable("no answer", fix="wait", code="engine")
            return await sense()

        collector._last = None
        collector._engine.sense = sensed  # type: ignore[method-assign]
        held.fleet.silent["h1"] = NETWORKS
        for _ in range(20):
            await held.responder.turn()
            await asyncio.sleep(0.02)
        assert [each.observer for each in await held.lab.store.views()] == ["c"]
        assert await held.lab.store.incidents() == []
        blind = False
        await held.until_phase("h1", Phase.QUARANTINE)


class Looks:
    """A collector whose looks take as long as they are told."""

    def __init__(self, *pools: Pool) -> None:
        self.pools = list(pools)
        self.may = asyncio.Event()

    async def fresh(self) -> Pool:
        await self.may.wait()
        return self.pools.pop(0)


async def test_what_was_on_a_host_is_of_the_first_look_after_its_proof() -> None:
    before, after = pool("2 hosts x 64GiB 16c; a: 1 vms x 4GiB 2c on=h1"), pool(POOL)
    looks = Looks(before, after)
    remains = Remains(looks)  # type: ignore[arg-type]
    assert remains.of([replace(RECOVERING, phase=Phase.FENCING)]) == {}
    assert remains.of([RECOVERING]) == {"h1": None}
    await asyncio.sleep(0)
    assert remains.of([RECOVERING]) == {"h1": None}
    looks.may.set()
    await asyncio.sleep(0.01)
    for _ in range(3):
        assert remains.of([RECOVERING]) == {"h1": (Victim("a1"),)}
        await asyncio.sleep(0)
    assert looks.pools == [after]
    assert remains.of([]) == {}
