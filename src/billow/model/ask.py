# SPDX-License-Identifier: Apache-2.0
"""What a person asks for of something that exists: a verb, a subject, and what the verb needs."""

from dataclasses import dataclass
from enum import StrEnum

from billow.errors import Invalid
from billow.model.kinds import MigrationPolicy
from billow.model.names import check_id
from billow.model.shape import Shape

LEAST_DOWNTIME_S = 0.02
"""No host hands a guest over in less, seconds."""
MOST_DOWNTIME_S = 60.0


class AskVerb(StrEnum):
    """What can be asked for directly."""

    START = "start"
    STOP = "stop"
    DELETE = "delete"
    MIGRATE = "migrate"
    RESIZE = "resize"
    THROTTLE = "throttle"
    SUSPEND = "suspend"
    RESUME = "resume"
    EVACUATE = "evacuate"
    CORDON = "cordon"
    UNCORDON = "uncordon"
    POWER_ON = "power-on"
    POWER_OFF = "power-off"
    FENCE = "fence"
    ALLOT = "allot"
    REPAIR = "repair"

    @property
    def noun(self) -> str:
        """Return what it is asked of: `host` or `instance`."""
        return "host" if self in _OF_HOSTS else "instance"


_OF_HOSTS = (
    AskVerb.CORDON,
    AskVerb.UNCORDON,
    AskVerb.POWER_ON,
    AskVerb.POWER_OFF,
    AskVerb.FENCE,
    AskVerb.ALLOT,
    AskVerb.REPAIR,
)


@dataclass(frozen=True, slots=True)
class Ask:
    """One direct request.

    Attributes:
        subject: The name of an instance, or of a host for the last seven verbs.
        target: The host to migrate to; empty lets placement choose.
        migration: What may be done so that a migration ends; None for as the instance says.
        downtime_s: How long a migrated instance may stand still; None for as the pool says.
        shape: The new shape of a resize.
        cpus: What a throttled instance may use; 0 lifts its limit.
        cpu_ratio, memory_ratio: What an allotted host sells per physical CPU and MiB; None keeps
            the ratio that it has.
        why: What the plan gives as the reason; for `cordon` also what the host says.
    """

    verb: AskVerb
    subject: str
    target: str = ""
    shape: Shape | None = None
    why: str = ""
    cpus: float | None = None
    cpu_ratio: float | None = None
    memory_ratio: float | None = None
    migration: MigrationPolicy | None = None
    downtime_s: float | None = None

    def __post_init__(self) -> None:
        check_id("subject", self.subject)
        if self.target:
            check_id("target host", self.target)
        promised = LEAST_DOWNTIME_S if self.downtime_s is None else self.downtime_s
        if not LEAST_DOWNTIME_S <= promised <= MOST_DOWNTIME_S:
            raise Invalid(
                f"a downtime of {promised:g} s cannot be promised",
                fix=f"give {LEAST_DOWNTIME_S:g} to {MOST_DOWNTIME_S:g} seconds",
            )
