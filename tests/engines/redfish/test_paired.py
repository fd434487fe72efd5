# SPDX-License-Identifier: Apache-2.0
"""A pool of one engine whose hosts' power is another one's: `sim+redfish`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from labs.ha.bmc import Emulator

from billow.act.clock import SystemClock
from billow.act.pairing import Pairing
from billow.act.power.engine import VERBS, PowerEngine
from billow.app import ENGINES, homes, open_billow
from billow.engines.redfish.open import open_engine
from billow.engines.sim.engine import SimEngine
from billow.engines.sim.setting import Setting
from billow.engines.sim.world import World
from billow.errors import Invalid, Leased, NotFound, Refused, Unavailable
from billow.model.action import Action, Fence, Place, PowerOff, PowerOn
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import Power
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.ports import Bmc, Rehearsed, Trace
from billow.settings import Settings
from billow.testing.stand import do

pytestmark = [pytest.mark.bmc, pytest.mark.anyio]
UUID = "4c4c4544-0042-3610-8051-b4c04f564231"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator("redfish", uuid=UUID) as found:
        yield found


@pytest.fixture
def settings(emulator: Emulator, tmp_path: Path) -> Settings:
    emulator.renew()
    entry = emulator.entry("h1", shutdown_s=3, off_s=5, answer_s=2)
    lines = [
        f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}"
        for name, value in entry.items()
    ]
    (tmp_path / "bmc.toml").write_text("[[bmc]]\n" + "\n".join(lines))
    return Settings(state_dir=tmp_path, engine="sim+redfish")


async def paired(settings: Settings) -> tuple[Pairing, PowerEngine]:
    hosts = [Host(name, (Node(4000, 8192),)) for name in ("h1", "h2")]
    world = World(Pool.build(hosts), Setting(speed=1000.0))
    power = await open_engine(settings, SystemClock())
    pair = Pairing([SimEngine(world, SystemClock()), power])
    await pair.sense()
    return pair, power


async def test_power_comes_from_where_it_is_read(settings: Settings, emulator: Emulator) -> None:
    pair, _ = await paired(settings)
    pool = await pair.sense()
    assert pool.gaps == ()
    assert pool.host("h1").nodes == (Node(4000, 8192),)
    await do(pair, Fence(id="f.1", host="h1"))
    emulator.catch_up()
    assert emulator.orders == ["off"]
    assert emulator.power == "off"
    pool = await pair.sense()
    assert (pool.host("h1").power, pool.host("h2").power) == (Power.OFF, Power.ON)
    assert pool.gaps == ()
    await do(pair, PowerOn(id="on.1", host="h1"))
    emulator.catch_up()
    assert emulator.power == "on"
    assert (await pair.sense()).host("h1").power is Power.ON
    await pair.aclose()


async def test_a_host_without_a_controller_stays_with_its_engine(
    settings: Settings, emulator: Emulator
) -> None:
    pair, _ = await paired(settings)
    await do(pair, Place(id="p.1", instance=Instance("a", Shape("s", 1000, 1024)), host="h1"))
    await do(pair, Fence(id="f.2", host="h2"))
    assert emulator.orders == []
    assert (await pair.sense()).host("h2").power is Power.OFF
    await pair.aclose()


async def test_what_became_of_it_outlives_the_controller(
    settings: Settings, emulator: Emulator
) -> None:
    pair, _ = await paired(settings)
    await do(pair, Fence(id="f.1", host="h1"), fence=7)
    await pair.aclose()
    pair, power = await paired(settings)
    assert await pair.find("f.1") is Trace.DONE
    await do(pair, Fence(id="f.1", host="h1"), fence=7)
    emulator.catch_up()
    assert emulator.orders == ["off"]
    with pytest.raises(Leased):
        await do(power, PowerOn(id="on.1", host="h1"), fence=6)
    assert emulator.power == "off"
    await pair.aclose()


async def test_a_host_is_asked_to_shut_down_before_its_power_is_cut(
    settings: Settings, emulator: Emulator
) -> None:
    _, power = await paired(settings)
    await power.on("h1")
    emulator.orders.clear()
    await do(power, PowerOff(id="off.1", host="h1"))
    emulator.catch_up()
    assert emulator.orders == ["off"]
    assert (emulator.boot, emulator.restore) == ("default", "previous")
    await power.aclose()


async def test_a_fence_without_proof_has_failed(settings: Settings, emulator: Emulator) -> None:
    emulator.set(deaf=True)
    pair, _ = await paired(settings)
    with pytest.raises(Refused, match="did not read off in time"):
        await do(pair, Fence(id="f.1", host="h1"))
    assert await pair.find("f.1") is Trace.FAILED
    emulator.catch_up()
    assert emulator.power == "on"
    await pair.aclose()


async def test_what_it_cannot_do_is_said_beforehand(settings: Settings) -> None:
    pair, power = await paired(settings)
    assert power.verbs == VERBS
    (blocker,) = await power.blockers(Fence(id="f.1", host="h9"))
    assert "no management controller of h9" in blocker.reason
    placing: Action = Place(id="p", instance=Instance("a", Shape("s", 1000, 1024)), host="h1")
    assert "cannot place" in (await power.blockers(placing))[0].reason
    with pytest.raises(Refused):
        await do(power, placing)
    await pair.aclose()


async def test_a_silent_controller_is_a_gap_and_no_power(
    settings: Settings, emulator: Emulator
) -> None:
    emulator.set(silent=True)
    _, power = await paired(settings)
    pool = await power.sense()
    assert pool.host("h1").power is Power.UNKNOWN
    assert [gap.subject for gap in pool.gaps] == ["host/h1"]
    emulator.set()
    await power.aclose()


async def test_one_that_fell_silent_holds_up_nobody(settings: Settings, emulator: Emulator) -> None:
    _, power = await paired(settings)
    assert (await power.sense()).host("h1").power is Power.ON
    emulator.set(silent=True)
    power._craft.seen["h1"] = (0.0, Power.ON)  # an hour ago, as it were
    began = SystemClock().now()
    assert (await power.sense()).host("h1").power is Power.ON
    assert SystemClock().now() - began < 1.5
    emulator.set()
    assert await power.power("h1") is Power.ON
    await power.aclose()


async def test_a_pair_is_one_management_controller(settings: Settings, emulator: Emulator) -> None:
    pair, power = await paired(settings)
    for each in (pair, power):
        assert isinstance(each, Bmc)
        assert isinstance(each, Rehearsed)
    assert await pair.power("h1") is Power.ON
    assert await pair.identity("h1") == UUID
    assert await pair.rehearse("h1") == "direct: reads on"
    assert "read off twice" in await pair.off("h1")
    assert emulator.power == "off"
    with pytest.raises(NotFound):
        await pair.off("h9")
    await pair.on("h1")
    emulator.set(silent=True)
    with pytest.raises(Unavailable):
        await pair.power("h1")  # never the simulated one in its place
    emulator.set()
    await pair.aclose()


async def test_a_file_without_such_controllers_is_told(settings: Settings) -> None:
    assert {"ipmi", "redfish"} <= set(ENGINES)
    file = settings.state_dir / "bmc.toml"
    file.write_text(file.read_text().replace('"redfish"', '"ipmi"').replace("http://", ""))
    with pytest.raises(Invalid, match="names no controller of kind redfish"):
        await open_engine(settings, SystemClock())


def test_controllers_may_come_and_go_beside_a_pool() -> None:
    assert homes("sim+redfish") == homes("redfish+sim") == homes("sim") == "sim"
    assert homes("qemu+libvirt+ipmi+redfish") == "qemu+libvirt"
    assert homes("redfish") == "redfish"


async def test_a_pool_gets_its_controllers_later(settings: Settings, emulator: Emulator) -> None:
    """A running pool is opened anew with them, in the same state folder, and fenced by them."""
    alone = Settings(state_dir=settings.state_dir, engine="sim", host_cpus=4, hosts=2)
    await (await open_billow(alone)).aclose()
    both = Settings(state_dir=settings.state_dir, engine="sim+redfish", host_cpus=4, hosts=2)
    billow = await open_billow(both)
    assert (await billow.sense()).host("h1").power is Power.ON
    emulator.become("off")
    assert isinstance(billow._engine, Bmc)
    assert await billow._engine.power("h1") is Power.OFF
    assert "read off twice" in await billow._engine.off("h1")
    await billow.aclose()
