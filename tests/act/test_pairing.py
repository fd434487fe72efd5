# SPDX-License-Identifier: Apache-2.0
"""Two engines as one: each action goes where its verb and its hosts are."""

import pytest

from billow.act.clock import SystemClock
from billow.act.pairing import Pairing
from billow.act.registrar import NOT_CLEANED
from billow.engines.sim.engine import SimEngine
from billow.engines.sim.setting import Setting
from billow.engines.sim.world import World
from billow.errors import NotFound, Refused
from billow.model.action import Action, Evacuate, Fence, Migrate, Place, PowerOff, PowerOn
from billow.model.assessment import Guest
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import State
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.ports import Trace

pytestmark = pytest.mark.anyio
SMALL = Shape("small", 1000, 1024)


class Named(SimEngine):
    """A simulated engine with a name of its own, as two clouds would have."""

    def __init__(self, host: str) -> None:
        pool = Pool.build([Host(host, (Node(4000, 8192),))])
        super().__init__(World(pool, Setting(speed=1000.0)), SystemClock())
        self._host = host

    @property
    def name(self) -> str:
        return f"sim-{self._host}"


async def test_an_action_goes_to_the_engine_that_has_its_host() -> None:
    pair = Pairing([Named("h1"), Named("h2")])
    pool = await pair.sense()
    assert pool.hosts.id == ("h1", "h2")
    place = Place(id="p.1", instance=Instance("a", SMALL), host="h2")
    assert not await pair.blockers(place)
    async for _ in pair.perform(place, fence=1):
        pass
    assert (await pair.sense()).instance("a").host == "h2"
    assert await pair.find("p.1") is Trace.DONE
    assert await pair.find("p.2") is Trace.UNKNOWN


async def test_what_no_engine_reaches_alone_is_refused() -> None:
    pair = Pairing([Named("h1"), Named("h2")])
    await pair.sense()
    across = Migrate(id="p.1", instance="a", source="h1", target="h2")
    assert "no engine" in (await pair.blockers(across))[0].reason
    with pytest.raises(Refused, match="no engine of this pool can migrate"):
        async for _ in pair.perform(across, fence=1):
            pass


async def test_a_move_is_assessed_by_the_engine_that_has_its_target() -> None:
    pair = Pairing([Named("h1"), Named("h2")])
    await pair.sense()
    with pytest.raises(NotFound):
        await pair.assess("a", "h2")
    with pytest.raises(Refused) as refusal:
        await pair.assess("a", "h3")
    assert refusal.value.code == "no-assessor"


async def test_a_move_is_cancelled_by_the_engine_that_does_it() -> None:
    hosts = [Host(name, (Node(4000, 65_536),), bandwidth_mib_s=100.0) for name in ("h2", "h3")]
    big = Instance("a", Shape("big", 1000, 32_768), host="h2", state=State.RUNNING)
    second = SimEngine(World(Pool.build(hosts, [big])), SystemClock())
    pair = Pairing([Named("h1"), second])
    await pair.sense()
    moving = Migrate(id="p.1", instance="a", source="h2", target="h3")
    reports = pair.perform(moving, fence=1)
    await anext(reports)
    with pytest.raises(NotFound):
        await pair.cancel("p.2")
    await pair.cancel("p.1")
    with pytest.raises(Refused) as refusal:
        async for _ in reports:
            pass
    assert refusal.value.code == "cancelled"
    assert await pair.find("p.1") is Trace.FAILED


class Scales(Named):
    """A simulated engine that measures its one instance."""

    async def weigh(self, instance: str) -> Guest:
        if instance != "a":
            raise NotFound(f"no {instance} here")
        return Guest(memory_mib=64.0, writers=())


async def test_an_instance_is_measured_by_the_engine_that_knows_it() -> None:
    pair = Pairing([Named("h1"), Scales("h2")])
    assert (await pair.weigh("a")).memory_mib == 64.0
    with pytest.raises(NotFound, match="can measure b"):
        await pair.weigh("b")


class Registry(Named):
    """A simulated cloud that believes that its hosts live until it is told otherwise."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.told: list[str] = []
        self.dirty = 0

    verbs = frozenset[type[Action]]({Place, Migrate, Fence, PowerOff, PowerOn, Evacuate})

    async def mark_dead(self, host: str, why: str) -> None:
        self.told.append(f"{host} is dead: {why}")

    async def mark_alive(self, host: str) -> None:
        self.told.append(f"{host} is back")
        self.dirty -= 1
        if self.dirty >= 0:
            raise Refused("not yet", code=NOT_CLEANED)


class Switch(Named):
    """A simulated power switch: it does nothing else, so it goes before the cloud."""

    verbs = frozenset[type[Action]]({Fence, PowerOff, PowerOn})


async def test_a_cloud_is_told_of_hosts_that_another_engine_turned_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("billow.act.pairing._AGAIN_S", 0.01)
    cloud, switch = Registry("h1"), Switch("h1")
    pair = Pairing([cloud, switch])
    await pair.sense()
    async for _ in pair.perform(Fence(id="f.1", host="h1"), fence=1):
        pass
    assert cloud.told == [f"h1 is dead: {switch.name} turned it off"]
    cloud.dirty = 1
    async for _ in pair.perform(PowerOn(id="o.1", host="h1"), fence=1):
        pass
    assert cloud.told[1:] == ["h1 is back", "h1 is back"]
    await pair.mark_dead("h1", "seen")
    assert cloud.told[-1] == "h1 is dead: seen"
