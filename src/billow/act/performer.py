# SPDX-License-Identifier: Apache-2.0
"""Perform actions as an engine must: each in a task of its own, once, and told of to who asks.

A caller that goes away changes nothing: the action goes on. An engine that goes away leaves its
actions to whoever asks for them next. What must hold across that is on disk (`deed`), never here.
What an action does, and what brings one that somebody left to its end, is the engine's (`Craft`).
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Final, Protocol

from billow.act.deed import Deed, Deeds, Standing
from billow.act.operation import Operation, as_before
from billow.act.still import BEAT_S
from billow.errors import BillowError, Leased, Lost, NotFound, Refused
from billow.model.action import Action
from billow.model.run import Progress
from billow.ports import Blocker, Trace

_LOOK_EVERY_S: Final = 0.1
_FALLS_S: Final = 1.0
"""For so long are the locks of a process waited for that was ended."""
_TRACES: Final = {
    Standing.RUNNING: Trace.RUNNING,
    Standing.DONE: Trace.DONE,
    Standing.FAILED: Trace.FAILED,
    Standing.LOST: Trace.RUNNING,
}


class Craft(Protocol):
    """What an engine does, without knowing who asked for it, or how often."""

    def do(self, action: Action) -> AsyncGenerator[Progress, None]:
        """Do an action; yield how far it is. After an error, `mend` puts things right."""

    async def mend(self, action: Action) -> bool:
        """Bring what an action left half-way to a clear state; return whether it is achieved.

        Raises:
            BillowError: it cannot be said yet; try again.
        """

    async def blockers(self, action: Action, under_way: Sequence[Action]) -> Sequence[Blocker]:
        """Return why an action must not be done, with what others under way will take."""

    @property
    def past_recall(self) -> frozenset[str]:
        """Phases of a move's progress from which on it can no longer be called off."""

    def left(self) -> Collection[str]:
        """Return subjects that somebody left half-way, as the engine's own records show them."""

    async def settle(self, subject: str) -> None:
        """Bring such a subject to a clear state. Raises BillowError: it cannot be done yet."""

    def changed(self) -> None:
        """Take note that an action has ended: what was seen before is old."""


class Performer:
    """One engine's actions, as one controller does them."""

    def __init__(self, engine: str, craft: Craft, deeds: Deeds) -> None:
        self._engine = engine
        self._craft = craft
        self._deeds = deeds
        self._running: dict[str, Operation] = {}
        self._accepting = asyncio.Lock()
        self._adopted = -1
        self._stuck: dict[str, str] = {}
        self._beating: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> list[Action]:
        """What is done here right now."""
        return [each.action for each in self._running.values()]

    async def blockers(self, action: Action) -> list[Blocker]:
        """Return why an action must not be performed now. Changes nothing."""
        others = [each for each in self.under_way if each.id != action.id]
        busy = [
            Blocker(f"{other.subject} is busy with action {other.id}", "wait for it")
            for other in others
            if other.subject == action.subject
        ]
        if action.subject in self._stuck:
            why = self._stuck[action.subject]
            busy.append(Blocker(f"{action.subject} was left half-way and is stuck: {why}"))
        return [*busy, *await self._craft.blockers(action, others)]

    async def perform(self, action: Action, *, fence: int) -> AsyncIterator[Progress]:
        """Do an action, or join the one with its id. Raises as `billow.ports.Engine` says."""
        self._deeds.check_fence(fence)
        operation = self._running.get(action.id)
        if operation is None:
            async with self._accepting:
                await self._adopt_all(fence)
                operation = await self._accept(action, fence)
        elif not operation.deed.is_of(action):
            raise _reused(action)
        if operation is None:
            await self._follow_elsewhere(action, fence)
            return
        async for progress in operation.follow():
            yield progress

    async def find(self, action_id: str) -> Trace:
        """Return what became of an action; one that nobody does any more is brought to its end."""
        deed = self._deeds.find(action_id)
        if deed is not None and action_id not in self._running and self._deeds.is_orphan(deed):
            await self._adopt(deed)
            deed = self._deeds.find(action_id)
        return Trace.UNKNOWN if deed is None else _TRACES[deed.standing]

    async def cancel(self, action_id: str) -> None:
        """Take an action back that is under way. Raises as `billow.ports.Canceller` says."""
        operation = self._running.get(action_id)
        if operation is None:
            raise NotFound(f"action {action_id} is not under way here")
        await operation.call_off()

    async def rest(self) -> None:
        """Do nothing more: actions under way are left to the next engine."""
        tasks = [each.task for each in self._running.values() if each.task]
        tasks += [self._beating] if self._beating else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def aclose(self) -> None:
        """Let go."""
        await self.rest()
        self._deeds.close()

    async def _accept(self, action: Action, fence: int) -> Operation | None:
        """Begin an action; None when another controller does it. Raises what its blockers say."""
        joined = self._running.get(action.id)
        if joined is not None:
            return joined
        deed = self._deeds.find(action.id)
        if deed is None:
            found = await self.blockers(action)
            if found:
                raise _refusal(action, found)
            return self._begin(action, fence)
        if not deed.is_of(action):
            raise _reused(action)
        if deed.standing is Standing.FAILED:
            raise deed.failure()
        return Operation(action, deed, fence) if deed.standing is Standing.DONE else None

    def _begin(self, action: Action, fence: int) -> Operation:
        operation = Operation(
            action, self._deeds.begin(action), fence, past_recall=self._craft.past_recall
        )
        self._running[action.id] = operation
        name = f"{self._engine} {action.id}"
        operation.task = asyncio.create_task(self._run(operation), name=name)
        operation.task.add_done_callback(lambda _: self._ended(operation))
        if self._beating is None or self._beating.done():
            self._beating = asyncio.create_task(self._beat(), name=f"{self._engine} beats")
        return operation

    async def _beat(self) -> None:
        """Show that this controller does not stand still, as long as it does anything."""
        while self._running:
            self._deeds.beat()
            await asyncio.sleep(BEAT_S)

    async def _run(self, operation: Operation) -> None:
        """Do an action to its end, and write down what became of it."""
        standing = Standing.LOST
        try:
            standing = await self._outcome(operation)
        except Leased as error:
            operation.error = error
        except BillowError as error:
            operation.error = Lost(error.brief, error.details, error.fix)
        finally:
            self._conclude(operation, standing)

    def _ended(self, operation: Operation) -> None:
        """Let go of an operation, and of everybody who waits for it, however it ended."""
        self._craft.changed()
        del self._running[operation.action.id]
        operation.ended = True
        operation.tell()

    async def _outcome(self, operation: Operation) -> Standing:
        try:
            async with contextlib.aclosing(self._craft.do(operation.action)) as doing:
                async for progress in doing:
                    self._deeds.check_fence(operation.fence)
                    operation.tell(progress)
                    operation.check_wanted()
        except Leased:
            raise
        except (BillowError, OSError, TimeoutError) as error:
            if not await self._craft.mend(operation.action):
                operation.error = as_before(operation.action, error)
                return Standing.FAILED
        return Standing.DONE

    def _conclude(self, operation: Operation, standing: Standing) -> None:
        """Write down how it ended; what cannot be written is lost, for `find` to look into."""
        error = operation.error
        said = (error.brief, error.fix, error.code, error.details) if error else None
        try:
            self._deeds.save(replace(operation.deed, standing=standing, error=said))
        except BillowError as failure:
            operation.error = Lost(failure.brief, failure.details, failure.fix)
        if standing is Standing.LOST and operation.error is None:
            operation.error = Lost(
                f"{operation.action.name} of {operation.action.subject} was interrupted"
            )

    async def _adopt_all(self, fence: int) -> None:
        """Bring to an end what dead controllers left, before a new writer begins anything."""
        if fence == self._adopted:
            return
        self._adopted = fence
        self._stuck.clear()
        at_work = set()
        for deed in list(self._deeds.all()):
            await self._end_still(deed)
            if str(deed.document["id"]) not in self._running and self._deeds.is_orphan(deed):
                with self._stuck_on(deed.action.subject):
                    await self._adopt(deed)
            elif deed.standing is Standing.RUNNING:
                at_work.add(deed.action.subject)
        for subject in self._craft.left():
            if subject not in at_work:
                with self._stuck_on(subject):
                    await self._craft.settle(subject)
        self._craft.changed()

    async def _end_still(self, deed: Deed) -> None:
        """End who stands still over an action, so that it is nobody's."""
        if self._deeds.end_still(deed):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FALLS_S):
                    while not self._deeds.is_orphan(deed):  # noqa: ASYNC110  # locks tell nobody
                        await asyncio.sleep(0.01)

    @contextlib.contextmanager
    def _stuck_on(self, subject: str) -> Iterator[None]:
        """Remember what could not be settled: it is left alone, and all else goes on."""
        try:
            yield
        except BillowError as error:
            self._stuck[subject] = error.brief

    async def _adopt(self, deed: Deed) -> None:
        """Bring one action that nobody does to its end: done, or as if it had never been."""
        action = deed.action
        with self._deeds.adopting(action.id) as mine, contextlib.suppress(TimeoutError):
            if mine:
                if await self._craft.mend(action):
                    self._deeds.save(replace(deed, standing=Standing.DONE))
                else:
                    self._deeds.forget(action.id)
                self._craft.changed()

    async def _follow_elsewhere(self, action: Action, fence: int) -> None:
        """Wait until another controller has done an action. Raises what it ended with."""
        while (trace := await self.find(action.id)) is Trace.RUNNING:
            await asyncio.sleep(_LOOK_EVERY_S)
            self._deeds.check_fence(fence)
            if (deed := self._deeds.find(action.id)) is not None:
                await self._end_still(deed)
        deed = self._deeds.find(action.id)
        if trace is Trace.FAILED and deed is not None:
            raise deed.failure()
        if trace is Trace.UNKNOWN:
            raise Lost(f"the controller that did {action.name} of {action.subject} died")


class Performing:
    """What every engine that acts through a performer answers alike; an engine inherits it."""

    _performer: Performer

    async def blockers(self, action: Action) -> Sequence[Blocker]:
        """Return why the action must not be performed now."""
        return await self._performer.blockers(action)

    async def perform(self, action: Action, *, fence: int) -> AsyncIterator[Progress]:
        """Do an action, or join the one with its id; yield how far it is."""
        async for progress in self._performer.perform(action, fence=fence):
            yield progress

    async def find(self, action_id: str) -> Trace:
        """Return what became of an action; one that nobody does any more is brought to its end."""
        return await self._performer.find(action_id)


class Cancelling(Performing):
    """What an engine that can take back a move answers beside; it fulfils `ports.Canceller`."""

    async def cancel(self, action_id: str) -> None:
        """Take back a move under way. Raises as `billow.ports.Canceller` says."""
        await self._performer.cancel(action_id)


def _refusal(action: Action, found: Sequence[Blocker]) -> Refused:
    reasons = tuple(dict.fromkeys(blocker.reason for blocker in found))
    fixes = "; ".join(dict.fromkeys(blocker.fix for blocker in found if blocker.fix))
    brief = f"{action.name} of {ascii(action.subject)[:100]} is not possible: {reasons[0]}"
    return Refused(brief, reasons, fixes, "blocked")


def _reused(action: Action) -> Refused:
    return Refused(f"the id {action.id} belongs to another action", code="id-reused")
