# SPDX-License-Identifier: Apache-2.0
"""Defragmentation: more instances of a wanted shape fit, with few migrations and a proven bound."""

from billow.capabilities.defrag.plan import Defrag
from billow.capabilities.defrag.policy import DefragPolicy

__all__ = ["Defrag", "DefragPolicy"]
