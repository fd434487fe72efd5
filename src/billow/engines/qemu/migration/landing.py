# SPDX-License-Identifier: Apache-2.0
"""The instant of a move at which the guest changes hosts, and how long it stood still for it."""

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from qemu.qmp import EventListener

from billow.engines.qemu.migration.order import ARRIVED
from billow.engines.qemu.monitor import Monitor
from billow.errors import Lost
from billow.model.kinds import State
from billow.model.run import Progress

_LANDS_S: Final = 5.0
"""A target that has everything says so in milliseconds; until it does, the guest stands still."""
_LOOK_EVERY_S: Final = 0.005
_READY: Final = frozenset({"paused", "prelaunch", "running", "postmigrate"})


@dataclass(slots=True)
class Landing:
    """The end of a move that the target is told.

    Attributes:
        home: Writes the target down as the guest's home, at once.
        wanted: Whether the guest shall run there.
        stopped: Listens to the source's `STOP`.
        landed: Listens to the target's `MIGRATION` and `RESUME`.
    """

    target: Monitor
    home: Callable[[], None]
    wanted: State
    stopped: EventListener
    landed: EventListener
    _resumed: float = math.nan

    async def land(self, *, later: bool) -> None:
        """Wait until the target can run the guest, write that down, and let it run.

        Args:
            later: Whether the rest of the memory comes afterwards.

        Raises:
            Lost: the target does not say that it can.
        """
        try:
            async with asyncio.timeout(_LANDS_S):
                await (self._handed_over() if later else self._complete())
        except TimeoutError as error:
            raise Lost(
                "the target does not say whether it has everything", code="move-unclear"
            ) from error
        self.home()
        if self.wanted is State.RUNNING:
            await self.target.execute("cont")
            self._resumed = await _time_of(self.landed, "RESUME")

    def told(self, last: Progress) -> Progress:
        """Return the progress of the end, with the time that the guest stood still."""
        began = [_stamp(event) for event in self.stopped.history if event["event"] == "STOP"]
        downtime = self._resumed - began[-1] if began else math.nan
        flow = replace(last.flow, downtime_s=downtime, left_mib=0.0) if last.flow else None
        return replace(last, phase=ARRIVED, flow=flow)

    async def _complete(self) -> None:
        while (await self.target.mapping("query-migrate")).get("status") != "completed":
            await self.landed.get()

    async def _handed_over(self) -> None:
        """Wait until the target has all but memory: from then on the source cannot go on."""
        while await self.target.status() not in _READY:  # noqa: ASYNC110  # no event says so
            await asyncio.sleep(_LOOK_EVERY_S)


async def _time_of(events: EventListener, name: str) -> float:
    """Return when an event that was caused happened, by QEMU's clock; NaN when it is not told."""
    try:
        async with asyncio.timeout(1.0):
            while True:
                event = await events.get()
                if event["event"] == name:
                    return _stamp(event)
    except TimeoutError:
        return math.nan


def _stamp(event: Mapping[str, Any]) -> float:
    stamp = event["timestamp"]
    return float(stamp["seconds"]) + float(stamp["microseconds"]) / 1e6
