# SPDX-License-Identifier: Apache-2.0
"""How long the verbs wait for a cloud, and when they ask it again.

An order whose answer is lost may have been taken. It is sent again only after a look has shown that
it was not.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final, TypeVar

from billow.errors import Bug, Conflict, Unavailable

PATIENCE_S: Final = 180.0
"""How long an API that does not answer is waited for while something is under way."""
INSIST_S: Final = 60.0
"""How long an order that is not taken is sent again."""
CONFLICT_S: Final = 15.0
"""How long what Nova does with a server by itself is waited for."""
FIRST_LOOK_S: Final = 0.2
LAST_LOOK_S: Final = 2.0
_SLOWER: Final = 1.25
CERTAIN_S: Final = 2.0

Answer = TypeVar("Answer")


async def looks() -> AsyncGenerator[float, None]:
    """Yield the seconds since the first look, at intervals that grow: nobody hammers an API."""
    clock, pause = asyncio.get_running_loop().time, FIRST_LOOK_S
    began = clock()
    while True:
        yield clock() - began
        await asyncio.sleep(pause)
        pause = min(pause * _SLOWER, LAST_LOOK_S)


async def steadfast(ask: Callable[[], Awaitable[Answer]], patience_s: float = PATIENCE_S) -> Answer:
    """Ask until there is an answer. Raises Unavailable when none came for so long."""
    async for waited in looks():
        try:
            return await ask()
        except Unavailable:
            if waited > patience_s:
                raise
    raise Bug("looking came to an end")


async def order(
    send: Callable[[], Awaitable[object]], taken: Callable[[], Awaitable[bool]]
) -> None:
    """Send an order until it is taken, by its answer or by what a look shows.

    Raises:
        Unavailable: it was not taken for a minute.
        Conflict: Nova is busy with its subject, and does not end that.
        BillowError: it was refused.
    """
    async for waited in looks():
        try:
            await send()
        except Unavailable:
            if await _is(taken, CERTAIN_S):
                return
            if waited > INSIST_S:
                raise
        except Conflict:
            if await _is(taken, 0.0):
                return
            if waited > CONFLICT_S:
                raise
        else:
            return


async def _is(taken: Callable[[], Awaitable[bool]], within_s: float) -> bool:
    """Return whether an order was taken; one that is on its way gets the time to arrive."""
    async for waited in looks():
        if await steadfast(taken):
            return True
        if waited >= within_s:
            return False
    raise Bug("looking came to an end")
