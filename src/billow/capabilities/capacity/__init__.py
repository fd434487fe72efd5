# SPDX-License-Identifier: Apache-2.0
"""Capacity: how much more fits, whether hosts may die, and until when it lasts."""

from billow.capabilities.capacity.plan import Capacity
from billow.capabilities.capacity.policy import CapacityPolicy

__all__ = ["Capacity", "CapacityPolicy"]
