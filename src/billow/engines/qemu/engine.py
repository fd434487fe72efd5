# SPDX-License-Identifier: Apache-2.0
"""This machine's QEMU as an engine: does each action in a task of its own, and tells of it.

A caller that goes away changes nothing: the action goes on. An engine that goes away leaves its
actions to whoever asks for them next. What must hold across that is on disk (`deed`, `record`),
never here.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from billow.engines.qemu.deed import Deed, Deeds, Standing
from billow.engines.qemu.ground import Ground
from billow.engines.qemu.images import BUILT_IN
from billow.engines.qemu.rules import blockers
from billow.engines.qemu.verbs import VERBS, Craft
from billow.errors import BillowError, Invalid, Leased, Lost, NotFound, Refused, Unavailable
from billow.model.action import Action, Migrate, Place, PowerOff, Resize
from billow.model.instance import Instance
from billow.model.pool import Pool
from billow.model.run import Progress
from billow.ports import Blocker, Clock, Trace

_LOOK_EVERY_S: Final = 0.1
_TRACES: Final = {
    Standing.RUNNING: Trace.RUNNING,
    Standing.DONE: Trace.DONE,
    Standing.FAILED: Trace.FAILED,
    Standing.LOST: Trace.RUNNING,
}


@dataclass(slots=True)
class Operation:
    """An action that this engine does right now."""

    action: Action
    deed: Deed
    fence: int
    progress: Progress | None = None
    error: BillowError | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def tell(self, progress: Progress | None = None) -> None:
        """Wake up everybody who follows."""
        if progress is not None:
            least = self.progress.fraction if self.progress else 0.0
            if not math.isnan(progress.fraction):
                progress = replace(progress, fraction=max(progress.fraction, least))
            self.progress = progress
        self.news.set()
        self.news = asyncio.Event()


class QemuEngine:
    """Fulfils `billow.ports.Engine`. Open it with `open.open_engine`."""

    def __init__(self, craft: Craft, deeds: Deeds, clock: Clock) -> None:
        self._craft = craft
        self._deeds = deeds
        self._clock = clock
        self._running: dict[str, Operation] = {}

    @property
    def name(self) -> str:
        """The engine's name in settings and messages."""
        return "qemu"

    @property
    def verbs(self) -> frozenset[type[Action]]:
        """What it can perform."""
        return VERBS

    @property
    def ground(self) -> Ground:
        """What this machine can do, and its records."""
        return self._craft.ground

    async def sense(self) -> Pool:
        """Return the pool as it is now."""
        return self._craft.sight.pool(self._clock.now())

    async def blockers(self, action: Action) -> Sequence[Blocker]:
        """Return why the action must not be performed now."""
        return [*self._blockers(action), *await self._image_blockers(action)]

    async def perform(self, action: Action, *, fence: int) -> AsyncIterator[Progress]:
        """Do an action, or join the one with its id; yield how far it is."""
        self._deeds.check_fence(fence)
        operation = self._running.get(action.id)
        if operation is None:
            await self._adopt_all()
            operation = await self._accept(action, fence)
        elif not operation.deed.is_of(action):
            raise _reused(action)
        if operation is None:
            await self._follow_elsewhere(action)
            return
        async for progress in _follow(operation):
            yield progress

    async def find(self, action_id: str) -> Trace:
        """Return what became of an action; one that nobody does any more is brought to its end."""
        deed = self._deeds.find(action_id)
        if deed is not None and action_id not in self._running and self._deeds.is_orphan(deed):
            await self._adopt(deed)
            deed = self._deeds.find(action_id)
        return Trace.UNKNOWN if deed is None else _TRACES[deed.standing]

    async def aclose(self) -> None:
        """Let go: instances run on, and actions under way are left to the next engine."""
        tasks = [each.task for each in self._running.values() if each.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._deeds.close()

    async def _accept(self, action: Action, fence: int) -> Operation | None:
        """Begin an action; None when another controller does it. Raises what its blockers say."""
        deed = self._deeds.find(action.id)
        if deed is None:
            found = await self._image_blockers(action)
            found += self._blockers(action)  # no await from here on: nobody else can begin it
            joined = self._running.get(action.id)
            if joined is not None:
                return joined
            if found:
                raise _refusal(action, found)
            return self._begin(action, fence)
        if not deed.is_of(action):
            raise _reused(action)
        if deed.standing is Standing.FAILED:
            raise deed.failure()
        if deed.standing is Standing.DONE:
            return Operation(action, deed, fence)
        return self._running.get(action.id)

    def _begin(self, action: Action, fence: int) -> Operation:
        operation = Operation(action, self._deeds.begin(action), fence)
        self._running[action.id] = operation
        operation.task = asyncio.create_task(self._run(operation), name=f"qemu {action.id}")
        return operation

    async def _run(self, operation: Operation) -> None:
        """Do an action to its end, and write down what became of it."""
        standing = Standing.LOST
        try:
            standing = await self._outcome(operation)
        except BillowError as error:
            operation.error = error
        finally:
            self._conclude(operation, standing)
            del self._running[operation.action.id]
            operation.tell()

    async def _outcome(self, operation: Operation) -> Standing:
        try:
            async for progress in self._craft.do(operation.action):
                self._deeds.check_fence(operation.fence)
                operation.tell(progress)
        except Leased:
            raise
        except (BillowError, OSError, TimeoutError) as error:
            if not await self._craft.mend(operation.action, self._clock.now()):
                operation.error = _as_before(operation.action, error)
                return Standing.FAILED
        return Standing.DONE

    def _conclude(self, operation: Operation, standing: Standing) -> None:
        error = operation.error
        said = (error.brief, error.fix, error.code, error.details) if error else None
        self._deeds.save(replace(operation.deed, standing=standing, error=said))
        if standing is Standing.LOST and operation.error is None:
            operation.error = Lost(
                f"{operation.action.name} of {operation.action.subject} was interrupted"
            )

    async def _adopt_all(self) -> None:
        """Bring to an end whatever dead controllers left, before anything new is begun."""
        for deed in list(self._deeds.all()):
            if str(deed.document["id"]) not in self._running and self._deeds.is_orphan(deed):
                await self._adopt(deed)

    async def _adopt(self, deed: Deed) -> None:
        """Bring one action that nobody does to its end: done, or as if it had never been."""
        action = deed.action
        with self._deeds.adopting(action.id) as mine, contextlib.suppress(TimeoutError):
            if mine:
                if await self._craft.mend(action, self._clock.now()):
                    self._deeds.save(replace(deed, standing=Standing.DONE))
                else:
                    self._deeds.forget(action.id)

    async def _follow_elsewhere(self, action: Action) -> None:
        """Wait until another controller has done an action. Raises what it ended with."""
        while (trace := await self.find(action.id)) is Trace.RUNNING:  # noqa: ASYNC110  # on disk
            await asyncio.sleep(_LOOK_EVERY_S)
        deed = self._deeds.find(action.id)
        if trace is Trace.FAILED and deed is not None:
            raise deed.failure()
        if trace is Trace.UNKNOWN:
            raise Lost(f"the controller that did {action.name} of {action.subject} died")

    def _blockers(self, action: Action) -> list[Blocker]:
        """Return what this machine refuses, with what is under way counted as there."""
        found = [*self._busy(action), *blockers(self._pool_with_claims(action), action)]
        missing = self.ground.findings.missing
        if not self.ground.findings.version and isinstance(action, Place | Migrate):
            found.append(Blocker(f"{missing[0].what} is missing", missing[0].fix))
        return found

    def _busy(self, action: Action) -> list[Blocker]:
        """Return what is under way that an action would collide with."""
        others = [each.action for each in self._running.values() if each.action.id != action.id]
        found = [
            Blocker(f"{other.subject} is busy with action {other.id}", "wait for it")
            for other in others
            if other.subject == action.subject
        ]
        if isinstance(action, PowerOff):
            found += [
                Blocker(f"action {other.id} is under way on {action.host}", "wait for it")
                for other in others
                if action.host in other.hosts and other.subject != action.subject
            ]
        return found

    def _pool_with_claims(self, action: Action) -> Pool:
        """Return the pool, with the room that actions under way will take."""
        pool = self._craft.sight.pool(self._clock.now())
        claims = [
            claim
            for each in self._running.values()
            if each.action.id != action.id and (claim := _claim(pool, each.action))
        ]
        if not claims:
            return pool
        known = {claim.group for claim in claims if claim.group and not pool.group(claim.group)}
        rows = [replace(c, group="") if c.group in known else c for c in claims]
        return Pool.build(pool.host_views(), [*pool.instance_views(), *rows], groups=pool.groups)

    async def _image_blockers(self, action: Action) -> list[Blocker]:
        if not isinstance(action, Place) or action.instance.image in {"", *BUILT_IN}:
            return []
        try:
            await self._craft.catalogue.find(action.instance.image)
        except (Invalid, NotFound, Refused, Unavailable) as error:
            return [Blocker("; ".join((error.brief, *error.details)), error.fix)]
        return []


def _claim(pool: Pool, action: Action) -> Instance | None:
    """Return what an action under way will take, as an instance beside those that are there."""
    match action:
        case Place():
            if action.instance.id in pool.instances.row:
                return None
            return replace(action.instance, host=action.host, nodes=action.nodes)
        case Migrate():
            there = pool.instances.row.get(action.instance)
            host, nodes = action.target, action.target_nodes
            shape = pool.instance(action.instance).shape if there is not None else None
        case Resize():
            host, nodes, shape = action.host, action.nodes, action.new
        case _:
            return None
    if shape is None:
        return None
    return Instance(f"{action.instance}~{action.name}", shape, host=host, nodes=nodes)


async def _follow(operation: Operation) -> AsyncIterator[Progress]:
    """Yield how far an operation is until it has ended. Raises what it ended with."""
    told: Progress | None = None
    while operation.task is not None and not operation.task.done():
        news = operation.news
        if operation.progress is not None and operation.progress is not told:
            told = operation.progress
            yield told
            continue
        await news.wait()
    if operation.progress is not None and operation.progress is not told:
        yield operation.progress
    if operation.error is not None:
        raise _again(operation.error)


def _as_before(action: Action, error: Exception) -> Refused:
    """Return the error of an action that was taken back."""
    if isinstance(error, BillowError):
        return Refused(error.brief, error.details, error.fix, error.code)
    return Refused(f"{action.name} of {action.subject} failed", (str(error) or repr(error),))


def _refusal(action: Action, found: Sequence[Blocker]) -> Refused:
    reasons = tuple(dict.fromkeys(blocker.reason for blocker in found))
    fixes = "; ".join(dict.fromkeys(blocker.fix for blocker in found if blocker.fix))
    brief = f"{action.name} of {ascii(action.subject)[:100]} is not possible: {reasons[0]}"
    return Refused(brief, reasons, fixes, "blocked")


def _reused(action: Action) -> Refused:
    return Refused(f"the id {action.id} belongs to another action", code="id-reused")


def _again(error: BillowError) -> BillowError:
    """Return an error of its own for each caller: a raised one carries its caller's traceback."""
    return type(error)(error.brief, error.details, error.fix, error.code)
