# SPDX-License-Identifier: Apache-2.0
"""Follow a migration from its first byte to its last, and steer it."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from qemu.qmp import EventListener

from billow.act.copied import Copied, check_hope, check_patience
from billow.act.terms import Terms
from billow.engines.qemu.migration.limits import Limits
from billow.engines.qemu.monitor import Monitor
from billow.errors import BillowError, Refused
from billow.model.run import Progress
from billow.plan.steering import Seen, Turn

LOOK_EVERY_S: Final = 0.1
RATES_EVERY_S: Final = 0.5
_BREAK_S: Final = 5.0
_MIB: Final = 2**20
BANDWIDTH: Final = "avail-switchover-bandwidth"
"""What the last memory may reckon with, bytes/s; 0 lets QEMU estimate it from the last 100 ms."""
_DONE: Final = frozenset({"completed", "postcopy-active"})
_FAILED: Final = frozenset({"failed", "cancelled"})
_HALTED: Final = "pre-switchover"
"""The guest stands still, and QEMU waits for a word before it hands over."""


@dataclass(slots=True)
class Copying:
    """One copy on its way.

    Attributes:
        limits: None where no vCPU can be held.
        reckons: Whether QEMU can be told what bandwidth the last memory will have.
        net: What QEMU is told when limits are set, or none that would help can be.
        at_halt: What is still to be done when the guest stands still, before it is handed over.
        status: What QEMU calls the state that it came to.
    """

    source: Monitor
    copied: Copied
    terms: Terms
    limits: Limits | None
    reckons: bool = False
    net: Mapping[str, object] = field(default_factory=dict)
    at_halt: Callable[[], Awaitable[None]] | None = None
    status: str = ""
    _rates: tuple[float, ...] = ()
    _asked: float = 0.0

    async def follow(self) -> AsyncIterator[Progress]:
        """Yield how far it is until the source has handed the guest over.

        Raises:
            Refused: it failed, stalled, takes too long, or will not end.
            Lost: QEMU does not answer.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        with self.source.events("MIGRATION", "MIGRATION_PASS") as events:
            while True:
                stall_s = self.terms.stall_s
                answer = await self.source.mapping("query-migrate", timeout_s=stall_s)
                self.status = str(answer.get("status", "none"))
                if self.status in _DONE:
                    self.copied.look(answer, loop.time() - began, self._rates)
                    return
                if self.status in _FAILED:
                    why = str(answer.get("error-desc") or f"QEMU says: {self.status}")
                    raise Refused("the migration failed", details=(why,), code="move-failed")
                if self.status == _HALTED and self.at_halt is not None:
                    await self._hand_over(self.at_halt)
                    continue
                seconds = loop.time() - began
                await self._look(answer, seconds)
                still_s = loop.time() - began - self.copied.moved_at
                check_patience(
                    seconds, still_s, timeout_s=self.terms.timeout_s, stall_s=self.terms.stall_s
                )
                yield self.copied.last
                await next_event(events)

    async def break_off(self) -> None:
        """Break the stream: QEMU may wait for its other end, and for nothing else. Never raises.

        Its main thread can be held up in a write to a target that has stopped; then it answers
        nothing but this, and its guest stands still.
        """
        which = {"instances": [{"type": "migration"}]}
        with contextlib.suppress(BillowError):
            await self.source.execute("yank", which, timeout_s=_BREAK_S, at_once=True)

    async def _hand_over(self, at_halt: Callable[[], Awaitable[None]]) -> None:
        self.at_halt = None
        await at_halt()
        await self.source.execute("migrate-continue", {"state": _HALTED})

    async def _look(self, answer: dict[str, object], seconds: float) -> None:
        """See how far it is, and do what the steering says."""
        if self.limits and seconds - self._asked >= RATES_EVERY_S and "ram" in answer:
            self._asked = seconds
            self._rates = await self.limits.rates(asyncio.get_running_loop().time())
        seen = self.copied.look(answer, seconds, self._rates)
        if seen is not None:
            await self._turn(self.copied.steering.look(seen), seen)

    async def _turn(self, turn: Turn, seen: Seen) -> None:
        check_hope(turn)
        if not math.isnan(turn.window_s):
            if self.reckons:
                known = {BANDWIDTH: round(seen.carried_mib_s * _MIB)}
                await self.source.execute("migrate-set-parameters", known)
            await allow(self.source, turn.window_s)
        if turn.together or (turn.limits and self.limits):
            await self.source.execute("migrate-set-parameters", self.net)
        if turn.limits and self.limits:
            await self.limits.hold(turn.limits)
        elif turn.limits:
            own = {"vcpu-dirty-limit": max(1, round(turn.limits[0]))}
            await self.source.execute("migrate-set-parameters", own)
        if turn.switch:
            await self.source.execute("migrate-start-postcopy")


async def allow(source: Monitor, window_s: float) -> None:
    """Say how long the last memory may take. Raises Refused, Lost."""
    window = {"downtime-limit": max(1, round(window_s * 1000))}
    await source.execute("migrate-set-parameters", window)


async def next_event(events: EventListener) -> None:
    """Return when something happened, or when it is time to look again."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(events.get(), LOOK_EVERY_S)
