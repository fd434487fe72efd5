# SPDX-License-Identifier: Apache-2.0
"""An incident: what one host's failure is, what was proved, and what became of its instances.

It is the record that every controller reads and that only a compare-and-set changes, so any of them
can go on where another stopped. All of it is hashable: the model checker walks over it.
"""

from dataclasses import dataclass
from enum import StrEnum

from billow.model.ha.evidence import Network


class Phase(StrEnum):
    """Where an incident stands."""

    NOTED = "noted"
    """Something is wrong that asks for a person or a repair, and for nothing else."""
    MOVING = "moving"
    """The host lives: its instances are moved away live."""
    WAITING = "waiting"
    """Its instances must be started elsewhere: the grace runs, or a gate is shut."""
    FENCING = "fencing"
    """Proof is sought that nothing of it runs any more."""
    RECOVERING = "recovering"
    """It is proved: its instances are started elsewhere."""
    QUARANTINE = "quarantine"
    """They run elsewhere; the host must come back clean before it counts."""
    CLOSED = "closed"

    @property
    def open(self) -> bool:
        """Whether something may still be done for it."""
        return self is not Phase.CLOSED


class Method(StrEnum):
    """A way to prove that nothing of a host runs any more. A time-out is never a proof."""

    AGENT = "agent"
    """Its agent killed its instances and says so."""
    GASP = "gasp"
    """Its dying kernel said so."""
    BMC = "bmc"
    """Its management controller turned it off, and it reads off twice."""
    LEASE = "lease"
    """Its watchdog must have reset it: the lease is over, and the margin."""
    WORD = "word"
    """A person saw that it is off, and says so by name."""


class Recovery(StrEnum):
    """What is done for the instances of a host."""

    NONE = "none"
    DRAIN = "drain"
    """Moved away live, one after the other."""
    MOVE = "move"
    """Moved away live, at once."""
    RESTART = "restart"
    """Started elsewhere, after proof."""


@dataclass(frozen=True, slots=True)
class Proof:
    """That nothing of a host runs any more, and how that is known."""

    method: Method
    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to get a proof.

    Attributes:
        fence: The fence of the controller that began it; an older one's try is made again.
        over: For AGENT, the network on which it is asked.
        failed: Why it gave no proof; empty while it is under way, or after it gave one.
    """

    method: Method
    began_at: float
    fence: int
    over: Network | None = None
    failed: str = ""


class Fate(StrEnum):
    """What became of an instance of a failed host."""

    WAITING = "waiting"
    STARTING = "starting"
    STARTED = "started"
    LEFT = "left"
    """It cannot be started elsewhere; `why` says so."""


@dataclass(frozen=True, slots=True)
class Victim:
    """An instance that ran on a failed host.

    Attributes:
        band: Lower bands start first (0 is the first).
        target: Where it is being started, or was.
        epoch: Rises with each try: a storage lock and an engine refuse an older one.
        fence: The fence of the controller that began the try.
        why: Why it was left, or why the last try failed.
    """

    instance: str
    band: int = 0
    fate: Fate = Fate.WAITING
    target: str = ""
    epoch: int = 0
    fence: int = 0
    began_at: float = 0.0
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One failure of one host, from the first verdict to the end.

    Attributes:
        row: The row of the decision table that it stands under now, 1 to 192.
        version: Rises with each change; a compare-and-set names the one it has read.
        since: Since when the row holds, seconds since the epoch.
        held: Why it goes on only with a person's word or with new evidence; empty otherwise.
        cut: Whether power was, or may have been, ordered off: then a return is no reason to stop.
        boot: The boot under which its instances ran; empty when that was not known.
        asked: Whether its agent was asked to end its instances: it may have done so though nobody
            heard its answer, and only a proof can tell.
        attempts: Tries to get a proof, oldest first; all are forgotten when it begins once more.
        suspected_at: When a network of it was agreed to be lost, or its instances had to go, last;
            0 for never. Storms and flapping are counted from it.
        distrust: Whether its management controller said "off" while it was heard: nothing that it
            says is believed for the rest of this incident.
        cordoned: Whether it was closed to new instances for this incident.
        released: Whose word lets it go on though a gate for many hosts is shut; empty for nobody's.
        vouched: Whose word it is that the host is dead; empty for nobody's.
        noticed: Problems that were told to people already (`alarm keys`), each once.
    """

    id: str
    host: str
    opened_at: float
    row: int
    since: float
    phase: Phase
    version: int = 1
    recovery: Recovery = Recovery.NONE
    held: str = ""
    cut: bool = False
    asked: bool = False
    boot: str = ""
    attempts: tuple[Attempt, ...] = ()
    proof: Proof | None = None
    victims: tuple[Victim, ...] = ()
    suspected_at: float = 0.0
    distrust: bool = False
    cordoned: bool = False
    released: str = ""
    vouched: str = ""
    noticed: tuple[str, ...] = ()
    closed_at: float = 0.0
    outcome: str = ""
