# SPDX-License-Identifier: Apache-2.0
"""Open the hosts of `bmc.toml` that have a controller of one kind, by the settings."""

from billow.act.power.controllers import Controllers
from billow.act.power.engine import PowerEngine
from billow.act.power.inventory import read_controllers
from billow.act.power.line import Dial
from billow.act.power.records import Identities
from billow.errors import Invalid
from billow.ports import Clock
from billow.settings import Settings


def open_controllers(kind: str, dial: Dial, settings: Settings, clock: Clock) -> PowerEngine:
    """Open the controllers of a kind in `bmc_file`; nothing is asked yet.

    Raises:
        NotFound: there is no such file.
        Invalid: it cannot be understood, or names no controller of this kind.
    """
    file = settings.bmc_file or settings.state_dir / "bmc.toml"
    known = [each for each in read_controllers(file) if each.kind == kind]
    if not known:
        raise Invalid(
            f"{file.name} names no controller of kind {kind}",
            fix=f"add one, or take `{kind}` out of BILLOW_ENGINE",
        )
    identities = Identities(settings.state_dir / "bmc")
    controllers = Controllers(known, dial, identities, clock)
    return PowerEngine(kind, controllers, settings.state_dir / kind, clock)
