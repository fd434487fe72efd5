# SPDX-License-Identifier: Apache-2.0
"""Open the hosts of `bmc.toml` that have a controller of this kind, by the settings."""

from billow.act.power.controllers import Controllers
from billow.act.power.engine import PowerEngine
from billow.act.power.inventory import read_controllers
from billow.act.power.records import Identities
from billow.engines.redfish.line import RedfishLine
from billow.errors import Invalid
from billow.ports import Clock
from billow.settings import Settings


async def open_engine(settings: Settings, clock: Clock) -> PowerEngine:
    """Open the controllers of kind `redfish` in `bmc_file`; nothing is asked yet.

    Raises:
        NotFound: there is no such file.
        Invalid: it cannot be understood, or names no controller of this kind.
    """
    file = settings.bmc_file or settings.state_dir / "bmc.toml"
    known = [each for each in read_controllers(file) if each.kind == "redfish"]
    if not known:
        raise Invalid(
            f"{file.name} names no controller of kind redfish",
            fix="add one, or take `redfish` out of BILLOW_ENGINE",
        )
    identities = Identities(settings.state_dir / "bmc")
    controllers = Controllers(known, RedfishLine, identities, clock)
    return PowerEngine("redfish", controllers, settings.state_dir / "redfish", clock)


async def remove_pool(settings: Settings) -> None:
    """Leave the hosts and what is known of them as they are: nothing here was made by Billow."""
