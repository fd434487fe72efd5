# SPDX-License-Identifier: Apache-2.0
"""What Billow remembers: plans and their pools, runs and their journal, events, lease, tokens.

SQLite by default, PostgreSQL for more than one controller; the same promises on both. It keeps and
gives back; it decides nothing.
"""

from billow.store.idempotency import Answer
from billow.store.plans import PlanRow, PlanStatus
from billow.store.store import Store

__all__ = ["Answer", "PlanRow", "PlanStatus", "Store"]
