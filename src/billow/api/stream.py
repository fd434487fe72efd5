# SPDX-License-Identifier: Apache-2.0
"""Server-sent events from whatever yields them, kept alive while nothing happens.

FastAPI can stream by itself, but raises inside the server when a client leaves between two events.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from starlette.responses import StreamingResponse

KEEP_ALIVE_S = 15.0
"""Proxies and clients take a connection for dead that is silent for longer than about a minute."""
PING = b": ping\n\n"


class EventStream(StreamingResponse):
    """An answer that goes on until either side ends it."""

    media_type = "text/event-stream"


async def kept_alive(
    source: AsyncIterator[bytes], every_s: float = KEEP_ALIVE_S
) -> AsyncGenerator[bytes, None]:
    """Yield what the source yields, and a comment whenever it is silent for so long."""
    upcoming = asyncio.ensure_future(_next(source))
    try:
        while True:
            done, _ = await asyncio.wait({upcoming}, timeout=every_s)
            if not done:
                yield PING
                continue
            event = upcoming.result()
            if event is None:
                return
            yield event
            upcoming = asyncio.ensure_future(_next(source))
    finally:
        upcoming.cancel()
        await asyncio.gather(upcoming, return_exceptions=True)


async def _next(source: AsyncIterator[bytes]) -> bytes | None:
    """Return the next event, or None when there is none any more."""
    return await anext(source, None)
