# SPDX-License-Identifier: Apache-2.0
"""Overcommit: hosts sell as much beyond what they have as the risk allows, and less when not."""

from billow.capabilities.overcommit.plan import Overcommit
from billow.capabilities.overcommit.policy import OvercommitPolicy

__all__ = ["Overcommit", "OvercommitPolicy"]
