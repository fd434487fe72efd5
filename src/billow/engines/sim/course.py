# SPDX-License-Identifier: Apache-2.0
"""How accepted actions go: what they hold, how long they take, how they end.

Whether an action is accepted is decided elsewhere. Everything here happens in the agenda's time.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from billow.engines.sim.agenda import Agenda
from billow.engines.sim.brake import writers
from billow.engines.sim.effects import achieve
from billow.engines.sim.ground import Ground
from billow.engines.sim.network import Network
from billow.engines.sim.operation import Claim, Operation
from billow.engines.sim.precopy import Precopy, Turn
from billow.engines.sim.rules import blockers
from billow.engines.sim.timing import Timing
from billow.errors import Conflict, Lost, Refused
from billow.model.action import Action, Evacuate, Fence, Migrate, Place, Resize
from billow.model.kinds import State
from billow.model.migration import CANCELLED
from billow.ports import Trace

_BY_SCRIPT = "the script wants it to fail"


class Course:
    """The actions that are under way.

    Attributes:
        running: By action id.
        busy: Which action is under way on a subject.
        follow: Told of every action that was achieved.
    """

    def __init__(self, ground: Ground, network: Network, timing: Timing, agenda: Agenda) -> None:
        self.running: dict[str, Operation] = {}
        self.busy: dict[str, str] = {}
        self.follow: Callable[[Action], None] = lambda _: None
        self._ground = ground
        self._network = network
        self._timing = timing
        self._agenda = agenda

    def begin(self, operation: Operation) -> None:
        """Set an accepted action going: take its room, foresee its end."""
        action = operation.action
        operation.due = operation.starts + self._length(action)
        operation.claim = self._claim(action)
        self.running[action.id] = operation
        self.busy[action.subject] = action.id
        self._agenda.tell(f"{action.id} {action.name} {action.subject} begins")
        if operation.starts > self._agenda.now:
            self._agenda.schedule(operation.starts, partial(self._start, operation))
        else:
            self._start(operation)

    def interrupt(self, host: str, why: str) -> None:
        """Let every action fail that needs a host, save those on the host itself."""
        for operation in list(self.running.values()):
            if host in operation.action.hosts and operation.action.subject != f"host/{host}":
                self._fail(operation, why)

    def cancel(self, operation: Operation) -> None:
        """Take a migration back. Raises Conflict: it is something else, or can only end now."""
        action, copy = operation.action, operation.copy
        if not isinstance(action, Migrate):
            raise Conflict(f"{action.name} of {action.subject} cannot be taken back")
        if copy is not None and (copy.switching or copy.pulling):
            raise Conflict(f"{action.instance} is being handed over", fix="wait for the end")
        self._fail(operation, "it was cancelled", CANCELLED)

    def _claim(self, action: Action) -> Claim | None:
        """Take the room that an action needs on its new host."""
        match action:
            case Place():
                claim = Claim(action.instance.shape, action.host, action.nodes)
            case Migrate() | Evacuate():
                there = self._ground.instance(action.instance)
                if there is None:
                    return None
                claim = Claim(there.shape, action.target, action.target_nodes)
            case _:
                return None
        self._ground.hold(claim.shape, claim.host, claim.nodes)
        return claim

    def _length(self, action: Action) -> float:
        """Return how long an action takes that copies nothing; 0 when the world is so already."""
        return 0.0 if self._holds_already(action) else self._timing.of(action)

    def _holds_already(self, action: Action) -> bool:
        for expected in action.achieves:
            kind, _, name = expected.subject.partition("/")
            find = self._ground.host if kind == "host" else self._ground.instance
            there = find(name)
            if there is None or str(getattr(there, expected.field, "")) != expected.value:
                return False
        return bool(action.achieves)

    def _start(self, operation: Operation) -> None:
        if operation.trace is not Trace.RUNNING:
            return
        if self._copies(operation.action):
            operation.flows_at = operation.due = self._agenda.now + self._timing.setup_s
            self._agenda.schedule(operation.due, partial(self._begin_copy, operation))
            return
        length = operation.due - operation.starts
        if not math.isnan(operation.strike.fails_at):
            fails_at = operation.starts + operation.strike.fails_at * length
            self._agenda.schedule(fails_at, partial(self._fail, operation, _BY_SCRIPT))
        elif length <= 0:
            self._finish(operation)
            return
        self._agenda.schedule(operation.due, partial(self._finish, operation))

    def _copies(self, action: Action) -> bool:
        """Return whether something flows: memory in a live migration, or a disk."""
        there = self._ground.instance(action.instance) if isinstance(action, Migrate) else None
        return there is not None and (there.state is not State.STOPPED or there.carried_mib > 0)

    def _begin_copy(self, operation: Operation) -> None:
        if operation.trace is not Trace.RUNNING:
            return
        operation.copy = self._copy(operation)
        if operation.copy is not None:
            self._flow(self._network.join(operation.action.id, operation.copy))

    def _copy(self, operation: Operation) -> Precopy | None:
        """Return the memory flow of a live migration; None when its instance is gone."""
        action = operation.action
        there = self._ground.instance(action.instance) if isinstance(action, Migrate) else None
        if not isinstance(action, Migrate) or there is None:
            return None
        dirty = there.dirty_mib_s if there.state is State.RUNNING else 0.0
        memory = 0 if there.state is State.STOPPED else there.shape.memory_mib
        return Precopy(
            action.source,
            action.target,
            float(memory),
            0.0 if math.isnan(dirty) else dirty,
            self._timing,
            self._agenda.now,
            operation.strike.fails_at,
            action.policy or there.migration,
            writers(there),
            math.nan if action.downtime_s is None else action.downtime_s,
            there.carried_mib,
        )

    def _flow(self, copies: dict[str, tuple[Precopy, float]]) -> None:
        """Give copies the rate that they have now, and foresee when their stretches end."""
        for name, (copy, rate) in copies.items():
            if not copy.switching:
                copy.flow(rate, self._agenda.now)
                self._foresee(self.running[name], copy)

    def _foresee(self, operation: Operation, copy: Precopy) -> None:
        operation.version += 1
        operation.due = copy.turns_at
        turn = partial(self._turn, operation, copy, operation.version)
        self._agenda.schedule(operation.due, turn)

    def _turn(self, operation: Operation, copy: Precopy, version: int) -> None:
        if operation.trace is not Trace.RUNNING or operation.version != version:
            return
        if copy.switching and copy.fetches:
            self._hand_over(operation, copy)
            return
        if copy.switching or copy.pulling:
            operation.last = copy.end(self._agenda.now)
            self._finish(operation)
            return
        turn = copy.turn(self._agenda.now)
        if turn is Turn.STRUCK:
            self._fail(operation, _BY_SCRIPT)
        elif turn is Turn.STUCK:
            why = copy.brake.course.why or f"policy {copy.policy}"
            writes = f"it writes {copy.dirty_now:g} MiB/s, {copy.rate:g} are carried"
            self._fail(operation, f"{writes}, and nobody slows it down enough ({why})")
        else:
            self._foresee(operation, copy)

    def _hand_over(self, operation: Operation, copy: Precopy) -> None:
        """Let a post-copied instance run on its target; from here there is no way back."""
        name, claim = operation.action.id, operation.claim
        copy.arrive(self._agenda.now)
        if claim is not None:
            self._ground.let_go(claim.shape, claim.host, claim.nodes)
            operation.claim = None
        achieve(self._ground, operation.action)
        self._flow(self._network.leave(name))
        self._flow(self._network.join(name, copy))

    def _finish(self, operation: Operation) -> None:
        """Make it true, unless its room was taken meanwhile."""
        if operation.trace is not Trace.RUNNING:
            return
        action = operation.action
        late = blockers(self._ground, action) if isinstance(action, Resize) else []
        if late:
            self._fail(operation, late[0].reason)
            return
        is_there = operation.copy is not None and operation.copy.pulling
        self._end(operation, Trace.DONE)
        if isinstance(action, Fence):
            self.interrupt(action.host, f"host {action.host} was fenced")
        if not is_there:
            achieve(self._ground, action)
        self.follow(action)

    def _fail(self, operation: Operation, why: str, code: str = Refused.code) -> None:
        if operation.trace is not Trace.RUNNING:
            return
        action = operation.action
        brief = f"{action.name} of {action.subject} failed: {why}"
        operation.error = Refused(brief, code=code)
        if operation.copy is not None and operation.copy.pulling:
            operation.error = self._bereave(operation, why)
        self._end(operation, Trace.FAILED)

    def _bereave(self, operation: Operation, why: str) -> Lost:
        """Let a guest be lost whose memory lay on two hosts; return the error that says so."""
        action = operation.action
        there = self._ground.instance(action.instance) if isinstance(action, Migrate) else None
        if there is not None:
            self._ground.put(replace(there, state=State.FAILED))
        brief = f"{action.subject} is lost: {why} before all of its memory had arrived"
        return Lost(brief, fix="start it anew where it is; post_copy risks this", code="guest-lost")

    def _end(self, operation: Operation, trace: Trace) -> None:
        action, claim = operation.action, operation.claim
        operation.trace, operation.due = trace, self._agenda.now
        del self.running[action.id]
        del self.busy[action.subject]
        if claim is not None:
            self._ground.let_go(claim.shape, claim.host, claim.nodes)
            operation.claim = None
        self._agenda.tell(f"{action.id} {action.name} {action.subject} {trace}")
        if operation.copy is not None:
            self._flow(self._network.leave(action.id))
            operation.copy = None
