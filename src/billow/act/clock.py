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


class SteadyClock(SystemClock):
    """Real time that never jumps within a process: what is measured in seconds stays right."""

    def __init__(self) -> None:
        self._epoch = super().now() - time.monotonic()

    def now(self) -> float:
        """Return seconds since the epoch, as it was set when this clock was made."""
        return self._epoch + time.monotonic()
