# SPDX-License-Identifier: Apache-2.0
"""How capacity says things: one wording for findings, tables and summaries."""

from datetime import UTC, datetime

from billow.capabilities.capacity.solve import Loss
from billow.model.counting import counted


def verdict(loss: Loss) -> str:
    """Return what the death of a class's largest hosts leads to, in one sentence."""
    dies = "dies" if len(loss.hosts) == 1 else "die"
    hosts = ", ".join(loss.hosts[:3]) + (" ..." if len(loss.hosts) > 3 else "")
    start = f"{loss.kind}: when {hosts} {dies}, "
    if not loss.homeless:
        return f"{start}all {counted(loss.instances, 'instance')} find room"
    sure = "proven, unless others move" if loss.proven else "a better packing might house more"
    verb = "finds" if len(loss.homeless) == 1 else "find"
    return (
        f"{start}{len(loss.homeless)} of {counted(loss.instances, 'instance')} {verb} no room "
        f"({sure}); {counted(loss.more, 'more such host')} would help"
    )


def in_days(days: float | None) -> str:
    """Return a span of days as people say it."""
    if days is None:
        return "not within ten years"
    if days <= 0:
        return "now"
    return f"in {days:.0f} days" if round(days) != 1 else "in a day"


def day(taken_at: float, days: float | None) -> str:
    """Return the date so many days after the pool was seen, ` (2026-11-22)`; empty if unknown."""
    if days is None or not taken_at:
        return ""
    return f" ({datetime.fromtimestamp(taken_at + days * 86_400, UTC):%Y-%m-%d})"
