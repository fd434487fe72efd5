# SPDX-License-Identifier: Apache-2.0
"""One action, safely: nothing that the journal does not know, and nothing on an old premise.

lease held -> look again -> premise still true -> not frozen -> no blockers -> intent journalled
-> perform -> look again -> achieved -> outcome journalled. It never decides what to do.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import structlog

from billow.act.lease import Writer
from billow.act.premise import unmet
from billow.act.traffic import Traffic
from billow.errors import (
    BillowError,
    Blocked,
    Bug,
    EngineError,
    Leased,
    Lost,
    Refused,
    Stale,
    Unavailable,
)
from billow.model.action import Action, Migrate
from billow.model.event import Event, EventKind
from billow.model.policy import Limits
from billow.model.run import Entry, Phase, Progress
from billow.plan.reach import FIX, barred
from billow.ports import Blocker, Clock, Engine, Journal, Trace, Witness
from billow.sense.collect import Collector

PATIENCE_S = 60.0
"""How long an engine that does not answer is waited for."""
RETRY_WAIT_S = 1.0
REPORT = "please report this with the controller's log"
PROGRESS_EVERY_S = 0.5

log = structlog.get_logger()
Answer = TypeVar("Answer")


def blocked(action: Action, blockers: Sequence[Blocker]) -> Blocked:
    """Return the error that says why an engine would not do an action now."""
    fixes = "; ".join(dict.fromkeys(blocker.fix for blocker in blockers if blocker.fix))
    reasons = tuple(blocker.reason for blocker in blockers)
    return Blocked(
        f"{action.name} of {action.subject} is blocked: {reasons[0]}", reasons[1:], fixes
    )


@dataclass(frozen=True, slots=True)
class World:
    """Everything that acting needs from outside.

    Attributes:
        traffic: Where moves of all runs wait for their turn.
    """

    engine: Engine
    collector: Collector
    journal: Journal
    witness: Witness
    clock: Clock
    writer: Writer
    limits: Limits
    traffic: Traffic = field(default_factory=Traffic)


class Guard:
    """Carries single actions of one run through."""

    def __init__(self, world: World, run_id: str) -> None:
        self._world = world
        self._run_id = run_id
        self._reached: dict[str, Progress] = {}

    async def carry(self, action: Action, known: Phase) -> Entry:
        """Do one action, or find out what became of it, and return its journalled outcome.

        `known` is what the journal knows: `pending`, or `intended` by an earlier controller.

        Raises:
            Leased: another controller has taken over; nothing more may be done here.
        """
        started = self._world.clock.now()
        entry = Entry(action.id, Phase.DONE, started)
        try:
            await self._do(action, known)
        except Leased:
            raise
        except BillowError as error:
            entry = replace(entry, phase=Phase.FAILED, error=error.document())
        except Exception as error:
            log.exception("unexpected error in a step", action=action.id)
            bug = Bug(f"{action.name} ended in an unexpected error", (repr(error),), REPORT)
            entry = replace(entry, phase=Phase.FAILED, error=bug.document())
        reached = self._reached.pop(action.id, None)
        entry = replace(entry, ended_at=self._world.clock.now(), progress=reached)
        await self._conclude(entry)
        await self._tell_end(action, entry)
        return entry

    async def skip(self, action: Action, why: str, *, code: str = "skipped") -> Entry:
        """Journal that an action is not done, and why."""
        now = self._world.clock.now()
        entry = Entry(action.id, Phase.SKIPPED, now, now, error={"brief": why, "code": code})
        await self._conclude(entry)
        return entry

    async def _conclude(self, entry: Entry) -> None:
        """Journal an outcome; a database that is away for a while is waited for."""
        world = self._world
        await self._patiently(
            lambda: world.journal.conclude(self._run_id, entry, fence=world.writer.fence)
        )

    async def _do(self, action: Action, known: Phase) -> None:
        trace = await self._trace(action) if known is Phase.INTENDED else Trace.UNKNOWN
        if trace is Trace.FAILED:
            raise Refused(f"{action.name} ended without effect before this controller started")
        if trace is Trace.UNKNOWN:
            await self._check(action)
            await self._intend(action)
        if trace is not Trace.DONE:
            await self._perform(action)
        await self._verify(action)

    async def _trace(self, action: Action) -> Trace:
        """Ask what became of an action; an engine that forgot may still show its effect."""
        trace = await self._patiently(lambda: self._world.engine.find(action.id))
        if trace is Trace.UNKNOWN:
            pool = await self._patiently(self._world.collector.fresh)
            if action.achieves and not unmet(pool, action.achieves):
                return Trace.DONE
        return trace

    async def _check(self, action: Action) -> None:
        """Look again as the writer, and refuse to act on an old premise."""
        self._world.writer.check()
        pool = await self._patiently(self._world.collector.fresh)
        broken = unmet(pool, action.expects)
        if broken:
            raise Stale("the pool has changed since the plan", broken, "make a new plan")
        if self._world.limits.frozen:
            raise Blocked("changes are frozen", fix="lift the freeze in the limits")
        bars = barred(pool, action)
        if bars:
            raise Blocked(f"{action.name} of {action.subject} is barred: {bars[0]}", bars[1:], FIX)
        blockers = await self._patiently(lambda: self._world.engine.blockers(action))
        if blockers:
            raise blocked(action, blockers)

    async def _intend(self, action: Action) -> None:
        world = self._world
        now = world.clock.now()
        await world.journal.intend(self._run_id, action.id, fence=world.writer.fence, at=now)
        await world.witness.tell(
            self._event(EventKind.STEP_STARTED, action, f"{action.name} started")
        )

    async def _perform(self, action: Action) -> None:
        """Do it, or join it; an engine that is away for a while is waited for."""
        until = self._world.clock.now() + PATIENCE_S
        while True:
            try:
                return await self._perform_once(action)
            except EngineError as error:
                if isinstance(error, Lost):
                    trace = await self._patiently(lambda: self._world.engine.find(action.id))
                    if trace is Trace.DONE:
                        return None
                    hopeless = trace is not Trace.RUNNING
                else:
                    hopeless = not error.retryable
                if hopeless or self._world.clock.now() >= until:
                    raise
            await self._world.clock.sleep(RETRY_WAIT_S)

    async def _patiently(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask until there is an answer, or for as long as patience lasts. Raises Unavailable."""
        until = self._world.clock.now() + PATIENCE_S
        while True:
            try:
                return await ask()
            except Unavailable:
                if self._world.clock.now() >= until:
                    raise
            await self._world.clock.sleep(RETRY_WAIT_S)

    async def _perform_once(self, action: Action) -> None:
        told, last, untold = -PROGRESS_EVERY_S, Progress(0.0), False
        async for last in self._world.engine.perform(action, fence=self._world.writer.fence):
            self._reached[action.id] = last
            now = self._world.clock.now()
            self._world.traffic.heard(action.id, last, now)
            untold = now - told < PROGRESS_EVERY_S
            if not untold:
                told = now
                await self._tell_progress(action, last)
        if untold and last.flow:
            await self._tell_progress(action, last)

    async def _verify(self, action: Action) -> None:
        pool = await self._patiently(self._world.collector.fresh)
        broken = unmet(pool, action.achieves)
        if broken:
            raise Lost(
                f"{action.name} of {action.subject} ended, but the pool does not show it", broken
            )

    async def _tell_progress(self, action: Action, progress: Progress) -> None:
        await self._world.journal.progress(self._run_id, action.id, progress)
        text = f"{action.name}: {progress.phase or 'under way'}"
        event = self._event(EventKind.STEP_PROGRESS, action, text)
        event.data.update(fraction=progress.fraction, phase=progress.phase, left_s=progress.left_s)
        await self._world.witness.tell(replace(event, flow=progress.flow))

    async def _tell_end(self, action: Action, entry: Entry) -> None:
        text = f"{action.name} {entry.phase}"
        if entry.error:
            text += f": {entry.error['brief']}"
        event = self._event(EventKind.STEP_ENDED, action, text)
        event.data["phase"] = str(entry.phase)
        await self._world.witness.tell(event)

    def _event(self, kind: EventKind, action: Action, text: str) -> Event:
        subjects = [action.subject, *(f"host/{host}" for host in action.hosts)]
        if isinstance(action, Migrate):
            subjects.append(f"migration/{action.id}")
        return Event(
            kind,
            self._world.clock.now(),
            text,
            tuple(dict.fromkeys((*subjects, f"run/{self._run_id}"))),
            data={"action": action.id, "verb": action.name},
        )
