# SPDX-License-Identifier: Apache-2.0
"""What people and other systems are told: once per key, however often it is said."""

from dataclasses import dataclass

from billow.model.ha.response import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One thing to tell.

    Attributes:
        key: The same thing told again has the same key.
        at: Seconds since the epoch.
        host, incident: What it is about; empty for the pool.
        epoch: The incident's version when it was told; a later one is newer.
    """

    key: str
    severity: Severity
    text: str
    at: float
    host: str = ""
    incident: str = ""
    epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How far an alarm is on its way through one channel.

    Attributes:
        channel: `webhook`, `cmdb` or `mail`.
        tries: How often it was tried in vain.
        next_at: When it is tried again, seconds since the epoch.
        delivered_at: When it was taken; 0 while it was not.
        error: Why the last try failed.
    """

    alarm: Alarm
    channel: str
    tries: int = 0
    next_at: float = 0.0
    delivered_at: float = 0.0
    error: str = ""
