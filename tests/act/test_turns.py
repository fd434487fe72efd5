# SPDX-License-Identifier: Apache-2.0
"""Turns that fail each time: told, counted, and not told a thousand times."""

import asyncio
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from billow.act.turns import FAILED, LOGGED_EVERY_S, failing, guarded, keep
from billow.errors import Unavailable
from billow.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio
NAME = "Decider.turn"


class Decider:
    """Fails as it is told to."""

    def __init__(self) -> None:
        self.fails: Callable[[int], Exception | None] = lambda _: None
        self.turns = 0

    async def turn(self) -> None:
        """Count, and fail."""
        self.turns += 1
        if (error := self.fails(self.turns)) is not None:
            raise error


Decider.turn.__qualname__ = NAME


async def kept(decider: Decider, seconds: float) -> tuple[list[dict[str, object]], str]:
    """Take turns for a while; return what was logged, and why they fail at the end."""
    clock = VirtualClock()
    with capture_logs() as logged:
        task = asyncio.create_task(keep(decider.turn, 0.05, clock))
        await clock.sleep(seconds)
        why = failing(NAME)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return [dict(each) for each in logged], why


async def test_the_same_error_is_logged_once_a_minute_and_counted_each_time() -> None:
    decider = Decider()
    decider.fails = lambda turns: TypeError(f"no {turns}")
    logged, why = await kept(decider, LOGGED_EVERY_S + 5)
    assert decider.turns > 1000
    assert [each["event"] for each in logged] == ["unexpected error"] * 2
    assert isinstance(logged[0]["exc_info"], TypeError)
    assert (logged[0]["turn"], logged[0]["failures"]) == (NAME, 1)
    assert why == f"TypeError: no {decider.turns} ({decider.turns} times in a row)"
    assert FAILED.labels(NAME)._value.get() == decider.turns
    assert not failing(NAME), "turns that nobody takes any more do not fail"


async def test_another_error_is_logged_at_once() -> None:
    decider = Decider()

    def fails(turns: int) -> Exception:
        if turns % 2:
            return Unavailable("the store is away", ("it said so",))
        return TypeError("no")

    decider.fails = fails
    logged, _ = await kept(decider, 5.0)
    assert [each["event"] for each in logged] == ["the store is away", "unexpected error"]
    assert logged[0]["details"] == ("it said so",)


async def test_a_turn_that_goes_well_ends_the_row() -> None:
    decider = Decider()
    decider.fails = lambda turns: TypeError("no") if turns < 5 else None
    logged, why = await kept(decider, 5.0)
    assert (len(logged), why) == (1, "")
    assert FAILED.labels(NAME)._value.get() == 0


async def test_one_turn_alone_ends_nothing_and_is_told() -> None:
    decider = Decider()
    decider.fails = lambda _: TypeError("no")
    with capture_logs() as logged:
        await guarded(decider.turn)
    assert [each["turn"] for each in logged] == [NAME]
    assert not failing(NAME)
