# SPDX-License-Identifier: Apache-2.0
"""Servers that a real Placement chooses hosts for: they go there, and to no host without room."""

from collections import Counter
from pathlib import Path

import pytest
from labs.openstack import Lab
from tests.engines.openstack.carried import (
    MEMORY_MIB,
    SHAPE,
    carried_out,
    check_sound,
    homes,
    opened,
    until,
)

from billow.errors import Blocked
from billow.model.instance import Instance
from billow.model.run import RunState
from billow.model.shape import Shape

pytestmark = [pytest.mark.openstack, pytest.mark.thorough, pytest.mark.anyio]
ON_EACH = 3
"""Servers of 4 GiB that a host of 16 GiB takes: what Nova reserves is missing for a fourth."""


def wanted(count: int) -> list[Instance]:
    return [Instance(f"c{n}", Shape(SHAPE, 2000, 4096), image="tiny") for n in range(count)]


def disable(lab: Lab, hosts: list[str]) -> None:
    """Let nothing new come to hosts."""
    services = lab.client.get("compute", "/os-services?binary=nova-compute")["services"]
    for each in services:
        if each["host"] in hosts:
            body = {"status": "disabled"}
            lab.client.ask("PUT", "compute", f"/os-services/{each['id']}", body)


def shut(lab: Lab) -> set[str]:
    """Return the hosts that Placement knows to be disabled."""
    path = "/resource_providers?required=COMPUTE_STATUS_DISABLED"
    return {each["name"] for each in lab.client.get("placement", path)["resource_providers"]}


def sizes(lab: Lab) -> set[int]:
    """Return how much memory Placement says that hosts have, MiB."""
    rows = lab.client.get("placement", "/resource_providers")["resource_providers"]
    kept = [row["uuid"] for row in rows if row["name"] in lab.hosts]
    paths = [f"/resource_providers/{each}/inventories" for each in kept]
    told = [lab.client.get("placement", path)["inventories"] for path in paths]
    return {each["MEMORY_MB"]["total"] for each in told}


async def test_servers_go_where_placement_chose(fresh_cloud: Lab, tmp_path: Path) -> None:
    for host in fresh_cloud.hosts:
        fresh_cloud.shape(host, memory_mib=MEMORY_MIB)
    fresh_cloud.computes.touch(fresh_cloud.hosts)
    there, closed = fresh_cloud.hosts[:2], fresh_cloud.hosts[2:]
    disable(fresh_cloud, closed)
    await until(lambda: shut(fresh_cloud) == set(closed), "Placement does not hear of it")
    await until(lambda: sizes(fresh_cloud) == {MEMORY_MIB}, "Placement has other sizes")
    async with opened(fresh_cloud, tmp_path) as billow:
        requests = wanted(ON_EACH * len(there))
        found = await billow.choose(requests)
        assert Counter(found.values()) == dict.fromkeys(there, ON_EACH)
        with pytest.raises(Blocked, match="knows no host for c6"):
            await billow.choose(wanted(len(requests) + 1))
        plan = await billow.propose("placement", {"chosen": found}, requests=requests, actor="ann")
        assert plan.steps, [each.reason for each in plan.rejections]
        run = await carried_out(billow, plan)
        assert run.state is RunState.DONE, run
        assert homes(await check_sound(fresh_cloud, billow)) == found
        with pytest.raises(Blocked, match="knows no host for d"):
            await billow.choose([Instance("d", Shape(SHAPE, 2000, 4096))])
