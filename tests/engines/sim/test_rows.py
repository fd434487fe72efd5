# SPDX-License-Identifier: Apache-2.0
"""Each of the 192 rows of the decision table is reached by faults, as controllers would see it.

From the fault to the row nothing is short-circuited: views of three controllers, what they agree
on, and the readings of management controllers.
"""

import asyncio
from collections.abc import Sequence

import pytest

from billow.engines.sim.engine import InMemory
from billow.engines.sim.fault import Fault
from billow.engines.sim.rows import fault_for
from billow.engines.sim.watched import Ear, Watched
from billow.engines.sim.world import World
from billow.errors import BillowError
from billow.model.ha.evidence import NETWORKS, Sight
from billow.model.kinds import Power
from billow.plan.ha.agree import agree
from billow.plan.ha.fleet import Layout, Place
from billow.plan.ha.sights import sight_of
from billow.plan.ha.table import ROWS, key_for, key_of, respond
from billow.testing.clock import VirtualClock
from billow.testing.pools import pool

OBSERVERS = ("c1", "c2", "c3")


class Seen:
    """Three controllers that watch one world."""

    def __init__(self, text: str = "9 hosts x 64GiB 16c; a: 3 vms x 4GiB 2c on=h1") -> None:
        self.clock = VirtualClock(1000.0)
        self.world = World.of(pool(text))
        self.world.look(self.clock.now())
        place = InMemory(self.world)
        self.ears = [Watched(place, self.clock, Ear(each)) for each in OBSERVERS]
        self.layout = Layout({name: Place() for name in self.world.ground.host_names})

    def strike(self, faults: Sequence[Fault]) -> None:
        """Let faults befall, one after the other."""
        for fault in faults:
            self.ears[0].strike(fault)

    async def sight(self, host: str) -> Sight:
        """Return what all three together know of a host."""
        try:
            reads = await self.ears[0].power(host)
        except BillowError:
            reads = Power.UNKNOWN
        now = self.clock.now()
        views = [each.view(now) for each in self.ears]
        lost = agree(views, self.layout, now, len(views)).lost.get(host, {})
        return sight_of(host, lost, views, lambda _host, _since: (reads, now), now)


@pytest.mark.parametrize("dead", [False, True], ids=["alive", "dead"])
def test_every_row_is_reached(*, dead: bool) -> None:
    async def story() -> None:
        for row in range(1, ROWS + 1):
            seen, key = Seen(), key_of(row)
            seen.strike(fault_for(key, "h1", dead=dead))
            await seen.clock.sleep(1.3)
            sight = await seen.sight("h1")
            assert key_for(sight) == key, (row, key)
            assert respond(sight).row == row
            assert key_of(respond(await seen.sight("h2")).row).lost == (False,) * len(NETWORKS)

    asyncio.run(story())


def test_only_a_silent_host_can_be_dead_in_truth() -> None:
    """What runs there in truth: nothing where it is dead, or has no power; else all three."""
    for row in range(1, ROWS + 1):
        key = key_of(row)
        for dead in (False, True):
            seen = Seen()
            seen.strike(fault_for(key, "h1", dead=dead))
            silent = all(key.lost)
            ended = silent and (dead or key.power is Power.OFF)
            assert len(list(seen.world.field.copies.on("h1"))) == (0 if ended else 3), row
