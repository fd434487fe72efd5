# SPDX-License-Identifier: Apache-2.0
"""One measured move of one guest: how long, how still, how slow, and whether all of it arrived."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from benchmarks.migration_lab import HOSTS, Guest, Lab
from benchmarks.migration_pages import Words, bad_pages, dump
from benchmarks.migration_watch import (
    GuestMemory,
    Mark,
    Sample,
    Watch,
    arrival,
    courses,
    on_host,
    rate,
)
from billow.engines.qemu.process import process_id
from billow.errors import Unavailable
from billow.firmware.control import Orders, Role

BEFORE_S, AFTER_S = 1.0, 0.5
"""The guest is watched so long without a move, before and after it."""
SETTLED_S = 0.5
COURSE_S = 0.25
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the one who moved it says of a move.

    Attributes:
        ended: Whether the instance is on the target.
        done_at: When it said so, by this machine's monotonic clock.
        downtime_s: How long the guest stood still, in QEMU's words; NaN when it does not say.
        copied_s: How long memory flowed; NaN when that is not known.
        limited: Whether any vCPU was held to a limit, or all were slowed down.
        words: What else there is to know.
    """

    ended: bool
    done_at: float
    downtime_s: float = math.nan
    copied_s: float = math.nan
    limited: bool = False
    words: str = ""


Mover = Callable[[Lab, str], Awaitable[Told]]
"""Moves an instance of a lab from the first host to the second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What one move came to. Lists have one entry per vCPU.

    Attributes:
        total_s: From the order until all of the guest is on the target; NaN when it never was.
        speeds: Work until the guest stopped on the source over the work without a move, %.
        overall: The same from the order to the end, the standstill counted, %.
        stalls_s: The longest pause that the vCPU itself saw, without the one it makes by itself.
        courses: Work over time, (seconds since the order, %).
        waited: Share of time in which a vCPU on the source wanted a CPU of this machine in vain:
            what the machine took from the guest, and so how far to believe the rest.
        stall_before_s: The longest stall of any vCPU in the seconds before: this machine's own.
        bad_pages: Pages that do not hold what they must; -1 when it did not move.
    """

    name: str
    roles: tuple[str, ...]
    told: Told
    total_s: float
    sent_mib: float
    speeds: tuple[float, ...]
    overall: tuple[float, ...]
    stalls_s: tuple[float, ...]
    courses: tuple[tuple[tuple[float, float], ...], ...]
    waited: float = math.nan
    stall_before_s: float = math.nan
    bad_pages: int = -1

    @property
    def ended(self) -> bool:
        """Whether the guest arrived."""
        return self.told.ended

    @property
    def downtime_s(self) -> float:
        """How long the guest stood still: what the vCPU that lost least saw of it."""
        return min(self.stalls_s, default=math.nan)

    def of(self, role: str, values: Sequence[float]) -> list[float]:
        """Return the values of the vCPUs with a role."""
        return [each for each, is_ in zip(values, self.roles, strict=True) if is_ == role]


async def trial(lab: Lab, name: str, guest: Guest, mover: Mover) -> Trial:
    """Boot a guest, move it once, check it, and remove it."""
    instance = await lab.boot(guest)
    try:
        await settled(lab, instance, guest)
        pages = await dump(lab.residence(HOSTS[0], instance).socket, guest.laid_out)
        found = await moved(lab, name, instance, guest, mover)
        if found.ended:
            line = lab.residence(HOSTS[1], instance).socket
            found = replace(found, bad_pages=await bad_pages(line, guest.laid_out, pages))
        return found
    finally:
        await lab.remove(instance)


async def checked(
    lab: Lab,
    found: Trial,
    instance: str,
    guest: Guest,
    pages: Sequence[Words],
    host: str = HOSTS[1],
) -> Trial:
    """Stop the guest on a host and count its bad pages."""
    line = lab.residence(host, instance).socket
    return replace(found, bad_pages=await bad_pages(line, guest.laid_out, pages))


async def moved(
    lab: Lab,
    name: str,
    instance: str,
    guest: Guest,
    mover: Mover,
    hosts: tuple[str, str] = HOSTS,
) -> Trial:
    """Move a guest that works, and watch it before, meanwhile and afterwards."""
    cpus = len(guest.orders)
    before = _Before(lab, instance, guest, hosts[0])
    await asyncio.sleep(BEFORE_S)
    first, rates = before.end()
    pids = {host: lab.residence(host, instance).pid for host in hosts}
    watch = Watch(pids, cpus, guest.memory_mib)
    watch.start()
    await asyncio.sleep(3 * COURSE_S)
    sent, ordered = await lab.sent_mib(hosts[0]), time.monotonic()
    try:
        told = await mover(lab, instance)
        sent = await lab.sent_mib(hosts[0]) - sent
        await asyncio.sleep(AFTER_S if told.ended else 0)
    finally:
        watch.end()
    seen = _Seen(watch.samples, hosts, ordered, told, before.ticks_s)
    found = seen.trial(name, guest.orders, first, rates, sent)
    return replace(found, waited=watch.waited(hosts[0]), stall_before_s=before.stall_s)


class _Before:
    """The guest's work without a move."""

    def __init__(self, lab: Lab, instance: str, guest: Guest, host: str) -> None:
        process = process_id(lab.residence(host, instance))
        if process is None:
            raise Unavailable(f"{instance} has no process on {host}")
        self._memory = GuestMemory(process, guest.memory_mib)
        self._orders = guest.orders
        self._cpus = len(guest.orders)
        self._memory.forget_pauses(self._cpus)
        self._first, self._at = self._marks(), time.monotonic()
        self.ticks_s = self.stall_s = math.nan

    def end(self) -> tuple[list[Mark], list[float]]:
        """Return where each vCPU stands now, and its units per tick until now; forget pauses."""
        last, now = self._marks(), time.monotonic()
        self._memory.forget_pauses(self._cpus)
        self._memory.close()
        passed = [b.stamp - a.stamp for a, b in zip(self._first, last, strict=True)]
        self.ticks_s = max(passed) / (now - self._at)
        pauses = zip(last, self._orders, strict=True)
        self.stall_s = max(mark.gap / self.ticks_s - one.period_ns / 1e9 for mark, one in pauses)
        return last, [rate(a, b) for a, b in zip(self._first, last, strict=True)]

    def _marks(self) -> list[Mark]:
        found = [self._memory.mark(cpu) for cpu in range(self._cpus)]
        known = [mark for mark in found if mark is not None]
        if len(known) < self._cpus:
            raise Unavailable("the guest does not work yet")
        return known


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was seen of one move from outside."""

    samples: list[Sample]
    hosts: tuple[str, str]
    ordered: float
    told: Told
    ticks_s: float

    def trial(
        self,
        name: str,
        orders: Sequence[Orders],
        before: Sequence[Mark],
        rates: Sequence[float],
        sent_mib: float,
    ) -> Trial:
        """Put it together."""
        source, target = self.hosts
        came = arrival(self.samples, source, target) if self.told.ended else None
        if self.told.ended and came is None:
            raise Unavailable(f"{name}: the guest does not work on {target}")
        start = self._ordered_marks() or before
        end = on_host(self.samples, source)[-1].marks
        last = on_host(self.samples, target if came else source)[-1].marks
        while_there = [
            100 * rate(a, b) / each for a, b, each in zip(start, end, rates, strict=True)
        ]
        whole = [100 * rate(a, b) / each for a, b, each in zip(start, last, rates, strict=True)]
        per_s = [each * self.ticks_s for each in rates]
        lines = courses(self.samples, per_s, COURSE_S)
        shift = self.ordered - self.samples[0].at
        return Trial(
            name=name,
            roles=tuple(each.role.name.lower() for each in orders),
            told=self.told,
            total_s=self.told.done_at - self.ordered if came else math.nan,
            sent_mib=sent_mib,
            speeds=tuple(while_there),
            overall=tuple(whole),
            stalls_s=tuple(
                max(0.0, mark.gap / self.ticks_s - each.period_ns / 1e9)
                for mark, each in zip(last, orders, strict=True)
            ),
            courses=tuple(tuple((at - shift, work) for at, work in line) for line in lines),
        )

    def _ordered_marks(self) -> tuple[Mark, ...] | None:
        """Return what the vCPUs said when the move was ordered."""
        early = [sample for sample in self.samples if sample.at <= self.ordered]
        return early[-1].marks if early else None


async def settled(lab: Lab, instance: str, guest: Guest) -> None:
    """Wait until every vCPU has filled its region and is at work."""
    async with asyncio.timeout(_PATIENCE_S):
        while not _at_work(lab, instance, guest):  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.05)
    await asyncio.sleep(SETTLED_S)


def _at_work(lab: Lab, instance: str, guest: Guest) -> bool:
    process = process_id(lab.residence(HOSTS[0], instance))
    if process is None:
        return False
    try:
        memory = GuestMemory(process, guest.memory_mib)
    except LookupError:
        return False
    marks = [memory.mark(cpu) for cpu in range(len(guest.orders))]
    memory.close()
    return all(mark is not None and mark.work > 0 for mark in marks)


WRITER, READER = Role.WRITER.name.lower(), Role.READER.name.lower()
