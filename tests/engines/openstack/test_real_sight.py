# SPDX-License-Identifier: Apache-2.0
"""A look at a real Nova and Placement, held against what another reader finds there."""

from collections.abc import AsyncIterator

import pytest
from labs.openstack import Lab

from billow.act.clock import SystemClock
from billow.engines.openstack.cloud import Cloud
from billow.engines.openstack.sight import Sight
from billow.engines.openstack.transport import open_transport
from billow.model.kinds import Power, State

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.openstack,
    pytest.mark.thorough,
    pytest.mark.xdist_group("openstack"),
]


@pytest.fixture
async def sight(fresh_cloud: Lab) -> AsyncIterator[Sight]:
    cloud = Cloud(open_transport("", 8), calls_at_once=8, calls_per_s=200)
    yield Sight(cloud, SystemClock())
    await cloud.aclose()


async def test_many_servers_are_where_nova_has_them(fresh_cloud: Lab, sight: Sight) -> None:
    fresh_cloud.seeding.spread("many-", 120, ("1c1g", "2c4g"))
    pool = await sight.look()
    rows = fresh_cloud.client.get("compute", "/servers/detail?all_tenants=1&limit=1000")["servers"]
    wanted = {row["name"]: row["OS-EXT-SRV-ATTR:host"] for row in rows}
    assert {each.id: each.host for each in pool.instance_views()} == wanted
    assert len(wanted) == 120
    for provider in fresh_cloud.client.get("placement", "/resource_providers")[
        "resource_providers"
    ]:
        path = f"/resource_providers/{provider['uuid']}/usages"
        used = fresh_cloud.client.get("placement", path)["usages"]
        row = pool.host_row(provider["name"])
        assert int(pool.reserved[row][0]) == 1000 * used["VCPU"]
        assert int(pool.reserved[row][1]) == used["MEMORY_MB"]
    assert not any("Placement counts" in each.why for each in pool.gaps)


async def test_increments_see_all_that_happens(fresh_cloud: Lab, sight: Sight) -> None:
    """Born, stopped and gone: each seen by the very next look, with a handful of calls."""
    assert not len((await sight.look()).instances)
    server = fresh_cloud.seeding.booted("one")
    assert (await sight.look()).instance("one").state is State.RUNNING
    fresh_cloud.client.ask("POST", "compute", f"/servers/{server}/action", {"os-stop": None})
    fresh_cloud.seeding.await_state(server, "SHUTOFF")
    assert (await sight.look()).instance("one").state is State.STOPPED
    fresh_cloud.seeding.delete([server])
    assert not len((await sight.look()).instances)


async def test_a_shaped_host_and_a_dead_one(fresh_cloud: Lab, sight: Sight) -> None:
    shaped, dead = fresh_cloud.hosts[0], fresh_cloud.hosts[-1]
    first = await sight.look()
    assert first.host(dead).power is Power.ON
    fresh_cloud.kill(dead)
    fresh_cloud.await_down(dead)
    assert (await sight.look()).host(dead).power is Power.UNKNOWN
    assert first.host(shaped).cpu_ratio == (await sight.look(whole=True)).host(shaped).cpu_ratio
