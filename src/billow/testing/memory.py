# SPDX-License-Identifier: Apache-2.0
"""A journal, a lease and a witness in memory, for tests and benchmarks that need no store.

What is written is gone with the process: never a substitute where something must survive.
"""

from collections.abc import Sequence

from billow.errors import Conflict, NotFound
from billow.model.event import Event
from billow.model.plan import Plan
from billow.model.run import Entry, Phase, Progress, Run, RunState
from billow.ports import Lease


class MemoryJournal:
    """Fulfils `billow.ports.Journal`; keeps what was written in its order.

    Attributes:
        written: Every write of an action, as `(word, action id)`.
        runs: By id.
    """

    def __init__(self) -> None:
        self.written: list[tuple[str, str]] = []
        self.runs: dict[str, tuple[Run, Plan]] = {}
        self._ended: set[str] = set()

    async def begin(self, run: Run, plan: Plan) -> None:
        """Record a run. Raises Conflict when its plan was used before."""
        if any(known.id == plan.id for _, known in self.runs.values()):
            raise Conflict(f"plan {plan.id} was carried out before")
        self.runs[run.id] = run, plan

    async def intend(self, run_id: str, action_id: str, *, fence: int, at: float) -> None:  # noqa: ARG002
        """Record that an action is about to be performed."""
        self.written.append(("intend", action_id))
        self.runs[run_id][0].entries[action_id] = Entry(action_id, Phase.INTENDED, at)

    async def progress(self, run_id: str, action_id: str, progress: Progress) -> None:
        """Forget how far an action is."""

    async def conclude(self, run_id: str, entry: Entry, *, fence: int) -> None:  # noqa: ARG002
        """Record an action's outcome."""
        self.written.append((str(entry.phase), entry.action_id))
        self.runs[run_id][0].entries[entry.action_id] = entry

    async def end(self, run_id: str, state: RunState, *, text: str, at: float, fence: int) -> None:  # noqa: ARG002
        """Record that the run has ended."""
        self._ended.add(run_id)

    async def adopt(self, run_id: str, *, fence: int) -> None:
        """Take over a run."""

    async def open_runs(self) -> Sequence[Run]:
        """Return runs that began and did not end."""
        return [run for name, (run, _) in self.runs.items() if name not in self._ended]

    async def plan(self, plan_id: str) -> Plan:
        """Return a plan. Raises NotFound."""
        for _, plan in self.runs.values():
            if plan.id == plan_id:
                return plan
        raise NotFound(f"no plan {plan_id}")


class MemoryLeases:
    """Fulfils `billow.ports.Leases` for one controller: whoever asks has it, and for ever."""

    async def acquire(self, holder: str, ttl_s: float, now: float) -> Lease:
        """Give the lease away for a long time."""
        return Lease(holder, 1, now + 1e9 * ttl_s)

    async def renew(self, lease: Lease, ttl_s: float, now: float) -> Lease:  # noqa: ARG002
        """Keep the lease."""
        return lease

    async def release(self, lease: Lease) -> None:
        """Take nothing back."""


class MemoryWitness:
    """Fulfils `billow.ports.Witness`; keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def tell(self, event: Event) -> None:
        """Keep an event."""
        self.events.append(event)
