# SPDX-License-Identifier: Apache-2.0
"""Prove over one path that a host has no power: order it off, and read `off` twice.

The proof is what is read, never what an order answered: an order that is not acknowledged may have
been heard, and one that is may have done nothing. Controllers take seconds to answer, so several
questions may be under way at one time; two answers count when they were asked for 1 s apart and
came 1 s apart, and nothing between or after them says otherwise.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from billow.act.power.line import Line, Reading
from billow.errors import BillowError, Refused, Unavailable
from billow.model.kinds import Power
from billow.ports import Clock

APART_S: Final = 1.0
_FIRST: Final = asyncio.FIRST_COMPLETED
_FIRST_LOOK_S: Final = 0.1
_EVERY_S: Final = APART_S + 0.05
"""Between questions: answers jitter by milliseconds."""
_AGAIN_S: Final = 1.0
_NOES: Final = 3
"""After so many times no, while it is read on, the order is taken as refused."""


@dataclass(slots=True)
class _Asked:
    """One question for the power, and what came of it."""

    at: float
    answered: float = 0.0
    power: Power = Power.UNKNOWN


@dataclass(slots=True)
class _Search:
    """A search for a proof: what was asked so far, and what the order came to."""

    line: Line
    check: Callable[[Reading], None]
    clock: Clock
    asked: list[_Asked] = field(default_factory=list)
    noes: list[BillowError] = field(default_factory=list)
    silence: BillowError | None = None

    def look(self) -> Coroutine[Any, Any, None]:
        """Ask once, from now; what does not answer is remembered.

        The work raises Refused for another machine.
        """
        self.asked.append(_Asked(self.clock.now()))
        return self._asking(self.asked[-1])

    async def _asking(self, question: _Asked) -> None:
        try:
            reading = await self.line.read()
        except (Unavailable, TimeoutError) as error:
            self.silence = error if isinstance(error, BillowError) else None
            return
        self.check(reading)
        question.answered, question.power = self.clock.now(), reading.power

    async def order(self) -> None:
        """Order it off until that is acknowledged, or was refused often enough."""
        while len(self.noes) < _NOES:
            try:
                await self.line.cut()
            except Refused as error:
                self.noes.append(error)
            except Unavailable as error:
                self.silence = error
            else:
                return
            await self.clock.sleep(_AGAIN_S)

    def proof(self) -> tuple[_Asked, _Asked] | None:
        """Return the last two answers that prove it, or None."""
        answers = [each for each in self.asked if each.answered]
        row: list[_Asked] = []
        for each in answers:
            row = [*row, each] if each.power is Power.OFF else []
        if not row:
            return None
        first, last = row[0], row[-1]
        apart = min(last.at - first.at, last.answered - first.answered)
        return (first, last) if apart >= APART_S else None

    def check_refused(self) -> None:
        """Give up when the order is refused again and again and the host is on. Raises Refused."""
        answers = [each for each in self.asked if each.answered]
        if len(self.noes) >= _NOES and answers and answers[-1].power is Power.ON:
            raise self.noes[-1]


async def prove_off(
    line: Line, check: Callable[[Reading], None], clock: Clock, *, at_once: int, limit_s: float
) -> float:
    """Order a host off and read that twice; return how far apart the answers came, seconds.

    Args:
        line: The controller, over one path.
        check: Raises Refused for a reading of another machine.
        clock: The only time.
        at_once: Questions under way at one time.
        limit_s: Give up after so long.

    Raises:
        Unavailable: no answer, or it did not read off in time. Nothing is proved.
        Refused: the order was refused, or it is another machine.
    """
    search = _Search(line, check, clock)
    until = clock.now() + limit_s
    async with _tasks() as start:
        ordering = start(search.order())
        await asyncio.wait({ordering, start(clock.sleep(_FIRST_LOOK_S))}, return_when=_FIRST)
        looking: set[asyncio.Task[None]] = set()
        while (found := search.proof()) is None:
            search.check_refused()
            _check_in_time(search, until - clock.now())
            if len(looking) < at_once and _is_time(search, clock.now()):
                looking.add(start(search.look()))
            tick = start(clock.sleep(_until_next(search, clock.now(), until)))
            done, _ = await asyncio.wait({*looking, tick}, return_when=_FIRST)
            tick.cancel()
            for each in done & looking:
                each.result()
            looking -= done
    return found[1].answered - found[0].answered


_Start: TypeAlias = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


@contextlib.asynccontextmanager
async def _tasks() -> AsyncIterator[_Start]:
    """Yield a way to start tasks that end with this block."""
    started: set[asyncio.Task[Any]] = set()

    def start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        started.add(task)
        task.add_done_callback(started.discard)
        return task

    try:
        yield start
    finally:
        for task in started:
            task.cancel()
        await asyncio.gather(*started, return_exceptions=True)


def _is_time(search: _Search, now: float) -> bool:
    return not search.asked or now >= search.asked[-1].at + _EVERY_S


def _until_next(search: _Search, now: float, until: float) -> float:
    """Return the seconds until there is something to do, apart from answers."""
    next_look = search.asked[-1].at + _EVERY_S if search.asked else now
    wait_s = next_look - now
    if wait_s <= 0:  # as many questions as may be are under way
        wait_s = until - now
    return max(min(wait_s, until - now), 0.001)


def _check_in_time(search: _Search, left_s: float) -> None:
    if left_s > 0:
        return
    answers = [each.power for each in search.asked if each.answered]
    if not answers:
        raise search.silence or Unavailable("no answer came to any question for its power")
    raise Unavailable(
        f"it did not read off in time: {answers[-1]} at last",
        tuple(each.brief for each in search.noes[-1:]),
        "look at the host; its power is not proved to be off",
    )
