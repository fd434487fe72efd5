# SPDX-License-Identifier: Apache-2.0
"""Which moves go now: so that links are always full, and who writes has them for itself.

An instance that is idle has a fixed number of bytes: all that matters is that a link never stands
still, so the next one is set up while the last ones flow. One that writes sends again what it wrote
meanwhile: half of a link costs it more than twice the time. It goes when it gets nearly all that it
could take, and nobody joins it who would take of that.

Nobody overtakes on a lane that somebody before him waits for. Pure: whoever calls it remembers.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from billow.plan.convergence import SETUP_S
from billow.plan.lanes import Lane, Route, stream

WRITES_FROM = 0.1
"""Written over carried from which sharing a link costs a move more than it gives the others."""
WHOLE = 0.9
"""Part of what it could take alone that a writing instance keeps when another one goes."""
BEARABLE = 0.5
"""Written over carried up to which it may begin with less: it takes what would be wasted."""
HALF = 0.5
"""Part of what it could take alone with which one may begin that may be slowed down: likewise."""
WASTED = 0.2
"""Part of a lane that is taken from under who waits for all of it, since nobody else uses it."""

NARROW = 0.5
"""A lane is narrow that needs so much of the busiest one's time."""


class Stage(Enum):
    """How far a move is."""

    UNDER_WAY = auto()
    ENDING = auto()
    """What is left takes no longer than setting the next one up: its lanes are as good as free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A move as links see it.

    Attributes:
        id: Its action's.
        instance: What moves.
        hosts: Which count it.
        route: The lanes that it flows over; none when it copies nothing between hosts.
        copy_mib: What flows when it has its lanes for itself.
        seconds: What it takes then, set-up counted.
        dirty_mib_s: How fast the instance writes; NaN where that is not known: it counts as idle.
        sends: Part of what it writes that is sent: less than all where only changes are.
        priority: Lower ones go first.
        yields: Whether it may be slowed down so that the move ends.
    """

    id: str
    instance: str
    hosts: tuple[str, ...]
    route: Route
    copy_mib: float
    seconds: float
    dirty_mib_s: float = 0.0
    sends: float = 1.0
    priority: int = 0
    yields: bool = True

    @property
    def most_mib_s(self) -> float:
        """What it can take of its lanes."""
        return stream(self.route)

    @property
    def resent_mib_s(self) -> float:
        """How fast it makes more to be sent."""
        return self.dirty_mib_s * self.sends

    @property
    def writes(self) -> bool:
        """Whether it wants its lanes for itself."""
        return bool(self.route) and self.resent_mib_s >= WRITES_FROM * self.most_mib_s

    @property
    def flows(self) -> float:
        """Share of its time in which memory flows; the rest is set-up."""
        copy_s = self.copy_mib / self.most_mib_s
        return copy_s / (copy_s + SETUP_S)


def admitted(
    waiting: Iterable[Transfer],
    under_way: Iterable[tuple[Transfer, Stage]],
    most_per_host: int = 0,
) -> tuple[str, ...]:
    """Return the ids of the moves to start now, in their order.

    Args:
        waiting: In the order of `in_turn`.
        under_way: What goes already, whoever started it.
        most_per_host: Moves that a host sends or receives at one time; 0 for what its links need.
    """
    roads = _Roads(most_per_host)
    for transfer, stage in under_way:
        roads.enter(transfer, stage)
    return tuple(each.id for each in waiting if roads.take(each))


def in_turn(waiting: Iterable[Transfer]) -> list[Transfer]:
    """Return moves in the order in which they get their turn.

    Low priority first; then who flows over most of the narrow lanes; then who takes longest.
    """
    transfers = list(waiting)
    backlog: defaultdict[str, float] = defaultdict(float)
    for each in transfers:
        for lane in each.route:
            backlog[lane.name] += each.copy_mib / lane.mib_s

    narrow_s = NARROW * max(backlog.values(), default=0.0)

    def turn(each: Transfer) -> tuple[float, float, float, str]:
        narrow = sum(backlog[lane.name] >= narrow_s for lane in each.route)
        return each.priority, -narrow, -each.seconds, each.id

    return sorted(transfers, key=turn)


def crowded(waiting: Iterable[Transfer], under_way: Iterable[Transfer]) -> frozenset[str]:
    """Return the ids of those waiting moves that share a lane with any other move."""
    listed = list(waiting)
    on = Counter(lane.name for each in (*listed, *under_way) for lane in each.route)
    return frozenset(each.id for each in listed if any(on[lane.name] > 1 for lane in each.route))


class _Roads:
    """Who is on which lane, and who waits for it."""

    def __init__(self, most_per_host: int) -> None:
        self._most_per_host = most_per_host
        self._at: Counter[str] = Counter()
        self._on: defaultdict[str, list[Transfer]] = defaultdict(list)
        self._claimed: dict[str, int] = {}
        self._refused: set[tuple[tuple[str, ...], bool, bool, int]] = set()

    def enter(self, transfer: Transfer, stage: Stage) -> None:
        """Count a move that goes."""
        self._at.update(transfer.hosts)
        if stage is Stage.UNDER_WAY:
            for lane in transfer.route:
                self._on[lane.name].append(transfer)

    def take(self, transfer: Transfer) -> bool:
        """Let a move go if there is room; else nobody takes what it waits for."""
        kind = transfer.hosts, bool(transfer.route), transfer.writes, transfer.priority
        if kind in self._refused:
            return False
        narrow = self._full_hosts(transfer) or self._narrow_lanes(transfer)
        if narrow:
            self._refused.add(kind)
            for name in narrow:
                self._claimed.setdefault(name, transfer.priority)
            return False
        self.enter(transfer, Stage.UNDER_WAY)
        return True

    def _full_hosts(self, transfer: Transfer) -> list[str]:
        most = self._most_per_host
        return [
            host
            for host in transfer.hosts
            if host in self._claimed or (most and self._at[host] >= most)
        ]

    def _narrow_lanes(self, transfer: Transfer) -> list[str]:
        """Return the lanes on which a move must wait."""
        return [lane.name for lane in transfer.route if self._must_wait(transfer, lane)]

    def _must_wait(self, transfer: Transfer, lane: Lane) -> bool:
        others = self._on[lane.name]
        claimant = self._claimed.get(lane.name, transfer.priority)
        if claimant < transfer.priority:
            return True
        if lane.name in self._claimed and lane.mib_s - _load(lane, others) < WASTED * lane.mib_s:
            return True
        if not others:
            return False
        return self._has_no_use(transfer, lane) or self._harms(transfer, lane)

    def _has_no_use(self, transfer: Transfer, lane: Lane) -> bool:
        """Return whether a lane is full, or has too little for a move that writes."""
        others = self._on[lane.name]
        if not transfer.writes:
            return _load(lane, others, flowing=True) >= lane.mib_s
        free = lane.mib_s - _load(lane, others)
        share = max(lane.mib_s / (len(others) + 1), free)
        bearable = transfer.resent_mib_s / BEARABLE
        if transfer.yields:
            bearable = min(bearable, HALF * transfer.most_mib_s)
        return share < WHOLE * transfer.most_mib_s and free < bearable

    def _harms(self, transfer: Transfer, lane: Lane) -> bool:
        """Return whether a move would take something from one that writes."""
        others = self._on[lane.name]
        equal = lane.mib_s / (len(others) + 1)
        for each in others:
            if each.writes and equal < WHOLE * each.most_mib_s:
                rest = [transfer, *(other for other in others if other is not each)]
                had = lane.mib_s - _load(lane, rest[1:])
                keeps = lane.mib_s - _load(lane, rest)
                if max(equal, keeps) < WHOLE * min(each.most_mib_s, had):
                    return True
        return False


def _load(lane: Lane, transfers: Iterable[Transfer], *, flowing: bool = False) -> float:
    """Return what moves take of a lane at most, MiB/s: those behind one narrower lane share that.

    With `flowing`, on average over the time that they spend on set-up as well.
    """
    behind: defaultdict[str, float] = defaultdict(float)
    carried: dict[str, float] = {}
    for each in transfers:
        others = [other for other in each.route if other.name != lane.name]
        narrowest = min(others, key=lambda other: other.mib_s, default=lane)
        carried[narrowest.name] = narrowest.mib_s if others else math.inf
        behind[narrowest.name] += each.most_mib_s * (each.flows if flowing else 1.0)
    return math.fsum(min(wanted, carried[name]) for name, wanted in behind.items())


def seconds(transfers: Sequence[Transfer], most_per_host: int, most_at_once: int) -> float:
    """Return what moves take together, seconds, when they are let go as `admitted` does.

    What the busiest lane carries, or the longest of them, or what limits leave: no schedule is
    shorter, and this one is hardly longer. Linear.
    """
    if not transfers:
        return 0.0
    lanes: defaultdict[str, float] = defaultdict(float)
    hosts: defaultdict[str, float] = defaultdict(float)
    for each in transfers:
        for lane in each.route:
            lanes[lane.name] += each.copy_mib / lane.mib_s
        for host in each.hosts:
            hosts[host] += each.seconds
    longest = max(each.seconds for each in transfers)
    lane_s = SETUP_S + max(lanes.values(), default=0.0)
    host_s = max(hosts.values()) / most_per_host if most_per_host else 0.0
    slots_s = math.fsum(each.seconds for each in transfers) / most_at_once
    return max(longest, lane_s, host_s, slots_s)
