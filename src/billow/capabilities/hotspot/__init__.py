# SPDX-License-Identifier: Apache-2.0
"""Hotspot: hosts that are too hot by real use are cooled by few moves; noisy neighbours named."""

from billow.capabilities.hotspot.plan import Hotspot
from billow.capabilities.hotspot.policy import HotspotPolicy

__all__ = ["Hotspot", "HotspotPolicy"]
