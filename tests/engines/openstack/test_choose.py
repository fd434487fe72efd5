# SPDX-License-Identifier: Apache-2.0
"""Placement's own choice for new servers: in its order, each taking its room."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.engines.openstack.replay import Replay, cloud_of

from billow.engines.openstack.answers import Flavor
from billow.engines.openstack.choose import amounts, choose
from billow.engines.openstack.sight import Sight
from billow.model.instance import Instance
from billow.model.shape import Shape
from billow.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio
SMALL = "1c1g"


def flavor(**specs: str) -> Flavor:
    spelled = {name.replace("__", ":"): value for name, value in specs.items()}
    return Flavor(name="f", vcpus=2, memory_mib=4096, disk_gib=20, specs=spelled)


def candidates(hosts: Iterable[tuple[str, int]]) -> dict[str, Any]:
    """Return what Placement says of hosts with so many CPUs left, by provider."""
    rows = list(hosts)
    need = {"VCPU": 1, "MEMORY_MB": 1024, "DISK_GB": 20}
    return {
        "allocation_requests": [{"allocations": {u: {"resources": need}}} for u, _ in rows],
        "provider_summaries": {
            uuid: {
                "root_provider_uuid": uuid,
                "resources": {
                    "VCPU": {"capacity": 100, "used": 100 - cpus},
                    "MEMORY_MB": {"capacity": 10**6, "used": 0},
                    "DISK_GB": {"capacity": 10**6, "used": 0},
                },
            }
            for uuid, cpus in rows
        },
    }


async def seen(replay: Replay) -> Sight:
    sight = Sight(cloud_of(replay), VirtualClock())
    await sight.look()
    return sight


def wanted(count: int, zone: str = "", shape: str = SMALL) -> list[Instance]:
    return [Instance(f"w{n}", Shape(shape, 1000, 1024), zone=zone) for n in range(count)]


async def test_candidates_are_taken_in_their_order_until_they_are_full() -> None:
    replay = Replay()
    sight = await seen(replay)
    (first, one), (second, two), *_ = sight.providers.items()
    replay.say("resources=DISK_GB", candidates([(second, 2), (first, 1)]))
    replay.sent.clear()
    found = await choose(cloud_of(replay), sight, wanted(5))
    assert found == {"w0": two, "w1": two, "w2": one}
    [asked] = replay.sent
    query = parse_qs(urlsplit(asked.path).query)
    assert query["resources"] == ["DISK_GB:20,MEMORY_MB:1024,VCPU:1"]
    assert query["required"] == ["!COMPUTE_STATUS_DISABLED"]


async def test_a_zone_is_kept_to() -> None:
    replay = Replay()
    sight = await seen(replay)
    replay.say("resources=DISK_GB", candidates((uuid, 1) for uuid in sight.providers))
    hosts = sight.view.pool.hosts
    zone = {name: hosts.zone[row] for name, row in hosts.row.items()}
    for each in sorted({*zone.values()}):
        found = await choose(cloud_of(replay), sight, wanted(1, zone=each))
        assert zone[found["w0"]] == each
    assert await choose(cloud_of(replay), sight, wanted(1, zone="nowhere")) == {}


async def test_what_is_no_flavor_or_has_no_room_is_left_out() -> None:
    replay = Replay()
    sight = await seen(replay)
    replay.say("resources=DISK_GB", {"allocation_requests": [], "provider_summaries": {}})
    assert await choose(cloud_of(replay), sight, wanted(1)) == {}
    assert await choose(cloud_of(replay), sight, wanted(1, shape="no-such")) == {}


async def test_a_provider_that_is_no_host_of_ours_is_no_answer() -> None:
    replay = Replay()
    sight = await seen(replay)
    replay.say("resources=DISK_GB", candidates([("0e1f2a3b-0000-4000-8000-00000000dead", 9)]))
    assert await choose(cloud_of(replay), sight, wanted(1)) == {}


@pytest.mark.parametrize(
    ("specs", "found"),
    [
        ({}, {"VCPU": 2, "MEMORY_MB": 4096, "DISK_GB": 20}),
        ({"hw__cpu_policy": "dedicated"}, {"PCPU": 2, "MEMORY_MB": 4096, "DISK_GB": 20}),
        ({"resources__VGPU": "1"}, {"VCPU": 2, "MEMORY_MB": 4096, "DISK_GB": 20, "VGPU": 1}),
        ({"resources__VCPU": "0", "resources__DISK_GB": "0"}, {"MEMORY_MB": 4096}),
    ],
)
def test_a_flavor_is_asked_for_as_nova_asks(specs: dict[str, str], found: dict[str, int]) -> None:
    assert amounts(flavor(**specs)) == found
