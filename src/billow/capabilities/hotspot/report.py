# SPDX-License-Identifier: Apache-2.0
"""What there is to say of heat without changing anything."""

from billow.capabilities.hotspot.policy import HotspotPolicy
from billow.model.pool import Pool
from billow.model.report import Report


def reported(pool: Pool, policy: HotspotPolicy) -> Report:
    """Return the report."""
    return Report("hotspot", "Hot spots", "")
