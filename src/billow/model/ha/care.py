# SPDX-License-Identifier: Apache-2.0
"""What people say of hosts beforehand: leave them alone for a while; how rehearsals went."""

from dataclasses import dataclass
from enum import StrEnum

from billow.model.ha.incident import Method


class Reach(StrEnum):
    """How far a maintenance goes."""

    HOST = "host"
    RACK = "rack"
    ZONE = "zone"
    POOL = "pool"
    """Everything: high availability is disarmed."""


def rack_name(zone: str, rack: str) -> str:
    """Return the full name of a rack: two zones may each have one of the same name."""
    return f"{zone}/{rack}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """Hosts for which failures are noted and explained, and nothing is ended or started.

    Attributes:
        name: Of the host, rack (`zone/rack`; in old records the rack alone, in whichever zone) or
            zone; empty for the pool.
        owner: Who asked for it.
        since, until: Seconds since the epoch; it ends by itself.
        ended_at: When it was ended before its time; 0 when it was not.
        ended_by: Who ended it.
    """

    id: str
    reach: Reach
    name: str
    owner: str
    why: str
    since: float
    until: float
    ended_at: float = 0.0
    ended_by: str = ""

    def holds(self, now: float) -> bool:
        """Whether it is in force."""
        return not self.ended_at and self.since <= now < self.until

    def covers(self, host: str, rack: str, zone: str) -> bool:
        """Whether a host is among those meant."""
        if self.reach is Reach.RACK:
            return bool(rack) and self.name in {rack_name(zone, rack), rack}
        named = {Reach.HOST: host, Reach.ZONE: zone, Reach.POOL: ""}
        return named[self.reach] == self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """One rehearsal of a way to prove that a host is dead.

    Attributes:
        ok: Whether it would have given a proof.
        at: Seconds since the epoch.
        took_s: How long it took.
    """

    host: str
    method: Method
    ok: bool
    at: float
    took_s: float = 0.0
    text: str = ""
