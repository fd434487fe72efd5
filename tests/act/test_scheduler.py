# SPDX-License-Identifier: Apache-2.0
"""An engine's own scheduler: who is asked, alone and in a pairing, and what if it knows no host."""

from collections.abc import Mapping, Sequence

import pytest

from billow.act.pairing import Pairing
from billow.act.scheduler import chosen_by
from billow.engines.sim.engine import SimEngine
from billow.engines.sim.world import World
from billow.errors import Blocked, Refused
from billow.model.instance import Instance
from billow.model.shape import Shape
from billow.testing.clock import VirtualClock
from billow.testing.pools import pool

pytestmark = pytest.mark.anyio
REQUESTS = [Instance(name, Shape("n", 1000, 1024)) for name in ("a", "b")]


class Choosing(SimEngine):
    """Knows a host for whoever comes first."""

    most = 1

    async def choose(self, requests: Sequence[Instance]) -> Mapping[str, str]:
        return {each.id: "h2" for each in requests[: self.most]}


def plain() -> SimEngine:
    return SimEngine(World(pool("2 hosts x 64GiB 16c")), VirtualClock())


def choosing(most: int) -> Choosing:
    engine = Choosing(World(pool("2 hosts x 64GiB 16c")), VirtualClock())
    engine.most = most
    return engine


async def test_what_it_chooses_is_passed_on() -> None:
    assert await chosen_by(choosing(2), REQUESTS) == {"a": "h2", "b": "h2"}
    assert await chosen_by(Pairing([plain(), choosing(2)]), REQUESTS) == {"a": "h2", "b": "h2"}


async def test_a_request_without_a_host_is_named() -> None:
    with pytest.raises(Blocked, match="knows no host for b"):
        await chosen_by(choosing(1), REQUESTS)


async def test_an_engine_without_one_says_so() -> None:
    with pytest.raises(Blocked, match="the engine sim has no scheduler"):
        await chosen_by(plain(), REQUESTS)
    with pytest.raises(Refused, match="no engine of this pool"):
        await chosen_by(Pairing([plain(), plain()]), REQUESTS)
