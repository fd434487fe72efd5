# SPDX-License-Identifier: Apache-2.0
"""Mixed deployment: batch takes what latency-sensitive instances leave, and gives it back."""

from billow.capabilities.mixed.plan import Mixed
from billow.capabilities.mixed.policy import MixedPolicy

__all__ = ["Mixed", "MixedPolicy"]
