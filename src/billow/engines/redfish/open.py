# SPDX-License-Identifier: Apache-2.0
"""Open the hosts of `bmc.toml` that have a controller of this kind, by the settings."""

from billow.act.power.engine import PowerEngine
from billow.act.power.opening import open_controllers
from billow.engines.redfish.line import RedfishLine
from billow.ports import Clock
from billow.settings import Settings


async def open_engine(settings: Settings, clock: Clock) -> PowerEngine:
    """Open the controllers of kind `redfish`. Raises NotFound, Invalid."""
    return open_controllers("redfish", RedfishLine, settings, clock)


async def remove_pool(settings: Settings) -> None:
    """Leave the hosts and what is known of them as they are: nothing here was made by Billow."""
