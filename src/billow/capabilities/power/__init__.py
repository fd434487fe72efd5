# SPDX-License-Identifier: Apache-2.0
"""Power: hosts sleep while the others can carry the load, and wake before they are needed."""

from billow.capabilities.power.plan import Power
from billow.capabilities.power.policy import PowerPolicy

__all__ = ["Power", "PowerPolicy"]
