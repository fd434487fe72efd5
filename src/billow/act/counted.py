# SPDX-License-Identifier: Apache-2.0
"""What the metrics hear of live migrations: how many are under way, and what ended ones came to."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from billow import telemetry
from billow.model.action import Action, Migrate
from billow.model.migration import CANCELLED
from billow.model.run import Entry, Phase

BYTES_PER_MIB = 2**20


@contextmanager
def under_way(action: Action) -> Iterator[None]:
    """Count a live migration as under way; nothing for all else."""
    if not isinstance(action, Migrate):
        yield
        return
    with telemetry.MIGRATING.track_inprogress():
        yield


def count(action: Action, entry: Entry) -> None:
    """Count a live migration that has ended; nothing for all else."""
    if not isinstance(action, Migrate):
        return
    progress = entry.progress
    flow = progress.flow if progress else None
    way = flow.way.value if flow else "none"
    cancelled = entry.error.get("code") == CANCELLED
    telemetry.MIGRATIONS.labels(way, CANCELLED if cancelled else entry.phase.value).inc()
    if progress is not None:
        telemetry.MIGRATION_BYTES.labels(way).inc(progress.copied_mib * BYTES_PER_MIB)
    if entry.phase is Phase.DONE:
        telemetry.MIGRATION_SECONDS.labels(way).observe(entry.ended_at - entry.started_at)
        if flow is not None and math.isfinite(flow.downtime_s):
            telemetry.MIGRATION_DOWNTIME.labels(way).observe(flow.downtime_s)
