# SPDX-License-Identifier: Apache-2.0
"""What a pool promises its instances when they are moved, and what it asks of its network."""

from dataclasses import dataclass

from billow.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The terms of every move.

    Attributes:
        downtime_s: How long an instance may stand still.
        timeout_s: After so long a move is taken back.
        stall_s: A target that died behind an open connection never says so: when no byte flows for
            so long, the move is taken back.
        encrypted: Whether what goes from host to host is encrypted.
        kept_mib: What a source may keep of what it sent, so that of a page that is written again
            it sends only what changed; 0 to send pages whole.
    """

    downtime_s: float = 0.3
    timeout_s: float = 900.0
    stall_s: float = 30.0
    encrypted: bool = True
    kept_mib: int = 256


def terms_of(settings: Settings) -> Terms:
    """Return the terms that an operator set."""
    return Terms(
        downtime_s=settings.migration_downtime_s,
        timeout_s=settings.migration_timeout_s,
        stall_s=settings.migration_stall_s,
        encrypted=settings.migration_tls,
        kept_mib=settings.migration_kept_mib,
    )
