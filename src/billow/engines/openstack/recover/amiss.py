# SPDX-License-Identifier: Apache-2.0
"""What a cloud's own records hold against each other: unused room, moves that stand still.

Nova and Placement keep books apart. Who dies between two entries leaves room taken for nobody, or a
server that waits for ever. This finds such entries, and is pure; `heal` puts them right.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from billow.engines.openstack.answers import Volume
from billow.model.plan import Finding, Severity


class Kind(StrEnum):
    """What is amiss."""

    LEFT_BEHIND = "left-behind"
    """A server is elsewhere, and holds room where it was."""
    NOBODY = "nobody"
    """Neither a server nor a move has the id that holds room."""
    MOVE_ENDED = "move-ended"
    """A move that is at its end holds room."""
    UNCONFIRMED = "unconfirmed"
    """A server was resized or moved cold, and nobody says whether that is well."""
    STANDS_STILL = "stands-still"
    """Nova is at work on a server, and nobody works."""
    ATTACHED_TO_NOBODY = "attached-to-nobody"
    """Cinder has a volume attached to a server that is no more."""
    ATTACHED_ELSEWHERE = "attached-elsewhere"
    """Cinder has a volume attached where its server is not, or does not know it."""
    NOT_ATTACHED = "not-attached"
    """Nova has a volume attached, and Cinder has not."""
    VOLUME_STUCK = "volume-stuck"
    """Cinder is at work on a volume, and nothing changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """Room that Placement holds for somebody.

    Attributes:
        consumer: A server's id, or that of a move.
        host: Of whose room.
        provider: The host's resource provider, or one below it.
    """

    consumer: str
    host: str
    provider: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """A server, as Nova has it.

    Attributes:
        idle_s: Since when nothing changed of it, seconds.
        compute: Where it is, as attachments of its volumes name it.
        volumes: Ids of those that Nova has attached to it.
    """

    uuid: str
    name: str
    host: str
    status: str
    task: str
    idle_s: float
    compute: str = ""
    volumes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A move, as Nova has it."""

    uuid: str
    server: str
    source: str
    target: str
    under_way: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """All that is held against each other, read after one another.

    Attributes:
        volumes: Of Cinder; None where it does not say.
        alive: Hosts whose nova-compute Nova hears.
        now: Seconds since the epoch.
        whole: Whether every cell of Nova's answers: lists leave out what is in those that do not.
    """

    holdings: tuple[Holding, ...]
    servers: Mapping[str, Booked]
    records: tuple[Record, ...]
    volumes: tuple[Volume, ...] | None = None
    alive: frozenset[str] = frozenset()
    now: float = 0.0
    whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Ailment:
    """One thing that is amiss.

    Attributes:
        id: Whose entry it is: a server's, a move's, a volume's or an attachment's.
        host: Where; empty where it is on none.
        provider: For room: whose. For a volume: the server that it is about.
        command: How a person puts it right; empty where `billow host repair` does.
    """

    kind: Kind
    id: str
    host: str
    text: str
    provider: str = ""
    command: str = ""

    @property
    def finding(self) -> Finding:
        """Return it as people read it."""
        grave = Severity.INFO if self.kind is Kind.UNCONFIRMED else Severity.WARNING
        remedy = self.command or f"billow host repair {self.host} puts it right"
        subject = f"host/{self.host}" if self.host else f"volume/{self.id}"
        return Finding(subject, grave, f"{self.text} ({remedy})")

    def heals_on(self, host: str) -> bool:
        """Return whether a repair of a host puts it right."""
        return self.host == host and not self.command


IDLE_S: Final = 3600.0
"""What stood still for so long is taken for left."""
_MOVING: Final = frozenset({"MIGRATING", "RESIZE", "REBUILD", "BUILD"})


def ailments(books: Books) -> tuple[Ailment, ...]:
    """Return what is amiss, by host. Linear in holdings, servers and records."""
    moving = {each.server for each in books.records if each.under_way}
    known = {each.uuid: each for each in books.records}
    found = [
        *_of_room(books, moving, known),
        *_of_servers(books.servers.values(), moving),
    ]
    return tuple(sorted(found, key=lambda each: (each.host, each.kind, each.id, each.provider)))


def _of_room(books: Books, moving: set[str], records: Mapping[str, Record]) -> Iterator[Ailment]:
    for held in books.holdings:
        server, record = books.servers.get(held.consumer), records.get(held.consumer)
        if server is not None:
            elsewhere = server.host and server.host != held.host
            if elsewhere and server.uuid not in moving and not server.task and rests(server):
                text = f"{server.name} is on {server.host} and holds room on {held.host}"
                yield _room(Kind.LEFT_BEHIND, held, text)
        elif record is None:
            if books.whole:
                text = f"{held.consumer} holds room, and nobody has this id"
                yield _room(Kind.NOBODY, held, text)
        elif not record.under_way and not _waits(books.servers.get(record.server)):
            text = f"a move of {record.server} has ended and holds room"
            yield _room(Kind.MOVE_ENDED, held, text)


def _room(kind: Kind, held: Holding, text: str) -> Ailment:
    return Ailment(kind=kind, id=held.consumer, host=held.host, text=text, provider=held.provider)


def _of_servers(servers: Iterable[Booked], moving: set[str]) -> Iterator[Ailment]:
    for each in servers:
        if each.idle_s < IDLE_S or not each.host:
            continue
        since = f"since {each.idle_s / 3600:.0f} h"
        if _waits(each):
            text = f"{each.name} waits {since} for a word on its move or resize"
            yield Ailment(kind=Kind.UNCONFIRMED, id=each.uuid, host=each.host, text=text)
        elif each.task and each.uuid not in moving:
            text = f"Nova is at work on {each.name} ({each.task}) {since}, and nobody works"
            yield Ailment(kind=Kind.STANDS_STILL, id=each.uuid, host=each.host, text=text)


def _waits(server: Booked | None) -> bool:
    return server is not None and server.status == "VERIFY_RESIZE"


def rests(server: Booked) -> bool:
    """Return whether Nova is done with a server, as far as its status says."""
    return not _waits(server) and server.status not in _MOVING
