# SPDX-License-Identifier: Apache-2.0
"""Read what seldom changes: flavors, images, server groups, aggregates, Ironic's machines."""

from typing import Final

from billow.engines.openstack.answers import Aggregate, Flavor, Image, Node, ServerGroup
from billow.engines.openstack.cloud import Cloud
from billow.engines.openstack.decode import aggregate_of, flavor_of, group_of, image_of, node_of

FLAVORS: Final = "2.61"
"""From here on flavors bear their extra specs."""
GROUPS: Final = "2.64"
AGGREGATES: Final = "2.41"
NODES: Final = "1.65"


async def flavors(cloud: Cloud) -> tuple[Flavor, ...]:
    """Return every flavor, those of single projects included. Raises as `Cloud.call`."""
    version = await cloud.microversion("compute", FLAVORS)
    path = "/flavors/detail?is_public=None&limit=1000"
    return tuple(map(flavor_of, await cloud.rows("compute", path, "flavors", version)))


async def groups(cloud: Cloud) -> tuple[ServerGroup, ...]:
    """Return every server group of all projects. Raises as `Cloud.call`."""
    version = await cloud.microversion("compute", GROUPS)
    found: list[ServerGroup] = []
    while True:  # paged by offset, without links
        path = f"/os-server-groups?all_projects=True&limit=1000&offset={len(found)}"
        answer = await cloud.get("compute", path, version)
        rows = [group_of(each) for each in answer.get("server_groups") or ()]
        found += rows
        if len(rows) < 1000:
            return tuple(found)


async def aggregates(cloud: Cloud) -> tuple[Aggregate, ...]:
    """Return every host aggregate. Raises as `Cloud.call`."""
    version = await cloud.microversion("compute", AGGREGATES)
    answer = await cloud.get("compute", "/os-aggregates", version)
    return tuple(map(aggregate_of, answer.get("aggregates") or ()))


async def images(cloud: Cloud) -> dict[str, Image]:
    """Return every image by its id. Raises as `Cloud.call`."""
    rows = await cloud.rows("image", "/images?limit=1000", "images")
    return {each.uuid: each for each in map(image_of, rows)}


async def nodes(cloud: Cloud) -> tuple[Node, ...]:
    """Return every machine of Ironic's; none where there is no Ironic. Raises as `Cloud.call`."""
    if not await cloud.has("baremetal"):
        return ()
    version = await cloud.microversion("baremetal", NODES)
    return tuple(map(node_of, await cloud.rows("baremetal", "/nodes/detail", "nodes", version)))
