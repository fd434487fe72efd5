# SPDX-License-Identifier: Apache-2.0
"""A world that outlives its processes: it is replayed from its file, and goes on.

Since a world is a function of what was submitted when, the file holds submissions only. A
controller that is killed loses nothing, and several controllers that open one file see one world:
each reads what the others have submitted before it looks or acts.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from billow.engines.sim.fault import Fault
from billow.engines.sim.field import Field
from billow.engines.sim.ledger import Head, Ledger, Record
from billow.engines.sim.operation import Operation
from billow.engines.sim.setting import Setting
from billow.engines.sim.world import World
from billow.errors import (
    BillowError,
    Conflict,
    EngineError,
    Invalid,
    Leased,
    NotFound,
    Refused,
    Unavailable,
)
from billow.model.action import Action
from billow.model.codec import action_document, action_from_document
from billow.model.pool import Pool
from billow.ports import Trace

MOST_RECORDS = 10_000
"""Records after which a file begins anew, as soon as the world rests."""


class KeptWorld:
    """A world in a file; fulfils `billow.engines.sim.engine.Source`."""

    def __init__(self, path: Path, setting: Setting) -> None:
        """Name the file; nothing is read yet."""
        self._ledger = Ledger(path)
        self._setting = setting
        self._world: World | None = None
        self._records = 0
        self._serial = 0

    def open(self, pool: Callable[[], Pool], clock_now: float) -> None:
        """Find the world in its file, or begin one with a pool that is only then asked for.

        Does I/O; linear in the pool and the records.

        Raises:
            Invalid: the file is damaged.
            Unavailable: the file cannot be written.
        """
        with self._ledger.locked():
            if not self._ledger.exists():
                self._ledger.begin(Head(pool(), 0.0, clock_now, self._setting.speed))
            world = self._caught_up().look(clock_now)
            if world.speed != self._setting.speed:
                speed = self._setting.speed
                self._write(Record(world.now, world.fence, None, speed, clock_now))
                world.pace(speed, clock_now)
            self._tidied(world, least=1)

    def look(self, clock_now: float) -> World:
        """Return the world as it is at a moment of the clock. Does I/O. Raises Unavailable."""
        try:
            return self._caught_up().look(clock_now)
        except OSError as error:
            raise Unavailable(
                f"the simulated world cannot be read: {error.strerror}",
                fix="see whether its file is still there",
            ) from error

    def submit(self, action: Action, fence: int, clock_now: float) -> Operation:
        """Submit an action, and write down that it was accepted. Does I/O.

        Raises:
            Leased: the fence is older than one already seen.
            Refused: it must not be done now.
            Unavailable: it cannot be written down; nothing was begun.
        """
        with self._ledger.locked():
            world = self._tidied(self.look(clock_now), least=MOST_RECORDS).look(clock_now)
            before = world.fence, len(world.operations)
            try:
                return world.submit(action, fence)
            finally:
                accepted = len(world.operations) > before[1]
                if before != (world.fence, len(world.operations)):
                    self._write(Record(world.now, fence, action if accepted else None))

    def cancel(self, action_id: str, clock_now: float) -> None:
        """Take back what is under way, and write that down. Does I/O.

        Raises:
            NotFound: it is not under way.
            Conflict: it cannot be taken back.
            Unavailable: it cannot be written down; nothing was taken back.
        """
        with self._ledger.locked():
            world = self.look(clock_now)
            world.cancel(action_id)
            self._write(Record(world.now, world.fence, cancelled=action_id))

    def happen(self, fault: Fault, clock_now: float) -> None:
        """Let a fault befall now, and write that down. Does I/O. Raises Invalid, Unavailable."""
        with self._ledger.locked():
            world = self.look(clock_now)
            world.happen(fault)
            self._write(Record(world.now, world.fence, fault=str(fault)))

    def _write(self, record: Record) -> None:
        """Write a record down, or forget the world that is ahead of its file."""
        try:
            self._ledger.append(record)
        except OSError:
            self._world = None
            raise
        self._records += 1

    def _caught_up(self) -> World:
        """Return the world with all that was written into its file."""
        world = self._world
        if world is None or self._ledger.was_replaced():
            return self._replayed()
        for record in self._ledger.news():
            if record.at < world.now:  # another process was slower to write than we to look
                return self._replayed()
            self._do(world, record)
        return world

    def _replayed(self) -> World:
        head = self._ledger.head()
        world = World(head.pool, self._setting, now=head.now)
        world.began_at, world.speed, world.fence = head.began_at, head.speed, head.fence
        world.met[: len(head.met)] = head.met[: len(world.met)]
        for document, trace, error in (head.past or {}).values():
            action = action_from_document(document)
            world.operations[action.id] = _past(action, Trace(trace), error)
        self._world, self._records, self._serial = world, 0, head.serial
        for record in self._ledger.news():
            self._do(world, record)
        return world

    def _do(self, world: World, record: Record) -> None:
        self._records += 1
        world.advance(record.at)
        if record.action is not None:
            with suppress(Leased, Refused):  # when the script or the timing was changed since
                world.submit(record.action, record.fence)
        elif record.cancelled:
            with suppress(NotFound, Conflict):  # as above
                world.cancel(record.cancelled)
        elif record.fault:
            with suppress(Invalid):  # as above
                world.happen(Fault.parse(record.fault))
        elif record.speed:
            world.pace(record.speed, record.clock_now)
        world.fence = max(world.fence, record.fence)

    def _tidied(self, world: World, *, least: int) -> World:
        """Begin the file anew when it has grown and the world rests; return the world."""
        if self._records < least or not world.rests:
            return world
        past = {
            name: [action_document(each.action), each.trace, _error_document(each.error)]
            for name, each in world.operations.items()
        }
        began_at = world.began_at or 0.0
        head = Head(
            world.pool(), world.now, began_at, world.speed, world.fence, past, tuple(world.met)
        )
        self._ledger.begin(replace(head, serial=self._serial + 1))
        return self._replayed()


def strike(path: Path, fault: Fault, clock_now: float) -> list[str]:
    """Let a fault befall in a world that other processes keep; return whom. Does I/O.

    Raises:
        NotFound: no world is kept there.
        Invalid: the fault befalls nobody.
        Unavailable: it cannot be written down.
    """
    ledger = Ledger(path)
    if not ledger.exists():
        fix = "begin one: billow up --engine sim"
        raise NotFound(f"no simulated world is kept in {path.parent}", fix=fix)
    with ledger.locked():
        head = ledger.head()
        began_at, speed, last = head.began_at, head.speed, Record(head.now, head.fence)
        for last in ledger.news():
            if last.speed:
                speed, began_at = last.speed, last.clock_now - last.at / last.speed
        befallen = Field.of(head.pool).befallen(fault)
        at = max((clock_now - began_at) * speed, last.at)
        ledger.append(Record(at, last.fence, fault=str(fault)))
    return befallen


def _past(action: Action, trace: Trace, error: Any) -> Operation:  # noqa: ANN401 (a document)
    operation = Operation(action, 0.0, due=0.0, trace=trace)
    if error is not None:
        code = error.get("code", Refused.code)
        operation.error = Refused(error["brief"], tuple(error["details"]), error["fix"], code)
    return operation


def _error_document(error: BillowError | None) -> dict[str, object] | None:
    if not isinstance(error, EngineError):
        return None
    details = list(error.details)
    return {"brief": error.brief, "details": details, "fix": error.fix, "code": error.code}
