# SPDX-License-Identifier: Apache-2.0
"""Capacity warns and reports; it changes nothing. This is the capability's face.

Pure: no I/O, no clock, no dice. The day of a forecast counts from when the pool was seen.
"""

from collections.abc import Iterator
from typing import Final

from billow.capabilities.capacity.policy import CapacityPolicy
from billow.capabilities.capacity.report import report_of
from billow.capabilities.capacity.survey import Survey, survey
from billow.capabilities.capacity.words import day, in_days, verdict
from billow.model.plan import Finding, Proposal, Severity
from billow.model.policy import Policy
from billow.model.pool import Pool
from billow.model.report import Report
from billow.plan.fragmentation import resource_label

NAME: Final = "capacity"


class Capacity:
    """The capability: says how much more fits, whether hosts may die, and until when it lasts."""

    name = NAME
    policy: type[Policy] = CapacityPolicy

    def propose(self, pool: Pool, policy: CapacityPolicy, /) -> Proposal:
        """Return findings only: what is worth a warning, and shapes that nobody knows."""
        found = survey(pool, policy)
        main = found.main
        gain = {"slots": float(main.fit), "slots_at_best": float(main.best)} if main else {}
        return Proposal(NAME, findings=tuple(findings(found, policy)), gain=gain)

    def report(self, pool: Pool, policy: CapacityPolicy, /) -> Report:
        """Return all figures, tables and pictures. See `survey` for the cost."""
        found = survey(pool, policy)
        return report_of(found, policy, tuple(findings(found, policy)))


def findings(found: Survey, policy: CapacityPolicy) -> Iterator[Finding]:
    """Yield what is worth a warning, the most urgent first."""
    yield from _run_out(found, policy)
    for loss in found.losses:
        if loss.homeless:
            yield Finding(f"host/{loss.hosts[0]}", Severity.WARNING, verdict(loss))
    for zone in found.dry_zones(policy):
        assert found.main is not None, "a dry zone lacks room for a shape"  # noqa: S101 (dry_zones)
        name = found.main.wanted.shape.name
        text = f"room for {zone.slots} more {name}, wanted {policy.zone_slots}"
        yield Finding(f"zone/{zone.name}", Severity.WARNING, text)
    for name in found.unknown:
        yield Finding(f"shape/{name}", Severity.INFO, "the pool has no shape of this name")
    if found.why_no_forecast:
        yield Finding("pool", Severity.INFO, f"no forecast: {found.why_no_forecast}")


def _run_out(found: Survey, policy: CapacityPolicy) -> Iterator[Finding]:
    for each in found.forecasts:
        label = resource_label(each.resource)
        if each.days is not None and each.days <= policy.days_warning:
            severity = Severity.CRITICAL if each.days <= 0 else Severity.WARNING
            when = day(found.pool.taken_at, each.days)
            text = f"{label} runs out {in_days(each.days)}{when} by the trend of its history"
            yield Finding("pool", severity, text)
        elif each.earliest is not None and each.earliest <= policy.days_warning:
            text = f"{label} may run out {in_days(each.earliest)} if it grows as fast as it might"
            yield Finding("pool", Severity.WARNING, text)
