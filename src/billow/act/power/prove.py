# SPDX-License-Identifier: Apache-2.0
"""Prove over one path that a host has no power: order it off, and read `off` twice.

The proof is what is read, never what an order answered: an order that is not acknowledged may have
been heard, and one that is may have done nothing. Controllers take seconds to answer, so several
questions may be under way at one time; two answers count when they were asked for 1 s apart and
came 1 s apart, and nothing between or after them says otherwise. What was read before the order,
while the host was only doubted, counts as well (`readings`); the order is given all the same.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from billow.act.power.exchange import whole
from billow.act.power.line import Line, Reading
from billow.act.power.readings import EVERY_S, YOUNG_S, Asked, Readings
from billow.errors import BillowError, Refused, Unavailable
from billow.model.kinds import Power
from billow.ports import Clock

_FIRST: Final = asyncio.FIRST_COMPLETED
_FIRST_LOOK_S: Final = 0.1
_AGAIN_S: Final = 1.0
_NOES: Final = 3
"""After so many times no, while it is read on, the order is taken as refused."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How much a controller is asked, and for how long.

    Attributes:
        at_once: Questions under way at one time.
        limit_s: Give up after so long.
    """

    at_once: int
    limit_s: float


@dataclass(slots=True)
class _Search:
    """A search for a proof: what was asked so far, and what the order came to."""

    line: Line
    check: Callable[[Reading], None]
    clock: Clock
    readings: Readings
    noes: list[BillowError] = field(default_factory=list)
    silence: BillowError | None = None
    asked_at: float = 0.0

    def look(self) -> Coroutine[Any, Any, None]:
        """Ask once, from now; what does not answer is remembered.

        The work raises Refused for another machine.
        """
        question = self.readings.ask(self.clock.now())
        self.asked_at = question.at
        return self._asking(question)

    async def _asking(self, question: Asked) -> None:
        try:
            reading = await self.line.read()
            self.check(reading)
            question.answered, question.power = self.clock.now(), reading.power
        except (Unavailable, TimeoutError) as error:
            self.silence = error if isinstance(error, BillowError) else None
        finally:
            self.readings.end(question)

    @property
    def next_at(self) -> float:
        """When it is time to ask again."""
        return max(self.asked_at, self.readings.newest_at) + EVERY_S

    async def order(self) -> None:
        """Order it off until that is acknowledged, or was refused often enough."""
        while len(self.noes) < _NOES:
            try:
                await whole(self.line.cut())
            except Refused as error:
                self.noes.append(error)
            except Unavailable as error:
                self.silence = error
            else:
                return
            await self.clock.sleep(_AGAIN_S)

    def check_refused(self) -> None:
        """Give up when the order is refused again and again and the host is on. Raises Refused."""
        if len(self.noes) >= _NOES and self.readings.last is Power.ON:
            raise self.noes[-1]


async def prove_off(
    line: Line,
    check: Callable[[Reading], None],
    clock: Clock,
    patience: Patience,
    readings: Readings | None = None,
    linger: Callable[[asyncio.Task[None]], object] = asyncio.Task.cancel,
) -> float:
    """Order a host off and read that twice; return how far apart the answers came, seconds.

    Args:
        line: The controller, over one path.
        check: Raises Refused for a reading of another machine.
        clock: The only time.
        patience: How much it is asked, and for how long.
        readings: What it was asked before, and is asked meanwhile.
        linger: Told of the order when the search is over: it may not be acknowledged yet.

    Raises:
        Unavailable: no answer, or it did not read off in time. Nothing is proved.
        Refused: the order was refused, or it is another machine.
    """
    search = _Search(line, check, clock, Readings() if readings is None else readings)
    ordering = asyncio.create_task(search.order())
    try:
        async with _tasks() as start:
            first = start(clock.sleep(_FIRST_LOOK_S))
            await asyncio.wait({ordering, first}, return_when=_FIRST)
            return await _found(search, start, patience)
    except BaseException:
        ordering.cancel()
        raise
    finally:
        linger(ordering)


async def _found(search: _Search, start: "_Start", patience: Patience) -> float:
    """Ask until it is proved; return how far apart the answers came, seconds."""
    looking: set[asyncio.Task[None]] = set()
    clock, readings = search.clock, search.readings
    since, until = clock.now() - YOUNG_S, clock.now() + patience.limit_s
    while (found := readings.proof(since)) is None:
        search.check_refused()
        _check_in_time(search, since, until - clock.now())
        if len(looking) < patience.at_once and clock.now() >= search.next_at:
            looking.add(start(search.look()))
        readings.news.clear()
        told = start(_heard(readings))
        tick = start(clock.sleep(_until_next(search.next_at, clock.now(), until)))
        done, _ = await asyncio.wait({*looking, told, tick}, return_when=_FIRST)
        tick.cancel()
        told.cancel()
        for each in done & looking:
            each.result()
        looking -= done
    return found[1].answered - found[0].answered


async def _heard(readings: Readings) -> None:
    """Return when somebody else's question was answered."""
    await readings.news.wait()


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


def _until_next(next_at: float, now: float, until: float) -> float:
    """Return the seconds until there is something to do, apart from answers."""
    wait_s = next_at - now
    if wait_s <= 0:  # as many questions as may be are under way
        wait_s = until - now
    return max(min(wait_s, until - now), 0.001)


def _check_in_time(search: _Search, since: float, left_s: float) -> None:
    if left_s > 0:
        return
    asked = search.readings.asked
    answers = [each.power for each in asked if each.answered and each.at >= since]
    if not answers:
        raise search.silence or Unavailable("no answer came to any question for its power")
    raise Unavailable(
        f"it did not read off in time: {answers[-1]} at last",
        tuple(each.brief for each in search.noes[-1:]),
        "look at the host; its power is not proved to be off",
    )
