# SPDX-License-Identifier: Apache-2.0
"""Moves wait here until their links have use for them, whichever run they are of.

It remembers what waits and what is under way, and asks `plan.traffic` whenever that changes: when a
move comes, ends, or has so little left that the next one may be set up. It does no I/O.
"""

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from billow.model.run import Progress
from billow.plan.traffic import Stage, Transfer, admitted, in_turn

Admit = Callable[[Sequence[Transfer], Sequence[tuple[Transfer, Stage]], int], Sequence[str]]
"""Who goes now: of those who wait, beside those under way, so many per host."""


_OVER = frozenset({"switching", "arrived"})
"""Phases in which next to nothing flows any more."""
_MOST_SETUP_S = 1.0
"""Where set-up takes longer than this, the machine is short of CPUs, and more at once do harm."""
_LEARNS = 0.3
"""How much one move changes what is known of how long set-up takes."""


@dataclass(slots=True)
class _Trip:
    """A move under way, and what was heard of it.

    Attributes:
        since: When it was let go; not a number for one that an earlier controller began.
        flows: Whether its memory was seen to flow.
        heard: When it last said how far it is.
    """

    transfer: Transfer
    since: float = math.nan
    flows: bool = False
    heard: float = math.nan
    stage: Stage = Stage.UNDER_WAY


class Traffic:
    """Lets moves go when there is room on their links.

    Attributes:
        measures: Whether it is worth a second to know what instances write before they go.
    """

    def __init__(self, admit: Admit = admitted, *, measures: bool = True) -> None:
        self.measures = measures
        self._admit = admit
        self._setup_s = 0.0
        self._waiting: list[Transfer] = []
        self._turns: dict[str, asyncio.Future[None]] = {}
        self._withdrawn: set[str] = set()
        self._trips: dict[str, _Trip] = {}
        self._most_per_host = 0

    @property
    def under_way(self) -> tuple[Transfer, ...]:
        """What goes now."""
        return tuple(trip.transfer for trip in self._trips.values())

    def resume(self, begun: Iterable[Transfer]) -> None:
        """Count moves that an earlier controller has begun; each must `enter` and `leave`."""
        for each in begun:
            self._trips[each.id] = _Trip(each)

    def expect(self, action_ids: Iterable[str]) -> None:
        """Let moves wait in `enter` until they are announced and it is their turn."""
        loop = asyncio.get_running_loop()
        self._turns.update((name, loop.create_future()) for name in action_ids)

    def announce(self, waiting: Iterable[Transfer], most_per_host: int, now: float) -> None:
        """Let expected moves go as soon as there is room; who gave up meanwhile is forgotten."""
        self._most_per_host = most_per_host
        here = (each for each in waiting if each.id in self._turns)
        self._waiting += [each for each in here if not self._turns[each.id].done()]
        self._waiting = in_turn(self._waiting)
        self._wake(now)

    async def enter(self, action_id: str) -> None:
        """Return when it is a move's turn; at once for one that is under way or was not expected.

        Whoever enters must leave.
        """
        turn = self._turns.get(action_id)
        if turn is not None:
            await turn

    def leave(self, action_id: str, now: float) -> None:
        """Say that a move has ended, or gives up."""
        known = self._trips.pop(action_id, None)
        turn = self._turns.pop(action_id, None)
        self._withdrawn.discard(action_id)
        if turn is not None:
            self._waiting = [each for each in self._waiting if each.id != action_id]
            turn.cancel()  # nobody is left to wait for it
        if known is not None or turn is not None:
            self._wake(now)

    def release(self, action_ids: Iterable[str]) -> None:
        """Let moves that wait go on at once, as none: they will not be carried out."""
        gone = {name for name in action_ids if name in self._turns}
        self._waiting = [each for each in self._waiting if each.id not in gone]
        for name in gone:
            if not self._turns[name].done():
                self._turns[name].set_result(None)

    def withdraw(self, action_id: str) -> bool:
        """Let a move that waits for its turn not begin; return whether it waits here.

        One that has its turn already begins all the same.
        """
        if action_id not in self._turns:
            return False
        self._withdrawn.add(action_id)
        self.release((action_id,))
        return True

    def is_withdrawn(self, action_id: str) -> bool:
        """Return whether a move that waited shall not begin."""
        return action_id in self._withdrawn

    def heard(self, action_id: str, progress: Progress, now: float) -> None:
        """Take note of how far a move is: who writes, and whether it ends soon."""
        trip = self._trips.get(action_id)
        if trip is None:
            return
        before = trip.stage, trip.transfer.writes
        if not trip.flows and progress.copied_mib > 0:
            trip.flows = True
            if not math.isnan(trip.since):
                self._learn(now - trip.since)
        silent_s = 0.0 if math.isnan(trip.heard) else now - trip.heard
        _note(trip, progress, self._setup_s + silent_s)
        trip.heard = now
        if (trip.stage, trip.transfer.writes) != before:
            self._wake(now)

    def _learn(self, setup_s: float) -> None:
        """Take note of how long a move took from its turn until its memory flowed."""
        known = self._setup_s or setup_s
        self._setup_s = min(_MOST_SETUP_S, known + _LEARNS * (setup_s - known))

    def _wake(self, now: float) -> None:
        self._waiting = [each for each in self._waiting if not self._turns[each.id].done()]
        if not self._waiting:
            return
        under_way = [(trip.transfer, trip.stage) for trip in self._trips.values()]
        chosen = set(self._admit(self._waiting, under_way, self._most_per_host))
        going = [each for each in self._waiting if each.id in chosen]
        self._waiting = [each for each in self._waiting if each.id not in chosen]
        for each in going:
            self._trips[each.id] = _Trip(each, now)
            self._turns[each.id].set_result(None)


def _note(trip: _Trip, progress: Progress, soon_s: float) -> None:
    """Write down what an engine says of a move; the next may be set up so long before it ends.

    How long one that writes still needs is a guess, and who joins it too early makes it longer: its
    end is believed when it is there.
    """
    flow = progress.flow
    if flow is not None and flow.dirty_mib_s:
        dirty = math.fsum(each for each in flow.dirty_mib_s if not math.isnan(each))
        trip.transfer = replace(trip.transfer, dirty_mib_s=dirty)
    soon = trip.flows and not trip.transfer.writes and progress.left_s <= soon_s
    trip.stage = Stage.ENDING if soon or progress.phase in _OVER else Stage.UNDER_WAY
