# SPDX-License-Identifier: Apache-2.0
"""Try several paths to one thing: the next begins when the one before failed or lets wait."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from billow.errors import BillowError, Refused, Unavailable

Found = TypeVar("Found")


async def in_turn(
    tries: Sequence[Callable[[], Awaitable[Found]]], patience_s: float
) -> tuple[int, Found]:
    """Return the place and the result of the first try that succeeds; the others are cancelled.

    Raises:
        Refused: all failed, and at least one was told no.
        Unavailable: all failed, and none got an answer.
        BillowError: all failed otherwise.
    """
    under_way: dict[asyncio.Task[Found], int] = {}
    failures: list[BillowError] = []
    waiting = list(enumerate(tries))
    try:
        while waiting or under_way:
            if waiting:
                place, begin = waiting.pop(0)
                under_way[asyncio.create_task(_awaited(begin))] = place
            done, _ = await asyncio.wait(
                under_way,
                timeout=patience_s if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                place = under_way.pop(task)
                error = task.exception()
                if error is None:
                    return place, task.result()
                if not isinstance(error, BillowError):
                    raise error
                failures.append(error)
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
    raise _gravest(failures)


async def _awaited(begin: Callable[[], Awaitable[Found]]) -> Found:
    return await begin()


def _gravest(failures: Sequence[BillowError]) -> BillowError:
    """Return what is told of several failures: a no before a silence, and both before no path."""
    silent = [each for each in failures if isinstance(each, Unavailable)]
    nos = [each for each in failures if isinstance(each, Refused)]
    chosen = (nos or silent or list(failures) or [Unavailable("there is no path to it")])[0]
    others = tuple(each.brief for each in failures if each.brief != chosen.brief)
    return type(chosen)(chosen.brief, (*chosen.details, *others), chosen.fix, chosen.code)
