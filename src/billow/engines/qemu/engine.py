# SPDX-License-Identifier: Apache-2.0
"""This machine's QEMU as an engine: does each action in a task of its own, and tells of it.

A caller that goes away changes nothing: the action goes on. An engine that goes away leaves its
actions to whoever asks for them next. What must hold across that is on disk (`deed`, `record`),
never here.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from typing import Final

from billow.act.deed import Deed, Deeds, Standing
from billow.act.durable import turn
from billow.act.operation import Operation, as_before
from billow.engines.qemu.assess import assess, weigh
from billow.engines.qemu.evacuate import hindrances
from billow.engines.qemu.ground import Ground
from billow.engines.qemu.images import BUILT_IN, FIRMWARE
from billow.engines.qemu.migration.order import PAST_RECALL
from billow.engines.qemu.probe import NO_GROUPS
from billow.engines.qemu.process import any_process
from billow.engines.qemu.rules import Claim, blockers
from billow.engines.qemu.serial import trim
from billow.engines.qemu.settle import settle, unclear
from billow.engines.qemu.verbs import VERBS, Craft
from billow.errors import BillowError, Invalid, Leased, Lost, NotFound, Refused, Unavailable
from billow.model.action import Action, Evacuate, Migrate, Place, PowerOff, Resize, Throttle
from billow.model.assessment import Assessment, Guest
from billow.model.pool import Pool
from billow.model.run import Progress
from billow.ports import Blocker, Clock, Trace

_LOOK_EVERY_S: Final = 0.1
_BLINK_S: Final = 0.05
_TRACES: Final = {
    Standing.RUNNING: Trace.RUNNING,
    Standing.DONE: Trace.DONE,
    Standing.FAILED: Trace.FAILED,
    Standing.LOST: Trace.RUNNING,
}


class QemuEngine:
    """Fulfils `billow.ports.Engine`. Open it with `open.open_engine`."""

    def __init__(self, craft: Craft, deeds: Deeds, clock: Clock) -> None:
        self._craft = craft
        self._deeds = deeds
        self._clock = clock
        self._running: dict[str, Operation] = {}
        self._adopted = -1
        self._stuck: dict[str, str] = {}
        self._glanced: Pool | None = None

    @property
    def name(self) -> str:
        """The engine's name in settings and messages."""
        return "qemu"

    @property
    def verbs(self) -> frozenset[type[Action]]:
        """What it can perform."""
        return VERBS if self.ground.groups.limits else VERBS - {Throttle}

    @property
    def ground(self) -> Ground:
        """What this machine can do, and its records."""
        return self._craft.ground

    async def sense(self) -> Pool:
        """Return the pool as it is now; serial logs that grew too long are cut on the way."""
        ledger = self.ground.ledger
        for name in ledger.instances():
            trim(ledger.folder.volume(name).serial)
        await self._craft.sight.ask({_name(each.action) for each in self._running.values()})
        return self._craft.sight.pool(self._clock.now())

    async def blockers(self, action: Action) -> Sequence[Blocker]:
        """Return why the action must not be performed now."""
        return [*self._blockers(action), *await self._image_blockers(action)]

    async def perform(self, action: Action, *, fence: int) -> AsyncIterator[Progress]:
        """Do an action, or join the one with its id; yield how far it is."""
        self._deeds.check_fence(fence)
        operation = self._running.get(action.id)
        if operation is None:
            await self._adopt_all(fence)
            operation = await self._accept(action, fence)
        elif not operation.deed.is_of(action):
            raise _reused(action)
        if operation is None:
            await self._follow_elsewhere(action)
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

    async def assess(self, instance: str, target: str) -> Assessment:
        """Measure an instance and its link to a host. Raises as `billow.ports.Assessor` says."""
        under_way = [each.action for each in self._running.values()]
        return await assess(self.ground, instance, target, under_way, self._clock.now())

    async def weigh(self, instance: str) -> Guest:
        """Measure what there is to copy of an instance. Raises as `billow.ports.Weigher` says."""
        return await weigh(self.ground, instance)

    async def cancel(self, action_id: str) -> None:
        """Take back a move under way. Raises as `billow.ports.Canceller` says."""
        operation = self._running.get(action_id)
        if operation is None:
            raise NotFound(f"action {action_id} is not under way here")
        await operation.call_off()

    async def aclose(self) -> None:
        """Let go: instances run on, and actions under way are left to the next engine.

        The last one to go takes the hosts' network along, unless an instance runs in it.
        """
        tasks = [each.task for each in self._running.values() if each.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        ledger = self.ground.ledger
        async with turn(ledger.folder.network):
            if self._deeds.is_last() and not any_process(ledger):
                await self.ground.network.tear_down()
                await self.ground.groups.tear_down()
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
        operation = Operation(action, self._deeds.begin(action), fence, PAST_RECALL)
        self._running[action.id] = operation
        operation.task = asyncio.create_task(self._run(operation), name=f"qemu {action.id}")
        operation.task.add_done_callback(lambda _: self._ended(operation))
        return operation

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
        self._glanced = None
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
            if not await self._craft.mend(operation.action, self._clock.now()):
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
            if str(deed.document["id"]) not in self._running and self._deeds.is_orphan(deed):
                with self._stuck_on(deed.action.subject):
                    await self._adopt(deed)
            elif deed.standing is Standing.RUNNING:
                at_work.add(deed.action.subject)
        for name in unclear(self.ground.ledger):
            if f"instance/{name}" not in at_work:
                with self._stuck_on(f"instance/{name}"):
                    await settle(self.ground, name)
        self._glanced = None

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
                if await self._craft.mend(action, self._clock.now()):
                    self._deeds.save(replace(deed, standing=Standing.DONE))
                else:
                    self._deeds.forget(action.id)
                self._glanced = None  # what was half there is whole or gone by now

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
        pool = self._glance()
        found = [*self._busy(action), *blockers(pool, action, self._claims(pool, action))]
        if isinstance(action, Evacuate):
            found += hindrances(self.ground, action)
        missing = self.ground.findings.missing
        if not self.ground.findings.version and isinstance(action, Place | Migrate | Evacuate):
            what = _image_of(action) if isinstance(action, Place) else "instance"
            why = f"the {what} cannot run here: {missing[0].what} is missing"
            found.append(Blocker(why, missing[0].fix))
        if _limits(action) and not self.ground.groups.limits:
            why = f"no cgroup CPU controller: {NO_GROUPS.effect}"
            found.append(Blocker(why, NO_GROUPS.fix))
        return found

    def _busy(self, action: Action) -> list[Blocker]:
        """Return what is under way that an action would collide with."""
        others = [each.action for each in self._running.values() if each.action.id != action.id]
        found = [
            Blocker(f"{other.subject} is busy with action {other.id}", "wait for it")
            for other in others
            if other.subject == action.subject
        ]
        if action.subject in self._stuck:
            why = self._stuck[action.subject]
            found.append(Blocker(f"{action.subject} was left half-way and is stuck: {why}"))
        if isinstance(action, PowerOff):
            found += [
                Blocker(f"action {other.id} is under way on {action.host}", "wait for it")
                for other in others
                if action.host in other.hosts and other.subject != action.subject
            ]
        return found

    def _claims(self, pool: Pool, action: Action) -> list[Claim]:
        """Return the room that other actions under way will take."""
        others = (each.action for each in self._running.values() if each.action.id != action.id)
        claims = (_claim(pool, other) for other in others)
        return [claim for claim in claims if claim is not None]

    def _glance(self) -> Pool:
        """Return the pool, at most a blink old and never older than the last action's end."""
        if self._glanced is None or self._clock.now() - self._glanced.taken_at > _BLINK_S:
            self._glanced = self._craft.sight.pool(self._clock.now())
        return self._glanced

    async def _image_blockers(self, action: Action) -> list[Blocker]:
        if not isinstance(action, Place) or action.instance.image in {"", *BUILT_IN}:
            return []
        try:
            await self._craft.catalogue.find(action.instance.image)
        except (Invalid, NotFound, Refused, Unavailable) as error:
            why = "; ".join((error.brief, *error.details))
            return [Blocker(f"the {_image_of(action)} cannot be used: {why}", error.fix)]
        return []


def _limits(action: Action) -> bool:
    """Return whether an action wants an instance to be held to a limit."""
    if isinstance(action, Throttle):
        return True
    return isinstance(action, Place) and action.instance.cpu_limit_milli > 0


def _name(action: Action) -> str:
    """Return the name of what an action is about."""
    return action.subject.partition("/")[2]


def _claim(pool: Pool, action: Action) -> Claim | None:
    """Return the room that an action under way will take and does not have yet."""
    match action:
        case Place():
            known = action.instance.id in pool.instances.row
            return None if known else Claim(action.instance.shape, action.host, action.nodes)
        case Migrate() | Evacuate():
            if action.instance not in pool.instances.row:
                return None
            shape = pool.instance(action.instance).shape
            return Claim(shape, action.target, action.target_nodes)
        case Resize():
            return Claim(action.new, action.host, action.nodes)
        case _:
            return None


def _image_of(action: Place) -> str:
    return f"image {ascii(action.instance.image or FIRMWARE)[:100]}"


def _refusal(action: Action, found: Sequence[Blocker]) -> Refused:
    reasons = tuple(dict.fromkeys(blocker.reason for blocker in found))
    fixes = "; ".join(dict.fromkeys(blocker.fix for blocker in found if blocker.fix))
    brief = f"{action.name} of {ascii(action.subject)[:100]} is not possible: {reasons[0]}"
    return Refused(brief, reasons, fixes, "blocked")


def _reused(action: Action) -> Refused:
    return Refused(f"the id {action.id} belongs to another action", code="id-reused")
