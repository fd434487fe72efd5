# SPDX-License-Identifier: Apache-2.0
"""Every capability that there is. A new one is a folder and its name here.

Apart from the composition root, so that a plan for a pool in a file loads neither store nor engine.
"""

from time import monotonic
from typing import Any

from billow.capabilities.capacity.plan import Capacity
from billow.capabilities.defrag.plan import Defrag
from billow.capabilities.ha.plan import Ha
from billow.capabilities.hotspot.plan import Hotspot
from billow.capabilities.mixed.plan import Mixed
from billow.capabilities.overcommit.plan import Overcommit
from billow.capabilities.placement.plan import Placement
from billow.capabilities.power.plan import Power
from billow.ports import Capability

CAPABILITIES: tuple[Capability[Any], ...] = (
    Placement(),
    Capacity(),
    Defrag(monotonic),
    Hotspot(),
    Overcommit(),
    Mixed(),
    Power(),
    Ha(),
)
