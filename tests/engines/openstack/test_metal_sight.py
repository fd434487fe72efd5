# SPDX-License-Identifier: Apache-2.0
"""Ironic's machines as a real Nova, Placement and Ironic tell of them, a server on one of them."""

import json

import pytest
from tests.engines.openstack.replay import Replay, cloud_of

from billow.act.clock import SystemClock
from billow.engines.openstack.hosts import NOVAS_CHOICE
from billow.engines.openstack.rules import Cloudscape, blockers
from billow.engines.openstack.sight import Sight
from billow.model.action import Action, Migrate, Resize, Start, Stop
from billow.model.ha.incident import Fate
from billow.model.kinds import Kind, Power, State
from billow.model.pool import Pool
from billow.plan.ha.recovery import victims_of

pytestmark = pytest.mark.anyio
MACHINES = ("metal001", "metal002", "metal003")
HOME = "metal002"
"""The machine that the server bm1 is on."""
DRIVER = "ironic-compute"
STOP = Stop(id="s", instance="bm1", host=HOME, grace_s=1.0)
SERVERS = "GET compute /servers/detail?all_tenants=1&limit=1000"


@pytest.fixture
def replay() -> Replay:
    made = Replay()
    made.have_machines()
    return made


@pytest.fixture
def sight(replay: Replay) -> Sight:
    return Sight(cloud_of(replay), SystemClock())


def gaps(pool: Pool, subject: str) -> list[str]:
    return [each.why for each in pool.gaps if each.subject == subject]


def silenced(replay: Replay) -> None:
    """Let Nova not hear the compute that has Ironic deploy."""
    body = json.loads(json.dumps(replay.told["GET compute /os-services"]["body"]))
    for each in body["services"]:
        each["state"] = "down" if each["host"] == DRIVER else each["state"]
    replay.say("/os-services", body)


def refusals(sight: Sight, pool: Pool, action: Action) -> list[str]:
    """Return why the engine would not do something."""
    known = sight.servers, sight.flavors, sight.services
    seen = Cloudscape(pool, *known, sight.view.held, sight.silent)
    return [each.reason for each in blockers(seen, action, ())]


async def test_each_machine_is_one_host_and_its_compute_is_none(sight: Sight) -> None:
    """Nova tells of each as a hypervisor, Placement as a provider, both by Ironic's id of it."""
    pool = await sight.look()
    assert set(pool.hosts.id) == {*MACHINES, *(f"node00{n}" for n in range(1, 7))}
    for host in map(pool.host, MACHINES):
        assert (host.cpu_milli, host.memory_mib, host.zone) == (32_000, 131_072, "nova")
        assert (host.power, host.cordon) == (Power.ON, NOVAS_CHOICE)
        assert "CUSTOM_METAL" in host.traits
    assert gaps(pool, f"host/{DRIVER}") == gaps(pool, "baremetal") == []
    assert not any("Placement counts" in each.why for each in pool.gaps)


async def test_a_server_is_on_its_machine_and_takes_what_its_flavor_says(sight: Sight) -> None:
    """Placement is asked for a machine only: the flavor's processors and memory are told apart."""
    pool = await sight.look()
    there = pool.instance("bm1")
    assert (there.kind, there.host, there.state) == (Kind.BARE_METAL, HOME, State.RUNNING)
    assert (there.shape.cpu_milli, there.shape.memory_mib) == (32_000, 131_072)
    assert there.shape.traits <= pool.host(HOME).traits


async def test_a_server_that_is_a_machine_is_neither_moved_nor_resized(sight: Sight) -> None:
    pool = await sight.look()
    why = "bm1 is a bare_metal: it is its host"
    for action in (
        Migrate(id="m", instance="bm1", source=HOME, target="node001"),
        Migrate(id="m", instance="bm1", source=HOME, target="metal001"),
        Resize(id="r", instance="bm1", host=HOME, old=sight.shapes["metal"],
               new=sight.shapes["1c1g"]),
    ):  # fmt: skip
        assert why in refusals(sight, pool, action)
    assert refusals(sight, pool, STOP) == []


async def test_a_dead_machine_leaves_its_server_and_says_why(sight: Sight, replay: Replay) -> None:
    def left(pool: Pool) -> tuple[Fate, str]:
        (victim,) = victims_of(pool, HOME)
        return victim.fate, victim.why

    bound = "it is bound to its host: it is a machine of its own"
    assert left(await sight.look()) == (Fate.LEFT, bound)
    for row in replay.told[SERVERS]["body"]["servers"]:
        row["image"] = ""  # made from a volume: without a disk of its own
        row["flavor"]["disk"] = 0
    assert left(await sight.look(whole=True)) == (Fate.LEFT, bound)


async def test_a_driver_that_is_not_heard_is_told_and_turns_nothing(
    sight: Sight, replay: Replay
) -> None:
    """It is no host that could be seen dead; its machines are as they are."""
    before = await sight.look()
    silenced(replay)
    pool = await sight.look()
    assert pool.host(HOME) == before.host(HOME)
    (why,) = gaps(pool, "baremetal")
    assert f"Nova does not hear {DRIVER}, which has Ironic deploy on 3 machines" in why
    start = Start(id="s", instance="bm1", host=HOME)
    for action in (STOP, start):
        (reason,) = refusals(sight, pool, action)
        assert reason == f"nova-compute of {DRIVER} is down, which has Ironic turn {HOME}"


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        ({"nodes": []}, 200, "Nova has 3 machines of Ironic's that Ironic does not show this user"),
        ({"error_message": "not for you"}, 403, "not for you"),
    ],
)
async def test_machines_that_ironic_does_not_show_are_a_gap(
    sight: Sight, replay: Replay, body: object, status: int, why: str
) -> None:
    """Their servers are still what they are, on no host that is seen."""
    replay.say("/nodes/detail", body, status=status)
    pool = await sight.look()
    assert not set(MACHINES) & set(pool.hosts.id)
    there = pool.instance("bm1")
    assert (there.kind, there.host, there.state) == (Kind.BARE_METAL, "", State.UNKNOWN)
    assert why in "; ".join(gaps(pool, "baremetal"))
    assert gaps(pool, f"host/{DRIVER}") == []
