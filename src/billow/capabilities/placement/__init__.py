# SPDX-License-Identifier: Apache-2.0
"""Placement: one request or thousands get hosts and NUMA nodes, or a reason why not."""

from billow.capabilities.placement.plan import Choice, Chooser, Placement, choose, why_not
from billow.capabilities.placement.policy import PlacementPolicy, Strategy

__all__ = [
    "Choice",
    "Chooser",
    "Placement",
    "PlacementPolicy",
    "Strategy",
    "choose",
    "why_not",
]
