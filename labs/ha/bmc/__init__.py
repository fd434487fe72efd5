# SPDX-License-Identifier: Apache-2.0
"""Emulated management controllers: IPMI by pyghmi, Redfish by sushy-tools, with faults.

with Emulator("ipmi", uuid=UUID, turn=machine.turn) as bmc:   # turn("off") cuts the lab host
    bmc.set(slow_s=3.0)                                       # from now on
    bmc.address                                               # for bmc.toml
"""

from labs.ha.bmc.emulator import Emulator
from labs.ha.bmc.machine import Faults

__all__ = ["Emulator", "Faults"]
