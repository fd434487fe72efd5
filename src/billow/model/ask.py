# SPDX-License-Identifier: Apache-2.0
"""What a person asks for of something that exists: a verb, a subject, and what the verb needs."""

from dataclasses import dataclass
from enum import StrEnum

from billow.model.names import check_id
from billow.model.shape import Shape


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
    CORDON = "cordon"
    UNCORDON = "uncordon"
    POWER_ON = "power-on"
    POWER_OFF = "power-off"
    ALLOT = "allot"

    @property
    def noun(self) -> str:
        """Return what it is asked of: `host` or `instance`."""
        return "host" if self in _OF_HOSTS else "instance"


_OF_HOSTS = (
    AskVerb.CORDON,
    AskVerb.UNCORDON,
    AskVerb.POWER_ON,
    AskVerb.POWER_OFF,
    AskVerb.ALLOT,
)


@dataclass(frozen=True, slots=True)
class Ask:
    """One direct request.

    Attributes:
        subject: The name of an instance, or of a host for the last five verbs.
        target: The host to migrate to; empty lets placement choose.
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

    def __post_init__(self) -> None:
        check_id("subject", self.subject)
        if self.target:
            check_id("target host", self.target)
