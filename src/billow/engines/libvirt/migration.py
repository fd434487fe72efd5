# SPDX-License-Identifier: Apache-2.0
"""Move a machine to another host: libvirt carries it, Billow steers it.

The source's libvirtd sends the machine to the target's by itself (peer to peer), so a controller
that dies leaves no half of it: libvirt ends the move or takes it back, and never lets both copies
run. What libvirt has no words for, QEMU is told through it.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Final

from billow.act import brakes
from billow.act.copied import Copied, check_hope, check_patience
from billow.act.terms import Terms
from billow.engines.libvirt.fleet import Fleet
from billow.engines.libvirt.limits import Limits
from billow.engines.libvirt.line import Fault
from billow.engines.libvirt.machine import Machine
from billow.engines.libvirt.records import LimitRecord, Records
from billow.engines.libvirt.sight import Sighting
from billow.engines.libvirt.wire import Api
from billow.engines.libvirt.words import Domain, Migrating
from billow.engines.libvirt.xdr import Value
from billow.errors import Refused
from billow.model.assessment import Way
from billow.model.kinds import MigrationPolicy
from billow.model.run import Flow, Progress
from billow.plan.channel import Channel, Facts, with_deltas
from billow.plan.steering import Abilities, Course, Steering, Turn, allowed_s, choose

SWITCHING: Final = "switching"
PAST_RECALL: Final = frozenset({SWITCHING})
LOOK_EVERY_S: Final = 0.1
RATES_EVERY_S: Final = 0.5
_ALWAYS: Final = Migrating.PEER2PEER | Migrating.PERSIST_DEST | Migrating.UNDEFINE_SOURCE
_LIVE: Final = _ALWAYS | Migrating.LIVE
_BY_CAPABILITY: Final = {
    "auto-converge": Migrating.AUTO_CONVERGE,
    "postcopy-ram": Migrating.POST_COPY,
}
_LATE: Final = frozenset({"pre-switchover", "device", "completed", "postcopy-active"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A move.

    Attributes:
        copies_disks: Whether the machine's disks are sent along.
    """

    there: Sighting
    target: str
    policy: MigrationPolicy
    downtime_s: float
    terms: Terms
    copies_disks: bool = False


async def move(fleet: Fleet, records: Records, order: Order) -> AsyncGenerator[Progress, None]:
    """Move a machine; yield how far it is. After an error, `mend` puts things right.

    Raises:
        BillowError: it did not work.
    """
    there, source = order.there, order.there.host
    yield Progress(0.0, "preparing")
    api = await fleet.api(source)
    async with fleet.own(source) as carrier:
        if there.domain.number < 0:
            flags = _ALWAYS | Migrating.OFFLINE
            await carrier.migrate(there.domain, fleet.peer(order.target), {}, flags)
            return
        passage = _Passage(records, order, api, carrier)
        last = Progress(0.0)
        async for last in passage.go(fleet.peer(order.target)):
            yield last
    yield await _told(await fleet.api(order.target), there.domain, last)


async def _told(api: Api, domain: Domain, last: Progress) -> Progress:
    """Return the last report, with how long libvirt says that the machine stood still."""
    with contextlib.suppress(Fault):
        _, figures = await api.job(domain, completed=True)
        milliseconds = figures.get("downtime")
        if last.flow is not None and isinstance(milliseconds, int):
            flow = replace(last.flow, downtime_s=milliseconds / 1000, left_mib=0.0)
            return replace(last, flow=flow)
    return last


class _Passage:
    """One live move."""

    def __init__(self, records: Records, order: Order, api: Api, carrier: Api) -> None:
        self._records = records
        self._order = order
        self._api = api
        self._carrier = carrier
        self._domain: Domain = order.there.domain
        self._limits: Limits | None = None
        self._net: dict[str, object] = {}
        self._rates: tuple[float, ...] = ()
        self._asked = 0.0

    async def go(self, peer: str) -> AsyncGenerator[Progress, None]:
        """Let libvirt send it, steer it meanwhile, and yield how far it is."""
        can = await abilities(self._api, self._domain, self._order.there.machine)
        chosen = choose(self._order.policy, can)
        channel = self._channel(chosen, can)
        course = replace(chosen, deltas=channel.kept_mib > 0)
        copied = Copied(Steering(course, self._order.downtime_s), channel=channel.why)
        known = await self._parameters()
        self._net = brakes.net(known)
        window = max(1, round(1000 * allowed_s(self._order.downtime_s)))
        await self._tell({"downtime-limit": window, **brakes.throttle(course, known)})
        await self._watch(course)
        began = _now()
        sending = asyncio.create_task(
            self._carrier.migrate(self._domain, peer, _told_of(channel), self._flags(course, known))
        )
        try:
            async for progress in self._follow(copied, sending):
                yield progress
            await sending
        except Fault as fault:
            raise _told_why(fault) from fault
        finally:
            if not sending.done():
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        last = copied.last  # seen a moment before the end, or never where all went at once
        flow = last.flow or Flow(way=course.way, seconds=_now() - began, left_mib=0.0)
        flow = replace(flow, left_mib=0.0)
        yield replace(last, fraction=1.0, phase=SWITCHING, left_s=0.0, flow=flow)

    async def _parameters(self) -> frozenset[str]:
        """Return the names of the migration parameters that its process knows."""
        known = await self._api.ask_qemu(self._domain, "query-migrate-parameters")
        return frozenset(known) if isinstance(known, dict) else frozenset()

    async def _tell(self, parameters: dict[str, object]) -> None:
        await self._api.ask_qemu(self._domain, "migrate-set-parameters", parameters)

    def _flags(self, course: Course, known: frozenset[str]) -> Migrating:
        flags = _LIVE | _BY_CAPABILITY.get(brakes.capability(course, known), Migrating(0))
        flags |= Migrating.COMPRESSED if course.deltas else Migrating(0)
        if self._order.terms.encrypted:
            flags |= Migrating.TLS
        if self._order.copies_disks:
            flags |= Migrating.NON_SHARED_DISK
        return flags

    def _channel(self, course: Course, can: Abilities) -> Channel:
        """Return by what channel memory goes: libvirt's single stream, only changes where it can.

        What a guest changes in its pages cannot be looked at from here: the steering will see.
        """
        single = Channel(why="libvirt sends by a single stream")
        if not can.deltas or course.way is Way.POST_COPY:
            return single
        there, kept = self._order.there, self._order.terms.kept_mib
        used = there.use.memory_mib
        touched = there.machine.memory_mib if math.isnan(used) else used
        return with_deltas(Facts(touched_mib=touched, kept_mib=kept), single)

    async def _watch(self, course: Course) -> None:
        """Begin to watch what each vCPU writes, where that is possible and of use."""
        machine = self._order.there.machine
        if course.watched:
            record = LimitRecord(
                host=self._order.there.host, uuid=machine.uuid, vcpus=machine.vcpus
            )
            self._limits = Limits(self._records, record, self._api, self._domain)
            await self._limits.watch(_now())

    async def _follow(
        self, copied: Copied, sending: asyncio.Task[None]
    ) -> AsyncGenerator[Progress, None]:
        """Yield how far it is until libvirt says that it is over."""
        asked = began = _now()
        while not sending.done():
            await asyncio.wait({sending}, timeout=LOOK_EVERY_S)
            answer = await self._look()
            if answer is None or "ram" not in answer:
                self._check_patience(_now() - asked, _now() - began)
                if not copied.last.total_mib:
                    yield Progress(0.0, "preparing")
                continue
            began = began if copied.last.total_mib else _now()
            seconds = _now() - began
            seen = copied.look(answer, seconds, await self._seen_rates(seconds))
            self._check_patience(_now() - asked, seconds - copied.moved_at)
            late = answer.get("status") in _LATE
            if seen is not None and not late:
                await self._turn(copied.steering.look(seen))
            yield replace(copied.last, phase=SWITCHING) if late else copied.last

    async def _look(self) -> dict[str, object] | None:
        """Ask how far it is; None when there is nobody to ask, as at the end."""
        with contextlib.suppress(Fault):
            answer = await self._api.ask_qemu(self._domain, "query-migrate")
            return answer if isinstance(answer, dict) else None
        return None

    async def _seen_rates(self, seconds: float) -> tuple[float, ...]:
        if self._limits is not None and seconds - self._asked >= RATES_EVERY_S:
            self._asked = seconds
            with contextlib.suppress(Fault):
                self._rates = await self._limits.rates(_now())
        return self._rates

    async def _turn(self, turn: Turn) -> None:
        """Do what the steering says; at the very end there may be nobody left to do it to."""
        check_hope(turn)
        with contextlib.suppress(Fault):
            if not math.isnan(turn.window_s):
                milliseconds = max(1, round(turn.window_s * 1000))
                await self._api.set_downtime(self._domain, milliseconds)
            if turn.together or turn.limits:
                await self._tell(self._net)
            if turn.limits and self._limits is not None:
                await self._limits.hold(turn.limits)
            if turn.switch:
                await self._api.start_post_copy(self._domain)

    def _check_patience(self, whole_s: float, still_s: float) -> None:
        """Give a move up that stands still or takes too long. Raises Refused."""
        terms = self._order.terms
        check_patience(whole_s, still_s, timeout_s=terms.timeout_s, stall_s=terms.stall_s)


def _told_of(channel: Channel) -> dict[str, Value]:
    """Return what libvirt is told of a channel."""
    if not channel.kept_mib:
        return {}
    return {"compression": "xbzrle", "compression.xbzrle.cache": channel.kept_mib * 2**20}


_HINTS: Final = (
    (
        ("tls", "certificate", "credentials"),
        "give the hosts certificates (/etc/pki/qemu), or set migration_tls",
    ),
    (
        ("unable to connect", "unable to resolve", "could not resolve", "cannot recv"),
        "set libvirt_peer_uri to where the hosts find each other",
    ),
    (("cpu", "guest abi"), "the target's CPU or QEMU lacks something: `billow pool cpu-baseline`"),
    (
        ("storage", "no such file"),
        "bring to the target what it needs, or share the storage",
    ),
)


def _told_why(fault: Fault) -> Refused:
    """Return what libvirt said of a move that failed, with what may help."""
    said = fault.brief.lower()
    fix = next((fix for words, fix in _HINTS if any(word in said for word in words)), "")
    return Refused("libvirt could not move it", (fault.brief,), fix, "move-failed")


async def abilities(api: Api, domain: Domain, machine: Machine) -> Abilities:
    """Ask a machine's process what it can do; libvirt asks the target's by itself, in a move."""
    known = await _names(api, domain, "query-migrate-capabilities", "capability")
    commands = await _names(api, domain, "query-commands", "name")
    return Abilities(
        limits=machine.ring and "set-vcpu-dirty-limit" in commands,
        auto_converge="auto-converge" in known,
        post_copy="postcopy-ram" in known,
        deltas="xbzrle" in known,
    )


async def _names(api: Api, domain: Domain, question: str, key: str) -> frozenset[str]:
    answer = await api.ask_qemu(domain, question)
    rows = answer if isinstance(answer, list) else []
    return frozenset(str(row.get(key)) for row in rows if isinstance(row, dict))


def _now() -> float:
    return asyncio.get_running_loop().time()
