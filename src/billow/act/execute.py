# SPDX-License-Identifier: Apache-2.0
"""A whole plan, wave by wave. Starting a run and going on after a crash are the same thing.

The executor makes no choices: order, hosts and limits are the plan's, and when in its wave a move
goes is the traffic's. What the journal calls done stays done; what it only intended is looked for
in the engine first. Steps that need a failed one are skipped, with the reason.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from billow.act.counted import count, under_way
from billow.act.guard import Guard, World
from billow.errors import BillowError, Leased
from billow.model.action import Migrate
from billow.model.counting import counted
from billow.model.event import Event, EventKind
from billow.model.migration import CANCELLED
from billow.model.plan import Plan, Step
from billow.model.run import Entry, Phase, Run, RunState
from billow.plan.cost import transfer, weighed
from billow.plan.traffic import Transfer, crowded, in_turn
from billow.ports import Weigher

WEIGHED_AT_ONCE = 8
"""Instances of which is measured at one time how they write."""


class Execution:
    """One run of one plan, from wherever the journal says it stands."""

    def __init__(self, world: World, plan: Plan, run: Run) -> None:
        self._world = world
        self._plan = plan
        self._run = run
        self._guard = Guard(world, run.id)
        self._entries: dict[str, Entry] = dict(run.entries)
        self._slots = asyncio.Semaphore(world.limits.steps_at_once)
        self._stopping = ""
        self.run_id = run.id

    def stop(self, why: str) -> None:
        """Start no more steps; those under way go on to their end."""
        self._stopping = self._stopping or why
        self._world.traffic.release(
            step.action.id
            for step in self._plan.steps
            if self._phase(step.action.id) is Phase.PENDING
        )

    async def carry_out(self) -> Run:
        """Do what is left of the plan and return the ended run.

        Raises:
            Leased: another controller has taken over; the run is not ended here.
            Unavailable: the journal does not answer; the run is not ended here.
        """
        try:
            for wave in self._plan.waves:
                await self._carry(wave)
        except* BillowError as errors:
            raise _gravest(errors) from errors
        return await self._end()

    async def _carry(self, wave: Sequence[Step]) -> None:
        waiting = self._expected(wave)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._announce(waiting))
                for step in wave:
                    group.create_task(self._step(step))
        finally:
            for step in wave:  # also those that were cancelled before they began
                self._world.traffic.leave(step.action.id, self._world.clock.now())

    def _expected(self, wave: Sequence[Step]) -> list[Transfer]:
        """Tell the traffic which moves of a wave will want to go, and which are under way."""
        moves: dict[Phase, list[Transfer]] = {phase: [] for phase in Phase}
        for step in wave:
            if isinstance(step.action, Migrate):
                found = transfer(self._plan.predicted, step.action, step.cost)
                moves[self._phase(step.action.id)].append(found)
        waiting = [] if self._stopping else in_turn(moves[Phase.PENDING])
        self._world.traffic.resume(moves[Phase.INTENDED])
        self._world.traffic.expect(each.id for each in waiting)
        return waiting

    async def _announce(self, waiting: Sequence[Transfer]) -> None:
        """Let moves go; of those that are not known, a few at a time are measured first.

        Where none is known, the first one goes as it is: it would be alone all the same.
        """
        most, traffic = self._world.limits.migrations_at_once_per_host, self._world.traffic
        asked = self._to_weigh(waiting)
        if len(asked) == len(waiting):
            asked = asked[1:]
        measured = {each.id for each in asked}
        ready = [each for each in waiting if each.id not in measured]
        if ready:
            traffic.announce(ready, most, self._world.clock.now())
        for first in range(0, len(asked), WEIGHED_AT_ONCE):
            some = asked[first : first + WEIGHED_AT_ONCE]
            found = await asyncio.gather(*map(self._weighed, some))
            traffic.announce(found, most, self._world.clock.now())

    def _to_weigh(self, waiting: Sequence[Transfer]) -> list[Transfer]:
        """Return the moves of which it matters what they write, and is not known."""
        traffic = self._world.traffic
        if not (traffic.measures and isinstance(self._world.engine, Weigher)):
            return []
        busy = crowded(waiting, traffic.under_way)
        return [each for each in waiting if each.id in busy and math.isnan(each.dirty_mib_s)]

    async def _weighed(self, known: Transfer) -> Transfer:
        """Return a move with what was measured of it; as it was when that does not work."""
        engine = self._world.engine
        with contextlib.suppress(BillowError):
            if isinstance(engine, Weigher):
                return weighed(known, await engine.weigh(known.instance))
        return known

    @asynccontextmanager
    async def _turn(self, step: Step) -> AsyncIterator[None]:
        """Wait for room on a move's links, then for one of the steps that may go at once."""
        traffic = self._world.traffic
        try:
            await traffic.enter(step.action.id)
            async with self._slots:
                yield
        finally:
            traffic.leave(step.action.id, self._world.clock.now())

    async def _step(self, step: Step) -> None:
        known = self._phase(step.action.id)
        if known.final:
            return
        async with self._turn(step):
            why = "" if known is Phase.INTENDED else self._obstacle(step)
            if known is Phase.PENDING and self._world.traffic.is_withdrawn(step.action.id):
                why = "it was cancelled before it began"
                entry = await self._guard.skip(step.action, why, code=CANCELLED)
            elif why:
                entry = await self._guard.skip(step.action, why)
            else:
                with under_way(step.action):
                    entry = await self._guard.carry(step.action, known)
                count(step.action, entry)
            self._entries[step.action.id] = entry
            self._stop_after_failures()

    def _phase(self, action_id: str) -> Phase:
        entry = self._entries.get(action_id)
        return entry.phase if entry else Phase.PENDING

    def _obstacle(self, step: Step) -> str:
        if self._stopping:
            return self._stopping
        for needed in step.after:
            if self._phase(needed) is not Phase.DONE:
                return f"it needs {needed}, which is {self._phase(needed)}"
        return ""

    def _stop_after_failures(self) -> None:
        failed = sum(entry.phase is Phase.FAILED for entry in self._entries.values())
        allowed = self._world.limits.failures_allowed
        if failed > allowed:
            self.stop(f"{counted(failed, 'step')} failed, {allowed} are allowed")

    async def _end(self) -> Run:
        world, now = self._world, self._world.clock.now()
        state, text = verdict(list(self._entries.values()), stopped=bool(self._stopping))
        fence = world.writer.fence
        await world.journal.end(self._run.id, state, text=text, at=now, fence=fence)
        subjects = (f"run/{self._run.id}", f"plan/{self._plan.id}")
        told = f"run {self._run.id} {state}: {text}"
        await world.witness.tell(Event(EventKind.RUN_ENDED, now, told, subjects, self._run.actor))
        return replace(self._run, state=state, ended_at=now, entries=dict(self._entries), text=text)


def _gravest(group: BaseExceptionGroup[BillowError]) -> BillowError:
    """Return the error of a group that decides: the loss of the lease before all others."""
    flat = [
        _gravest(error) if isinstance(error, BaseExceptionGroup) else error
        for error in group.exceptions
    ]
    return next((error for error in flat if isinstance(error, Leased)), flat[0])


def verdict(entries: Sequence[Entry], *, stopped: bool) -> tuple[RunState, str]:
    """Return how a run ended, and in words."""
    count = {phase: sum(entry.phase is phase for entry in entries) for phase in Phase}
    text = ", ".join(f"{count[phase]} {phase}" for phase in Phase if count[phase]) or "no steps"
    if count[Phase.FAILED]:
        return RunState.FAILED, text
    return (RunState.STOPPED if stopped and count[Phase.SKIPPED] else RunState.DONE), text
