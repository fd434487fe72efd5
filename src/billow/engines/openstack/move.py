# SPDX-License-Identifier: Apache-2.0
"""Move a server, or give it another flavor: order it, follow Nova's record of it, confirm it.

A server that is ACTIVE without a task says nothing: the record of the move is what ends, and the
room that it held in Placement is what is freed last.
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from billow.act.terms import Terms
from billow.engines.openstack.nova import Move, Nova, Seen
from billow.engines.openstack.outcome import failure, refused, told
from billow.engines.openstack.patience import looks, order, steadfast
from billow.errors import BillowError, Bug, Conflict, Lost, NotFound, Refused, Unavailable
from billow.model.assessment import Way
from billow.model.run import Flow, Progress

SWITCHING: Final = "switching"
CONFIRMING: Final = "confirming"
PAST_RECALL: Final = frozenset({SWITCHING, CONFIRMING})
STILL_S: Final = 90.0
"""How long Nova may leave an order without beginning it, seconds."""
SETTLES_S: Final = 120.0
STUCK_S: Final = 20.0
"""How long a server may be called moving when the record of its move has ended, seconds."""
ABANDONED_S: Final = 60.0
"""Likewise when its conductor wrote a record and has not even chosen a target: to ask the scheduler
takes no longer."""
RELEASED_S: Final = 15.0
_DONE: Final = frozenset({"completed", "confirmed"})
_STEPS: Final[Mapping[str, tuple[float, str]]] = {
    "": (0.0, "scheduling"),
    "accepted": (0.02, "preparing"),
    "queued": (0.02, "queued"),
    "preparing": (0.05, "preparing"),
    "pre-migrating": (0.1, "preparing"),
    "migrating": (0.3, "copying"),
    "running": (0.1, "copying"),
    "post-migrating": (0.9, SWITCHING),
    "finished": (0.9, CONFIRMING),
    "confirming": (0.95, CONFIRMING),
}
_COPYING: Final = (0.1, 0.8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One move of a server, in Nova's terms.

    Attributes:
        call, body: The action of the API: `os-migrateLive` and what it wants.
        action: How Nova's list of instance actions calls it.
        target: Where it goes; empty where Nova chooses.
    """

    uuid: str
    name: str
    call: str
    body: Mapping[str, Any]
    action: str
    target: str = ""

    @property
    def live(self) -> bool:
        """Whether the guest runs on meanwhile."""
        return self.call == "os-migrateLive"


def live(uuid: str, name: str, target: str) -> Order:
    """Return the order to move a server that runs; with its disks where they are not shared."""
    body = {"host": target, "block_migration": "auto"}
    return Order(
        uuid=uuid,
        name=name,
        call="os-migrateLive",
        body=body,
        action="live-migration",
        target=target,
    )


def cold(uuid: str, name: str, target: str) -> Order:
    """Return the order to move a server that does not run, to be confirmed."""
    return Order(
        uuid=uuid,
        name=name,
        call="migrate",
        body={"host": target},
        action="migrate",
        target=target,
    )


def resize(uuid: str, name: str, flavor: str) -> Order:
    """Return the order to give a server another flavor, to be confirmed. Nova chooses the host."""
    return Order(uuid=uuid, name=name, call="resize", body={"flavorRef": flavor}, action="resize")


async def carry(nova: Nova, asked: Order, terms: Terms) -> AsyncGenerator[Progress, None]:
    """Carry an order through to its end, or join it where it is under way; yield how far it is.

    Raises:
        BillowError: it did not work; `settle` puts things right.
    """
    records = await steadfast(lambda: nova.moves(asked.uuid))
    since = records[0].number if records else 0
    joined = next((each for each in records if each.under_way and _is(each, asked)), None)
    yield Progress(0.0, "ordering")
    if joined is not None:
        since = joined.number - 1
    else:
        await _send(nova, asked, since)
    passage = _Passage(nova, asked, terms, since)
    async for progress in passage.follow():
        yield progress
    await released(nova, passage.record)


async def settle(nova: Nova, uuid: str, *, keep: bool, live: bool = False) -> None:
    """Bring a move that nobody follows any more to an end, and wait for it.

    A server that waits for a confirmation gets it if it shall `keep` its new place, or goes back.
    One that was moved `live`, and that Nova gave up over it, counts as active again where it is.

    Raises:
        Unavailable: Nova is still at it.
        Lost: Placement still holds room for it.
    """
    record: Move | None = None
    async for waited in looks():
        seen = await steadfast(lambda: nova.server(uuid))
        records = await steadfast(lambda: nova.moves(uuid))
        record = records[0] if records else None
        if seen is None:
            break
        if seen.rests and not _open(seen, record):
            if not (live and seen.given_up):
                break
            await _wake(nova, seen)
        elif _is_left(seen, record, waited):
            await _wake(nova, seen)
        await _push(nova, seen, record, keep=keep)
        if waited > SETTLES_S:
            raise Unavailable(
                f"Nova has not brought a move of {seen.name} to its end",
                (f"server: {seen.status} {seen.task}", f"record: {record and record.status}"),
                "see that nova-conductor and both hosts' nova-compute run",
            )
    await released(nova, record)


async def released(nova: Nova, record: Move | None) -> None:
    """Wait until Placement holds no room for a move any more. Raises Lost."""
    if record and record.uuid and not await nova.released(record.uuid, RELEASED_S):
        raise Lost(
            f"the move ended ({record.status}), but Placement still holds room for it",
            (f"consumer {record.uuid}",),
            "a nova-compute that runs frees it; else heal it by a plan",
            code="allocation-leak",
        )


def _open(seen: Seen, record: Move | None) -> bool:
    """Return whether a move waits for somebody: Nova, or a confirmation.

    A server is called moving before its conductor writes a record: one at rest is none of those.
    """
    if seen.status == "VERIFY_RESIZE":
        return True
    return record is not None and record.under_way and not (seen.rests and _unbegun(record))


def _unbegun(record: Move | None) -> bool:
    """Return whether a conductor has taken a live migration up, and chosen no target yet."""
    if record is None or record.kind != "live-migration":
        return False
    return record.status == "accepted" and not record.target


def _is_left(seen: Seen, record: Move | None, waited_s: float) -> bool:
    """Return whether Nova calls a server moving, and nobody moves it any more."""
    abandoned = seen.task == "migrating" and _unbegun(record)
    return (waited_s > ABANDONED_S and abandoned) or (
        waited_s > STUCK_S and _forgotten(seen, record)
    )


def _forgotten(seen: Seen, record: Move | None) -> bool:
    """Return whether a live migration has ended, and Nova forgot to say so of its server."""
    if record is None or record.under_way:
        return False
    return seen.task == "migrating" and seen.host in {record.source, record.target}


async def _wake(nova: Nova, seen: Seen) -> None:
    """Let a server count as active where it is: its guest never stopped. Repeatable."""
    try:
        await nova.act(seen.uuid, "os-resetState", {"state": "active"})
    except (NotFound, Conflict, Unavailable):
        return


async def _push(nova: Nova, seen: Seen, record: Move | None, *, keep: bool) -> None:
    """Do what brings a move nearer to its end; what comes too early or too late does no harm."""
    try:
        if seen.status == "VERIFY_RESIZE" and not seen.task:
            await nova.act(seen.uuid, "confirmResize" if keep else "revertResize")
        elif record is not None and record.under_way and record.kind == "live-migration":
            await nova.abort(seen.uuid, record)
    except (NotFound, Conflict, Unavailable):
        return
    except Refused as error:
        if error.code != "openstack-400":
            raise


async def _send(nova: Nova, asked: Order, since: int) -> None:
    async def taken() -> bool:
        if any(each.number > since for each in await nova.moves(asked.uuid)):
            return True
        seen = await nova.server(asked.uuid)
        return seen is not None and bool(seen.task)

    try:
        await order(lambda: nova.act(asked.uuid, asked.call, asked.body), taken)
    except Unavailable:
        raise
    except BillowError as error:
        raise refused(f"Nova does not take the {asked.action} of {asked.name}", error) from error


def _is(record: Move, asked: Order) -> bool:
    kind = {"os-migrateLive": "live-migration", "migrate": "migration"}.get(asked.call, "resize")
    return record.kind == kind and asked.target in ("", record.target)


class _Passage:
    """One move, followed to its end."""

    def __init__(self, nova: Nova, asked: Order, terms: Terms, since: int) -> None:
        self._nova = nova
        self._asked = asked
        self._terms = terms
        self._since = since
        self._looked = 0.0
        self.record: Move | None = None

    async def follow(self) -> AsyncGenerator[Progress, None]:
        """Yield how far it is until its record ends well. Raises Refused."""
        changed, before = 0.0, ("", "", "")
        async for waited in looks():
            seen = await self._look()
            status = self.record.status if self.record else ""
            if (seen.status, seen.task, status) != before:
                before, changed = (seen.status, seen.task, status), waited
            if await self._ended(seen):
                break
            self._check_patience(seen, waited, waited - changed)
            if seen.status == "VERIFY_RESIZE" and not seen.task and status == "finished":
                await self._confirm(seen)
            yield await self._progress(waited)
            self._looked = waited
        else:
            raise Bug("looking came to an end")
        yield self._last(waited)

    async def _look(self) -> Seen:
        uuid = self._asked.uuid
        records = await steadfast(lambda: self._nova.moves(uuid))
        seen = await steadfast(lambda: self._nova.server(uuid))
        if seen is None:
            raise Refused(f"server {self._asked.name} was deleted meanwhile", code="gone")
        mine = [each for each in records if each.number > self._since and _is(each, self._asked)]
        self.record = mine[-1] if mine else None
        return seen

    async def _ended(self, seen: Seen) -> bool:
        """Return whether it is over and well. Raises what Nova's records say of a failure."""
        record = self.record
        if record is not None and record.under_way:
            return False
        if record is None and not (seen.rests or seen.status == "ERROR"):
            return False
        if record is not None and record.status in _DONE:
            return seen.rests
        brief = f"Nova could not {self._asked.action.replace('-', ' ')} {self._asked.name}"
        if record is not None and record.status == "cancelled":
            raise told(brief, ("somebody else cancelled it",))
        raise await failure(self._nova, brief, seen, self._asked.action)

    def _check_patience(self, seen: Seen, whole_s: float, still_s: float) -> None:
        """Give up what takes too long, or what Nova does not begin. Raises Refused."""
        status = self.record.status if self.record else ""
        where = f"record: {status or 'none'}, server: {seen.status} {seen.task}"
        if whole_s > self._terms.timeout_s:
            raise Refused(
                f"the move of {self._asked.name} takes more than {whole_s:.0f} s",
                (where,),
                "set migration_timeout_s higher, or move it when it writes less",
                "move-slow",
            )
        if still_s > STILL_S and status in {"", "accepted", "preparing", "pre-migrating"}:
            raise Refused(
                f"Nova has not begun to move {self._asked.name} for {still_s:.0f} s",
                (where,),
                "see that nova-conductor, RabbitMQ and both hosts' nova-compute run",
                "move-stuck",
            )

    async def _confirm(self, seen: Seen) -> None:
        """Confirm a move where it shall be; one that went elsewhere is refused."""
        target = self._asked.target
        if target and seen.host != target:
            raise Refused(f"Nova moved {seen.name} to {seen.host}, not {target}", code="elsewhere")

        async def taken() -> bool:
            now = await self._nova.server(seen.uuid)
            return now is not None and (now.status != "VERIFY_RESIZE" or bool(now.task))

        await order(lambda: self._nova.act(seen.uuid, "confirmResize"), taken)

    async def _progress(self, seconds: float) -> Progress:
        status = self.record.status if self.record else ""
        fraction, phase = _STEPS.get(status, (0.5, status))
        if not self._asked.live:
            return Progress(fraction, phase)
        left, whole = 0.0, 0.0
        if self.record is not None and status == "running":
            left, whole = await self._nova.memory(self._asked.uuid, self.record)
        copied = max(0.0, whole - left)
        if whole:
            fraction = _COPYING[0] + _COPYING[1] * copied / whole
        flow = Flow(way=Way.PLAIN, seconds=seconds, left_mib=left)
        return Progress(fraction, phase, copied_mib=copied, total_mib=whole, flow=flow)

    def _last(self, seconds: float) -> Progress:
        """Return the last report.

        Nova does not say how long a guest stood still: it cannot be longer than from the last look
        at which the move was under way to the first one at which it had ended.
        """
        if not self._asked.live:
            return Progress(1.0, "confirmed", 0.0)
        most = seconds - self._looked
        flow = Flow(way=Way.PLAIN, seconds=seconds, left_mib=0.0, downtime_s=most)
        return Progress(1.0, SWITCHING, 0.0, flow=flow)
