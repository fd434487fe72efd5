# SPDX-License-Identifier: Apache-2.0
"""How long PostgreSQL is waited for: a server that is gone or frozen must hold nobody for ever.

The kernel finds that a machine is gone (`lost_after`); that a server stands still though its kernel
answers is found here. SQLite is a file, so none of this is about it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy.engine import URL

ANSWER_S: Final = 12.0
"""How long one answer may take; longer than a write waits for another (`open.WAIT_S`), so that
PostgreSQL itself says why."""
READ_S: Final = 20.0
"""How long one read may take, with the wait for a connection."""
COMMIT_S: Final = 60.0
"""How long all the work of one commit may take, with the commit."""

_LOST: Final = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 3,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
}


def lost_after(url: URL) -> Mapping[str, int]:
    """Return libpq's options by which a lost machine is found within 5 s; the URL's own go first.

    Source: https://www.postgresql.org/docs/current/libpq-connect.html (seconds, but the last: ms).
    """
    return {name: value for name, value in _LOST.items() if name not in url.query}


@asynccontextmanager
async def limited(limit_s: float | None) -> AsyncIterator[None]:
    """Raise TimeoutError, saying so, when what is done takes longer; None is no limit."""
    limit = asyncio.timeout(limit_s)
    try:
        async with limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise TimeoutError(f"it was not done within {limit_s:g} s") from error
