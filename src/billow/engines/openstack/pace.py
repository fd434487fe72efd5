# SPDX-License-Identifier: Apache-2.0
"""How many calls per second a cloud is asked at most: so that Billow is never what loads it."""

import asyncio


class Pace:
    """Let callers through at a rate; after a pause, one second's worth at once."""

    def __init__(self, per_s: float) -> None:
        self._step_s = 1 / per_s
        self._next = 0.0

    async def turn(self) -> None:
        """Return when it is this caller's turn; turns are given in the order of asking."""
        now = asyncio.get_running_loop().time()
        self._next = max(self._next, now - 1.0) + self._step_s
        if self._next > now:
            await asyncio.sleep(self._next - now)

    def hold(self, seconds: float) -> None:
        """Let nobody new through for so long."""
        now = asyncio.get_running_loop().time()
        self._next = max(self._next, now + seconds)
