# SPDX-License-Identifier: Apache-2.0
"""A connection to PostgreSQL that is closed as soon as nobody waits for its answer.

Psycopg itself asks the server to stop when a wait is cancelled, and waits up to 10 s for that: from
a server that does not answer, nothing can be had so. A closed connection leaves its pool.
"""

import asyncio
from typing import Any, TypeVar

from psycopg import AsyncConnection, OperationalError
from psycopg.abc import PQGen
from psycopg.waiting import wait_async

from billow.store import patience

Given = TypeVar("Given")
_LOOKED_EVERY_S = 0.1


class Line(AsyncConnection[Any]):
    """A connection whose every wait for the server is limited."""

    async def wait(
        self,
        gen: PQGen[Given],
        interval: float = _LOOKED_EVERY_S,
        timeout: float | None = None,  # noqa: ASYNC109 (psycopg's method has it)
    ) -> Given:
        """Wait for an answer of the server, for `patience.ANSWER_S` unless told otherwise.

        Raises:
            OperationalError: there was none; the connection is closed.
        """
        limit_s = patience.ANSWER_S if timeout is None else timeout
        try:
            async with asyncio.timeout(limit_s):
                return await wait_async(gen, self.pgconn.socket, interval=interval)
        except TimeoutError:
            await self.close()
            raise OperationalError(f"no answer within {limit_s:g} s") from None
        except asyncio.CancelledError:
            await self.close()
            raise
