# SPDX-License-Identifier: Apache-2.0
"""What Prometheus is told of failures of hosts. It only counts; nothing waits for it."""

from collections.abc import Iterable
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from billow.model.ha.incident import Fate, Incident, Phase
from billow.telemetry import REGISTRY

_SECONDS: Final = (1, 2, 3, 5, 7, 10, 15, 20, 30, 60, 120, 300, 600, 3600)
INCIDENTS: Final = Gauge(
    "billow_incidents", "Incidents that are open, by phase.", ["phase"], registry=REGISTRY
)
HELD: Final = Gauge(
    "billow_incidents_held", "Incidents that do not go on by themselves.", registry=REGISTRY
)
PROOFS: Final = Histogram(
    "billow_incident_proof_seconds",
    "Time from when a host was lost to the proof that nothing of it runs.",
    ["method"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
RECOVERIES: Final = Histogram(
    "billow_incident_recovery_seconds",
    "Time from when a host was lost to the last of its instances running elsewhere.",
    buckets=_SECONDS,
    registry=REGISTRY,
)
RECOVERED: Final = Counter(
    "billow_incident_instances",
    "Instances of dead hosts, by what became of them.",
    ["fate"],
    registry=REGISTRY,
)


def count(before: Incident | None, after: Incident, now: float) -> None:
    """Count what a step came to that this controller took."""
    if after.proof is not None and (before is None or before.proof is None):
        PROOFS.labels(after.proof.method.value).observe(max(0.0, now - after.since))
    if before is not None and before.phase is Phase.RECOVERING and after.phase is not before.phase:
        if any(each.fate is Fate.STARTED for each in after.victims):
            RECOVERIES.observe(max(0.0, now - after.since))
        for victim in after.victims:
            RECOVERED.labels(victim.fate.value).inc()


def show(incidents: Iterable[Incident]) -> None:
    """Show how many incidents are open."""
    there = list(incidents)
    for phase in Phase:
        if phase.open:
            INCIDENTS.labels(phase.value).set(sum(each.phase is phase for each in there))
    HELD.set(sum(bool(each.held) for each in there))
