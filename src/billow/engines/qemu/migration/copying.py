# SPDX-License-Identifier: Apache-2.0
"""Follow a migration from its first byte to its last, and steer it."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from qemu.qmp import EventListener

from billow.engines.qemu.migration.brakes import BANDWIDTH
from billow.engines.qemu.migration.limits import Limits
from billow.engines.qemu.monitor import Monitor
from billow.engines.qemu.terms import Terms
from billow.errors import BillowError, Refused
from billow.model.run import Flow, Progress
from billow.plan.steering import Seen, Steering

LOOK_EVERY_S: Final = 0.1
RATES_EVERY_S: Final = 0.5
_COUNTED_S: Final = 0.4
"""The bandwidth is what flowed in so long at least: a link lets bursts through."""
_WARM_S: Final = 0.2
"""Not counted: the first bytes only fill buffers."""
_BREAK_S: Final = 5.0
_PAGE_MIB: Final = 4096 / 2**20
_MIB: Final = 2**20
_DONE: Final = frozenset({"completed", "postcopy-active"})
_FAILED: Final = frozenset({"failed", "cancelled"})
_HALTED: Final = "pre-switchover"
"""The guest stands still, and QEMU waits for a word before it hands over."""


@dataclass(slots=True)
class Carried:
    """What the link carries, as far as a move has shown it, MiB/s.

    The most of all windows since it last fell for good: memory that is empty costs time and sends
    nothing.
    """

    rate_mib_s: float = math.nan
    now_mib_s: float = math.nan
    _since: float = math.nan
    _sent: float = 0.0

    def look(self, seconds: float, sent_mib: float) -> None:
        """Take note of what was sent until now."""
        if seconds < _WARM_S or math.isnan(self._since):
            if seconds >= _WARM_S:
                self._since, self._sent = seconds, sent_mib
            return
        passed = seconds - self._since
        if passed >= _COUNTED_S:
            self.now_mib_s = (sent_mib - self._sent) / passed
            known = 0.0 if math.isnan(self.rate_mib_s) else self.rate_mib_s
            self.rate_mib_s = max(self.now_mib_s, known)
            self._since, self._sent = seconds, sent_mib


@dataclass(slots=True)
class Copying:
    """One copy on its way.

    Attributes:
        limits: None where no vCPU can be held.
        reckons: Whether QEMU can be told what bandwidth the last memory will have.
        at_halt: What is still to be done when the guest stands still, before it is handed over.
        status: What QEMU calls the state that it came to.
    """

    source: Monitor
    steering: Steering
    terms: Terms
    limits: Limits | None
    reckons: bool = False
    at_halt: Callable[[], Awaitable[None]] | None = None
    last: Progress = field(default_factory=lambda: Progress(0.0, "copying"))
    status: str = ""
    _carried: Carried = field(default_factory=Carried)
    _rates: tuple[float, ...] = ()
    _asked: float = 0.0

    async def follow(self) -> AsyncIterator[Progress]:
        """Yield how far it is until the source has handed the guest over.

        Raises:
            Refused: it failed, stalled, takes too long, or will not end.
            Lost: QEMU does not answer.
        """
        loop = asyncio.get_running_loop()
        began = moved = loop.time()
        with self.source.events("MIGRATION", "MIGRATION_PASS") as events:
            while True:
                stall_s = self.terms.stall_s
                answer = await self.source.mapping("query-migrate", timeout_s=stall_s)
                self.status = str(answer.get("status", "none"))
                if self.status in _DONE:
                    self.last = self._reached(answer, loop.time() - began)
                    return
                if self.status in _FAILED:
                    why = str(answer.get("error-desc") or f"QEMU says: {self.status}")
                    raise Refused("the migration failed", details=(why,), code="move-failed")
                if self.status == _HALTED and self.at_halt is not None:
                    await self._hand_over(self.at_halt)
                    continue
                seconds, sent = loop.time() - began, self.last.copied_mib
                self.last = await self._look(answer, seconds)
                if self.last.copied_mib != sent:
                    moved = loop.time()
                check_patience(self.terms, seconds, loop.time() - moved)
                yield self.last
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

    async def _look(self, answer: dict[str, object], seconds: float) -> Progress:
        """See how far it is, and do what the steering says."""
        ram = answer.get("ram")
        if not isinstance(ram, dict):
            return Progress(self.last.fraction, str(answer.get("status", "copying")))
        sent = float(ram["transferred"]) / _MIB
        self._carried.look(seconds, sent)
        if self.limits and seconds - self._asked >= RATES_EVERY_S:
            self._asked = seconds
            self._rates = await self.limits.rates(asyncio.get_running_loop().time())
        await self._turn(self._seen(ram, seconds))
        return self._reached(answer, seconds)

    def _seen(self, ram: dict[str, Any], seconds: float) -> Seen:
        return Seen(
            seconds=seconds,
            rounds=max(1, int(ram.get("dirty-sync-count", 1))),
            left_mib=float(ram["remaining"]) / _MIB,
            carried_mib_s=self._carried.rate_mib_s,
            rates=self._rates,
        )

    def _reached(self, answer: dict[str, object], seconds: float) -> Progress:
        """Return how far it is, as QEMU says; a small guest may never have been seen before."""
        ram = answer.get("ram")
        if not isinstance(ram, dict):
            return self.last
        sent, total = float(ram["transferred"]) / _MIB, float(ram["total"]) / _MIB
        return self._progress(self._seen(ram, seconds), total, sent, answer)

    async def _turn(self, seen: Seen) -> None:
        turn = self.steering.look(seen)
        if turn.hopeless:
            raise Refused(
                f"the move will not end: {turn.hopeless}",
                fix="move it by the policy balanced, or at a quieter time",
                code="move-endless",
            )
        if not math.isnan(turn.window_s):
            if self.reckons:
                known = {BANDWIDTH: round(seen.carried_mib_s * _MIB)}
                await self.source.execute("migrate-set-parameters", known)
            await allow(self.source, turn.window_s)
        if turn.limits and self.limits:
            await self.limits.hold(turn.limits)
        elif turn.limits:
            own = {"vcpu-dirty-limit": max(1, round(turn.limits[0]))}
            await self.source.execute("migrate-set-parameters", own)
        if turn.switch:
            await self.source.execute("migrate-start-postcopy")

    def _progress(
        self, seen: Seen, total: float, sent: float, answer: dict[str, object]
    ) -> Progress:
        """Return how far it is; the fraction never falls, although a busy guest makes more."""
        rate = self._carried.now_mib_s
        done = 1.0 - seen.left_mib / total if total else 0.0
        throttle = answer.get("cpu-throttle-percentage", 0)
        return Progress(
            fraction=min(0.99, max(self.last.fraction, done)),
            phase="copying",
            left_s=seen.left_mib / rate if rate > 0 else math.nan,
            copied_mib=sent,
            total_mib=total,
            flow=Flow(
                way=self.steering.course.way,
                seconds=seen.seconds,
                left_mib=seen.left_mib,
                rate_mib_s=rate,
                pages_round=seen.rounds,
                dirty_mib_s=seen.rates or _written(answer),
                limits_mib_s=self.steering.limits,
                why=self.steering.course.why,
                throttle=throttle / 100 if isinstance(throttle, int) else 0.0,
            ),
        )


async def allow(source: Monitor, window_s: float) -> None:
    """Say how long the last memory may take. Raises Refused, Lost."""
    window = {"downtime-limit": max(1, round(window_s * 1000))}
    await source.execute("migrate-set-parameters", window)


def _written(answer: dict[str, object]) -> tuple[float, ...]:
    """Return what all vCPUs together wrote in the last round, MiB/s; empty before it ended."""
    ram = answer.get("ram")
    pages = ram.get("dirty-pages-rate") if isinstance(ram, dict) else None
    return (pages * _PAGE_MIB,) if isinstance(pages, int) and pages > 0 else ()


def check_patience(terms: Terms, whole_s: float, still_s: float) -> None:
    """Give a move up that stands still or takes too long. Raises Refused."""
    if still_s > terms.stall_s:
        raise Refused(
            "the migration stands still",
            details=(f"no memory was copied for {still_s:.0f} s",),
            fix="look at the network between the two hosts",
            code="move-stalled",
        )
    if whole_s > terms.timeout_s:
        raise Refused(
            "the instance writes its memory faster than the link carries it",
            details=(f"not there after {whole_s:.0f} s",),
            fix="move it at a quieter time, or stop it first",
            code="move-endless",
        )


async def next_event(events: EventListener) -> None:
    """Return when something happened, or when it is time to look again."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(events.get(), LOOK_EVERY_S)
