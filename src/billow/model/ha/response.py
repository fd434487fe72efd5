# SPDX-License-Identifier: Apache-2.0
"""What a row of the decision table asks for, what a controller does for it, and how that went."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from billow.model.ha.evidence import Network
from billow.model.ha.incident import Incident, Method, Recovery


class Grace(StrEnum):
    """How long a row must hold before anything is ended for it; a policy knows the seconds."""

    NONE = "none"
    STORAGE = "storage"
    """Storage may be failing over by itself."""
    ISOLATION = "isolation"
    """Users are cut off, and the disks are held."""
    HUNG = "hung"
    """No agent speaks, and the kernel answers: what is frozen may go on by itself."""


class Severity(StrEnum):
    """How loudly people are told."""

    NONE = "none"
    NOTICE = "notice"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One row's right-hand side.

    Attributes:
        row: 1 to 192.
        fence: Ways to a proof, in the order in which they are tried; empty where none is wanted.
        cordon: Whether nothing new may come to the host.
        distrust: Whether what the management controller says is not to be believed.
        advice: What is done and what a person should do, one sentence.
    """

    row: int
    diagnosis: str
    recovery: Recovery
    fence: tuple[Method, ...] = ()
    grace: Grace = Grace.NONE
    cordon: bool = False
    distrust: bool = False
    severity: Severity = Severity.NONE
    advice: str = ""


@dataclass(frozen=True, slots=True)
class AskAgent:
    """Let the agent end its instances and say so.

    Attributes:
        fence: The controller's; the agent refuses an older one than it has obeyed.
    """

    host: str
    over: Network
    fence: int


@dataclass(frozen=True, slots=True)
class CutPower:
    """Turn a host off by its management controller, inhibit its return, and read off twice."""

    host: str


@dataclass(frozen=True, slots=True)
class StartElsewhere:
    """Start an instance of a fenced host on another one; who holds an older epoch is refused."""

    instance: str
    source: str
    target: str
    epoch: int


@dataclass(frozen=True, slots=True)
class MoveAway:
    """Move what runs on a living host to others, live.

    Attributes:
        at_once: As many as the links carry, and by force where a live move fails twice.
    """

    host: str
    at_once: bool


@dataclass(frozen=True, slots=True)
class CloseOff:
    """Cordon a host, or open it again."""

    host: str
    closed: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Clean:
    """Let a host that came back remove what runs elsewhere by now, before it counts.

    Attributes:
        boot: In which it came back; in a later one it refuses, however late the order comes.
    """

    host: str
    over: Network
    fence: int
    boot: str = ""


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell people; the key makes a repeated telling one alarm."""

    key: str
    severity: Severity
    text: str


Deed: TypeAlias = AskAgent | CutPower | StartElsewhere | MoveAway | CloseOff | Clean | Tell
"""What a controller does outside; each may be done twice without harm."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a deed ended. While that is not certain, there is no answer.

    Attributes:
        deed: Which.
        ok: It is done, and was read back. Not ok: it is certain that it has no effect, or, for a
            try to get a proof, that it gave none.
        at: When, seconds since the epoch.
        gone: For AskAgent and Clean, the instances that run there no more.
    """

    deed: Deed
    ok: bool
    at: float
    text: str = ""
    gone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """One step of an incident.

    Attributes:
        incident: The record as it shall be, made durable by compare-and-set before the deeds.
        deeds: What is then done.
        why: What made this step right, one sentence.
    """

    incident: Incident
    deeds: tuple[Deed, ...] = ()
    why: str = ""
