# SPDX-License-Identifier: Apache-2.0
"""The simulated world: a deterministic function of its pool and of what was submitted when.

Time passes only when somebody looks (`advance`), and looking never changes what happens: memory
flows and ends fall due by the order of a queue of events, so the same submissions give the same
world whoever watches, and a world that is replayed from its log is the same world. It must not read
a clock or roll dice.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Self

from billow.engines.sim.effects import achieve
from billow.engines.sim.ground import Ground
from billow.engines.sim.network import Network
from billow.engines.sim.operation import Claim, Operation, Strike
from billow.engines.sim.precopy import Precopy, Turn
from billow.engines.sim.rules import blockers
from billow.engines.sim.timing import Timing
from billow.errors import Invalid, Leased, Refused
from billow.model.action import Action, Migrate, Place, PowerOff, Resize
from billow.model.kinds import State
from billow.model.pool import Pool
from billow.ports import Blocker, Trace

_REMEMBERED = 10_000


class World:
    """Hosts, instances, links and what is under way, at one moment of its own time.

    Attributes:
        ground: What is true now.
        now: Seconds since the world began.
        speed: How many of the world's seconds pass in one of the clock's.
        began_at: What the clock said when the world began; None before the first look.
        operations: Every action that was ever accepted, by id.
        fence: The highest fence seen.
        history: The last things that happened: `(seconds, what)`.
    """

    def __init__(self, pool: Pool, timing: Timing | None = None, *, speed: float = 1.0) -> None:
        """Let a pool come to life. Linear in instances. Raises Invalid for a speed that is none."""
        if not 0 < speed < math.inf:
            raise Invalid(f"speed must be a number above 0, not {speed!r}", fix="1 is real time")
        self.ground = Ground(pool)
        self.timing = timing or Timing()
        self.now = 0.0
        self.speed = speed
        self.began_at: float | None = None
        self.fence = 0
        self.operations: dict[str, Operation] = {}
        self.history: deque[tuple[float, str]] = deque(maxlen=_REMEMBERED)
        self._network = Network(pool)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = count()
        self._running: dict[str, Operation] = {}
        self._busy: dict[str, str] = {}

    @classmethod
    def of(cls, pool: Pool) -> Self:
        """Let a pool come to life with the default timing."""
        return cls(pool)

    def look(self, clock_now: float) -> None:
        """Let the world come to where a clock is; the first look is its beginning."""
        if self.began_at is None:
            self.began_at = clock_now
        self.advance((clock_now - self.began_at) * self.speed)

    def advance(self, to: float) -> None:
        """Let everything happen that falls due until then; an earlier moment changes nothing."""
        while self._events and self._events[0][0] <= to:
            self.now, _, happen = heapq.heappop(self._events)
            happen()
        self.now = max(self.now, to)

    def schedule(self, at: float, happen: Callable[[], None]) -> None:
        """Let something happen at a moment; what has one moment happens as it was scheduled."""
        heapq.heappush(self._events, (max(at, self.now), next(self._sequence), happen))

    def pool(self) -> Pool:
        """Return the pool as it is now; the same object when nothing changed."""
        return self.ground.fold()

    def blockers(self, action: Action) -> list[Blocker]:
        """Return why an action would be refused now."""
        busy = self._busy.get(action.subject)
        found = blockers(self.ground, action)
        if busy is not None and busy != action.id:
            found.append(Blocker(f"{action.subject} is busy with action {busy}", "wait for it"))
        return [*found, *self._busy_hosts(action)]

    def submit(self, action: Action, fence: int, strike: Strike | None = None) -> Operation:
        """Accept an action now, or return the operation that it already is.

        Raises:
            Leased: the fence is older than one already seen.
            Refused: it must not be done now; nothing changed.
        """
        self._check_fence(fence)
        known = self.operations.get(action.id)
        if known is None:
            return self._accept(action, strike or Strike())
        if replace(known.action, reason="") != replace(action, reason=""):
            raise Refused(f"the id {action.id!a} belongs to another action", code="id-reused")
        return known

    def interrupt(self, host: str, why: str) -> None:
        """Let every action fail that is under way on a host."""
        for operation in list(self._running.values()):
            if host in operation.action.hosts and operation.action.subject != f"host/{host}":
                self._fail(operation, why)

    def tell(self, text: str) -> None:
        """Remember that something happened now."""
        self.history.append((self.now, text))

    def _check_fence(self, fence: int) -> None:
        if fence < self.fence:
            raise Leased(
                f"fence {fence} is older than {self.fence}",
                fix="another controller has taken over; stop this one",
            )
        self.fence = fence

    def _busy_hosts(self, action: Action) -> list[Blocker]:
        """Return what else under way on its hosts an action collides with."""
        found = [
            Blocker(f"{subject} is busy with action {self._busy[subject]}", "wait for it")
            for subject in (f"host/{host}" for host in action.hosts)
            if subject != action.subject and subject in self._busy
        ]
        if isinstance(action, PowerOff):
            found += [
                Blocker(f"action {operation.action.id} is under way on {action.host}")
                for operation in self._running.values()
                if action.host in operation.action.hosts and operation.action.id != action.id
            ]
        return found

    def _accept(self, action: Action, strike: Strike) -> Operation:
        found = self.blockers(action)
        if not action.id:
            found.append(Blocker("an action needs an id"))
        if found:
            raise Refused(
                f"{action.name} of {action.subject!a} is not possible: {found[0].reason}",
                tuple(blocker.reason for blocker in found),
                found[0].fix,
            )
        operation = Operation(action, self.now, strike, self.now + strike.hang_s)
        operation.due = operation.starts + self._length(action)
        operation.claim = self._claim(action)
        self.operations[action.id] = self._running[action.id] = operation
        self._busy[action.subject] = action.id
        self.tell(f"{action.id} {action.name} {action.subject} begins")
        if strike.hang_s > 0:
            self.schedule(operation.starts, partial(self._start, operation))
        else:
            self._start(operation)
        return operation

    def _claim(self, action: Action) -> Claim | None:
        """Take the room that an action needs on its new host."""
        match action:
            case Place():
                claim = Claim(action.instance.shape, action.host, action.nodes)
            case Migrate():
                there = self.ground.instance(action.instance)
                if there is None:
                    return None
                claim = Claim(there.shape, action.target, action.target_nodes)
            case _:
                return None
        self.ground.hold(claim.shape, claim.host, claim.nodes)
        return claim

    def _length(self, action: Action) -> float:
        """Return how long an action takes that copies nothing; 0 when the world is so already."""
        return self.timing.of(action) if not self._holds_already(action) else 0.0

    def _holds_already(self, action: Action) -> bool:
        subject = self.ground
        for expected in action.achieves:
            kind, _, name = expected.subject.partition("/")
            there = subject.host(name) if kind == "host" else subject.instance(name)
            if there is None or str(getattr(there, expected.field, "")) != expected.value:
                return False
        return bool(action.achieves)

    def _start(self, operation: Operation) -> None:
        if operation.trace is not Trace.RUNNING:
            return
        copy = self._copy(operation)
        if copy is not None:
            operation.copy = copy
            name = operation.action.id
            self._flow(self._network.join(name, copy))
            return
        fails_at = operation.strike.fails_at
        length = operation.due - operation.starts
        if not math.isnan(fails_at):
            fail = partial(self._fail, operation, "the script wants it to fail")
            self.schedule(operation.starts + fails_at * length, fail)
        elif length <= 0:
            self._finish(operation)
            return
        self.schedule(operation.due, partial(self._finish, operation))

    def _copy(self, operation: Operation) -> Precopy | None:
        """Return the memory flow of a live migration; None for all else."""
        action = operation.action
        there = self.ground.instance(action.instance) if isinstance(action, Migrate) else None
        if not isinstance(action, Migrate) or there is None or there.state is State.STOPPED:
            return None
        dirty = there.dirty_mib_s if there.state is State.RUNNING else 0.0
        return Precopy(
            action.source,
            action.target,
            float(there.shape.memory_mib),
            0.0 if math.isnan(dirty) else dirty,
            self.timing,
            self.now,
            operation.strike.fails_at,
        )

    def _flow(self, copies: dict[str, Precopy]) -> None:
        """Give copies the rate that they have now, and foresee when their stretches end."""
        for name, copy in copies.items():
            if not copy.switching:
                copy.flow(self._network.rate(copy), self.now)
                self._foresee(self._running[name], copy)

    def _foresee(self, operation: Operation, copy: Precopy) -> None:
        operation.version += 1
        operation.due = copy.turns_at
        self.schedule(operation.due, partial(self._turn, operation, copy, operation.version))

    def _turn(self, operation: Operation, copy: Precopy, version: int) -> None:
        if operation.trace is not Trace.RUNNING or operation.version != version:
            return
        if copy.switching:
            self._finish(operation)
            return
        turn = copy.turn(self.now)
        if turn is Turn.STRUCK:
            self._fail(operation, "the script wants it to fail")
        elif turn is Turn.STUCK:
            self._fail(operation, f"it writes {copy.dirty_now:g} MiB/s, more than can be copied")
        else:
            self._foresee(operation, copy)

    def _finish(self, operation: Operation) -> None:
        if operation.trace is not Trace.RUNNING:
            return
        if isinstance(operation.action, Resize):
            late = blockers(self.ground, operation.action)
            if late:
                self._fail(operation, late[0].reason)
                return
        self._end(operation, Trace.DONE)
        achieve(self.ground, operation.action)

    def _fail(self, operation: Operation, why: str) -> None:
        if operation.trace is not Trace.RUNNING:
            return
        action = operation.action
        operation.error = Refused(f"{action.name} of {action.subject} failed: {why}")
        self._end(operation, Trace.FAILED)

    def _end(self, operation: Operation, trace: Trace) -> None:
        action, claim = operation.action, operation.claim
        operation.trace, operation.due = trace, self.now
        del self._running[action.id]
        del self._busy[action.subject]
        if claim is not None:
            self.ground.let_go(claim.shape, claim.host, claim.nodes)
            operation.claim = None
        self.tell(f"{action.id} {action.name} {action.subject} {trace}")
        if operation.copy is not None:
            self._flow(self._network.leave(action.id, operation.copy))
