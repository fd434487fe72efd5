# SPDX-License-Identifier: Apache-2.0
"""This machine's clock: the one place where real time enters."""

import asyncio
import time


class SystemClock:
    """Real time; fulfils `billow.ports.Clock`."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time()  # noqa: TID251 - the one place where real time enters

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        await asyncio.sleep(seconds)
