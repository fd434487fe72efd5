# SPDX-License-Identifier: Apache-2.0
"""Let an exchange that has begun come to its end: what is on its way cannot be recalled.

Whoever breaks it off does not know whether it is carried out later, after what is sent next; and
leaves the controller with half a connection, of which it has few.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Found = TypeVar("Found")


async def whole(work: Coroutine[Any, Any, Found]) -> Found:
    """Return what an exchange comes to; who is cancelled meanwhile ends with it, not before.

    Who is cancelled a second time breaks it off.
    """
    exchange = asyncio.create_task(work)
    try:
        return await asyncio.shield(exchange)
    except asyncio.CancelledError:
        await asyncio.gather(exchange, return_exceptions=True)
        raise
