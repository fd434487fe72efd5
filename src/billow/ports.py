# SPDX-License-Identifier: Apache-2.0
"""What the outside must provide, as protocols: nothing here does anything.

An engine is where a pool lives; a capability is why a pool changes; the journal is what must be
known before anything is done; the clock is the only time there is. Engines and capabilities have
contract suites in `billow.testing`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar, runtime_checkable

from billow.model.action import Action
from billow.model.assessment import Assessment, Guest
from billow.model.event import Event
from billow.model.ha.alarm import Alarm, Delivery
from billow.model.ha.care import Drill, Maintenance, Reach
from billow.model.ha.evidence import Network
from billow.model.ha.incident import Incident
from billow.model.ha.step import IncidentStep
from billow.model.ha.view import View
from billow.model.kinds import Power
from billow.model.plan import Plan, Proposal
from billow.model.policy import Policy
from billow.model.pool import Pool
from billow.model.report import Report
from billow.model.run import Entry, Progress, Run, RunState

Policy_contra = TypeVar("Policy_contra", bound=Policy, contravariant=True)


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> float:
        """Return seconds since the epoch."""

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds of this clock."""


class Trace(StrEnum):
    """What became of an action, as far as its engine knows."""

    UNKNOWN = "unknown"
    """The engine never saw it, or it left nothing behind: it can be performed (again)."""
    RUNNING = "running"
    """It is under way; `perform` with the same id joins it."""
    DONE = "done"
    FAILED = "failed"
    """It ended without effect; the world is as before."""


@dataclass(frozen=True, slots=True)
class Blocker:
    """Why an action must not be done now, and what would lift that."""

    reason: str
    fix: str = ""


class Engine(Protocol):
    """Where a pool lives.

    Laws, checked by `billow.testing.engine_contract`:

    - `perform` is idempotent by action id: a known id joins the action or repeats its outcome.
    - `perform` refuses a fence below the highest seen (Leased), across restarts of either side.
    - when `perform` raises Refused, the world is as before; after Lost, `find` tells.
    - it raises `billow.errors` types only.
    """

    @property
    def name(self) -> str:
        """The engine's name in settings and messages."""

    @property
    def verbs(self) -> frozenset[type[Action]]:
        """What it can perform."""

    async def sense(self) -> Pool:
        """Return the pool as it is now; what could not be seen is a gap. Raises Unavailable."""

    async def blockers(self, action: Action) -> Sequence[Blocker]:
        """Return why the action must not be performed now; empty when it may.

        Changes nothing and takes seconds at most.
        """

    def perform(self, action: Action, *, fence: int) -> AsyncIterator[Progress]:
        """Do it; yield how far it is. The end of the iteration means success.

        Raises:
            Leased: the fence is older than one already seen.
            Refused: it was not done and the world is as before.
            Lost: it may or may not have been done.
            Unavailable: the engine did not answer; nothing was begun.
        """

    async def find(self, action_id: str) -> Trace:
        """Return what became of an action; survives restarts."""

    async def aclose(self) -> None:
        """Let go of connections; the pool runs on."""


@runtime_checkable
class Assessor(Protocol):
    """An engine that can measure a move beforehand."""

    async def assess(self, instance: str, target: str) -> Assessment:
        """Measure how an instance writes and what the link to a host carries. Changes nothing.

        Takes seconds at most.

        Raises:
            NotFound: no such instance here.
            Invalid: it is on that host already.
            Unavailable: it could not be measured now.
        """


@runtime_checkable
class Weigher(Protocol):
    """An engine that can say beforehand what there is to copy of an instance."""

    async def weigh(self, instance: str) -> Guest:
        """Measure how an instance writes and how much of its memory is in use; sends nothing.

        Takes seconds at most.

        Raises:
            NotFound: no such instance here.
            Unavailable: it could not be measured now.
        """


@runtime_checkable
class Canceller(Protocol):
    """An engine that can take back what it is doing."""

    async def cancel(self, action_id: str) -> None:
        """Take an action back that is under way; return when the world is as before.

        Whoever follows it gets Refused with the code `cancelled`.

        Raises:
            NotFound: it is not under way here.
            Conflict: it can no longer be taken back: it ends by itself, or cannot be cancelled.
        """


@runtime_checkable
class Rehearsed(Protocol):
    """Who reaches hosts' management controllers over several paths, and can try each."""

    async def rehearse(self, host: str) -> str:
        """Read a host's power over every path; return what each showed. Changes nothing.

        Raises as `Bmc.power` when none of them gives a reading that counts.
        """


@runtime_checkable
class Bmc(Protocol):
    """Who reaches the management controllers of hosts: proof by power.

    Laws, checked by `billow.testing.bmc_contract`:

    - whatever is read counts only with the identity that the host had while it was healthy;
    - an answer that does not come says nothing; that a host is off already is no failure;
    - `off` only ever turns off: any controller may repeat it, at any time, with any fence.
    """

    async def power(self, host: str) -> Power:
        """Return what a host's management controller reads now.

        Raises:
            NotFound: none is known of this host.
            Unavailable: no answer came, on no path.
            Refused: it answered no, or it is another host's (code `wrong-host`).
        """

    async def off(self, host: str) -> str:
        """Turn a host off, inhibit its return, and read `off` twice, 1 s apart; return how.

        The returned sentence is the proof. The host's return is inhibited where that can be done,
        and the sentence says where not.

        Raises:
            NotFound: no management controller of this host is known.
            Unavailable: no answer came, or it did not read off in time: nothing is proved.
            Refused: it answered no, or it is another host's (code `wrong-host`).
        """

    async def on(self, host: str) -> None:
        """Let a host return, turn it on, and read that. Raises as `off`."""

    async def identity(self, host: str) -> str:
        """Return the system UUID, or the serial number, that a controller reads. Raises as `power`.

        It is not compared with anything: that is how it is recorded while the host is healthy.
        """


class Capability(Protocol[Policy_contra]):
    """Why a pool changes. Pure: no I/O, no clock, no dice."""

    @property
    def name(self) -> str:
        """Its name in the CLI and in plans."""

    @property
    def policy(self) -> type[Policy]:
        """The model of its policy; its defaults are a working policy."""

    def propose(self, pool: Pool, policy: Policy_contra, /) -> Proposal:
        """Return what it wants of this pool. Deterministic; the second time, nothing."""


class Mending(Protocol[Policy_contra]):
    """Whose thinking takes so long that the pool may change meanwhile. Pure, as a capability is."""

    def mended(self, pool: Pool, proposal: Proposal, policy: Policy_contra, /) -> Proposal:
        """Return what is left of a proposal in the pool as it is now, and what takes its place."""


class Reporting(Protocol[Policy_contra]):
    """Who can say something of a pool without changing it. Pure, as a capability is."""

    @property
    def name(self) -> str:
        """The capability's name, and the report's."""

    @property
    def policy(self) -> type[Policy]:
        """The model of its policy; its defaults are a working policy."""

    def report(self, pool: Pool, policy: Policy_contra, /) -> Report:
        """Return what it has to say of this pool. Deterministic."""


class Journal(Protocol):
    """What is known before anything is done: a method returns when its entry is durable."""

    async def begin(self, run: Run, plan: Plan) -> None:
        """Record that a plan is being carried out, and use the plan up.

        Raises:
            Conflict: the plan was carried out before (plans are single-use).
            Leased: the run's fence is older than the lease's.
        """

    async def intend(self, run_id: str, action_id: str, *, fence: int, at: float) -> None:
        """Record that an action is about to be performed. Raises Leased when the fence is old."""

    async def progress(self, run_id: str, action_id: str, progress: Progress) -> None:
        """Record how far an action is; may be dropped, never reordered after its outcome."""

    async def conclude(self, run_id: str, entry: Entry, *, fence: int) -> None:
        """Record an action's outcome (done, failed, skipped). Raises Leased."""

    async def end(self, run_id: str, state: RunState, *, text: str, at: float, fence: int) -> None:
        """Record that the run has ended. Raises Leased."""

    async def adopt(self, run_id: str, *, fence: int) -> None:
        """Take over an unfinished run under a newer fence. Raises Leased."""

    async def open_runs(self) -> Sequence[Run]:
        """Return runs that began and did not end, oldest first."""

    async def plan(self, plan_id: str) -> Plan:
        """Return a recorded plan. Raises NotFound."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to carry plans out.

    Attributes:
        holder: Who has it, unique per process; empty when nobody has.
        fence: Rises by one at each change of holder; an engine and the journal refuse older ones.
        until: When others may take it, seconds since the epoch.
    """

    holder: str
    fence: int
    until: float


class Leases(Protocol):
    """Where the one lease is kept."""

    async def acquire(self, holder: str, ttl_s: float, now: float) -> Lease | None:
        """Take the lease when it is free or over; None while somebody holds it."""

    async def renew(self, lease: Lease, ttl_s: float, now: float) -> Lease:
        """Keep it until `now + ttl_s`. Raises Leased when somebody else has it."""

    async def release(self, lease: Lease) -> None:
        """Give it back, so that another need not wait."""


class Witness(Protocol):
    """Who is told what happens: the event stream."""

    async def tell(self, event: Event) -> None:
        """Record and publish an event."""


class Incidents(Protocol):
    """Where failures of hosts are kept: each step is one compare-and-set under the lease."""

    async def open_incident(self, step: IncidentStep) -> None:
        """Record the first step of a new incident, and what it tells people.

        Raises:
            Conflict: the host has an open incident.
            Leased: the step's fence is not the lease's.
        """

    async def advance_incident(self, step: IncidentStep) -> None:
        """Record a step, and what it tells people.

        Raises:
            Conflict: the record is not the one any more that the step was decided for.
            Leased: the step's fence is not the lease's.
        """

    async def open_incidents(self) -> Sequence[Incident]:
        """Return the incidents that are open, oldest first."""

    async def closed_incidents(self, since: float) -> Sequence[Incident]:
        """Return the incidents that were closed at or after a time, oldest first."""


@runtime_checkable
class Observer(Protocol):
    """A source of evidence about hosts: agents' beats, a gossip ring, a simulated world."""

    def view(self, now: float) -> View:
        """Return when it heard whom last, and what agents said."""


@runtime_checkable
class Commander(Protocol):
    """Where agents take orders."""

    async def order(
        self, host: str, network: Network, body: Mapping[str, object]
    ) -> Mapping[str, object]:
        """Send an agent an order over a network and return its answer. Raises Unavailable."""


class Board(Protocol):
    """Where controllers tell each other what they see."""

    async def publish(self, view: View) -> None:
        """Tell what this controller sees; return when all others can read it."""

    async def views(self) -> Sequence[View]:
        """Return what every controller told last, with how long ago that was."""


class Care(Protocol):
    """What people said of hosts beforehand."""

    async def maintenances(self, now: float) -> Sequence[Maintenance]:
        """Return those in force, oldest first."""

    async def begin_maintenance(self, maintenance: Maintenance) -> None:
        """Leave hosts alone from now on."""

    async def end_maintenance(self, reach: Reach, name: str, *, by: str, at: float) -> Maintenance:
        """End the one of this name that is in force. Raises NotFound."""

    async def record_drill(self, drill: Drill) -> None:
        """Keep how a rehearsal went, in the place of the last one of its host and method."""

    async def drills(self) -> Sequence[Drill]:
        """Return how each way to a proof was rehearsed last."""


class Outbox(Protocol):
    """Where alarms wait until each channel has taken them."""

    async def add_alarm(self, alarm: Alarm) -> None:
        """Keep an alarm until it is delivered; a key that is known changes nothing."""

    async def due(
        self, channel: str, *, now: float, since: float = 0.0, limit: int = 100
    ) -> Sequence[Delivery]:
        """Return what a channel shall send now, oldest first; nothing told before `since`."""

    async def record_delivery(self, delivery: Delivery) -> None:
        """Keep how far an alarm is on its way."""
