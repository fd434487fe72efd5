# SPDX-License-Identifier: Apache-2.0
"""Open a cloud as a pool, by the settings; or look at one once, without anything else of ours."""

from typing import Any

from billow.act.clock import SystemClock
from billow.act.deed import Deeds
from billow.act.performer import Performer
from billow.act.power.records import Identities
from billow.act.terms import terms_of
from billow.engines.openstack.cloud import Cloud
from billow.engines.openstack.engine import OpenStackEngine
from billow.engines.openstack.nova import Nova
from billow.engines.openstack.read.gnocchi import Gnocchi
from billow.engines.openstack.read.use import Gauge, Prometheus
from billow.engines.openstack.recover.craft import Recovery
from billow.engines.openstack.recover.metal import Metal
from billow.engines.openstack.sight import Sight
from billow.engines.openstack.verbs import OpenStackCraft
from billow.model.pool import Pool
from billow.ports import Bmc, Clock
from billow.settings import Settings


async def open_engine(settings: Settings, clock: Clock) -> OpenStackEngine:
    """Open the cloud of the settings; what Billow did in it is in `state_dir/openstack`.

    Nothing is asked of it yet, and nothing is changed unless `allow_changes`.

    Raises:
        Invalid: openstacksdk is not installed, or the cloud is not described.
    """
    return engine_of(Cloud.of(settings), settings, clock)


def engine_of(
    cloud: Cloud, settings: Settings, clock: Clock, *, bmc: Bmc | None = None
) -> OpenStackEngine:
    """Return the engine of a cloud, which is asked nothing yet.

    A `bmc` turns its hosts off and on, with proof; without one their power is left alone. Machines
    of Ironic's are turned by Ironic in any case.
    """
    sight, folder = _sight(cloud, clock, settings), settings.state_dir / "openstack"
    metal = Metal(cloud, sight, clock, Identities(folder / "machines"))

    async def server(instance: str) -> str:
        return await craft.server(instance)

    craft = OpenStackCraft(
        nova=Nova(cloud),
        sight=sight,
        terms=terms_of(settings),
        clock=clock,
        recovery=Recovery.of(
            cloud, server=server, clock=clock, folder=folder, bmc=bmc, metal=metal
        ),
        network=settings.cloud_network,
        allow_changes=settings.allow_changes,
    )
    return OpenStackEngine(cloud, craft, Performer("openstack", craft, Deeds(folder)))


async def remove_pool(settings: Settings) -> None:
    """Leave the cloud as it is: what Billow made in it belongs to its projects."""


async def look(*, cloud: str = "", metrics_url: str = "") -> Pool:
    """Return the pool that a cloud is now, and let go of it: without a state folder or an engine.

    Args:
        cloud: Its name in clouds.yaml; empty for the one of the settings or the environment.
        metrics_url: Prometheus that measures it; likewise.

    Raises:
        Invalid: the cloud is not described.
        Unavailable, Denied: it does not answer, or does not let us see.
    """
    said: dict[str, Any] = {"cloud": cloud, "metrics_url": metrics_url}
    settings = Settings(engine="openstack", **{k: v for k, v in said.items() if v})
    asked = Cloud.of(settings)
    sight = _sight(asked, SystemClock(), settings)
    try:
        return await sight.look()
    finally:
        await sight.aclose()
        await asked.aclose()


def _sight(cloud: Cloud, clock: Clock, settings: Settings) -> Sight:
    url = settings.metrics_url
    gauge: Gauge = Prometheus(url) if url else Gnocchi(cloud, clock)
    return Sight(cloud, clock, shared_disks=settings.cloud_shared_disks, gauge=gauge)
