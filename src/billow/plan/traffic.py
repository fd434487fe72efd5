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
from billow.plan.lanes import Route, stream

WRITES_FROM = 0.1
"""Written over carried from which sharing a link costs a move more than it gives the others."""
WHOLE = 0.9
"""Part of what it could take alone that a writing instance must get."""


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
        hosts: Which count it.
        route: The lanes that it flows over; none when it copies nothing between hosts.
        copy_mib: What flows when it has its lanes for itself.
        seconds: What it takes then, set-up counted.
        dirty_mib_s: How fast the instance writes; 0 where that is not known.
        priority: Lower ones go first.
    """

    id: str
    hosts: tuple[str, ...]
    route: Route
    copy_mib: float
    seconds: float
    dirty_mib_s: float = 0.0
    priority: int = 0

    @property
    def most_mib_s(self) -> float:
        """What it can take of its lanes."""
        return stream(self.route)

    @property
    def writes(self) -> bool:
        """Whether it wants its lanes for itself."""
        return bool(self.route) and self.dirty_mib_s >= WRITES_FROM * self.most_mib_s

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

    Low priority first; then whose lane has most to carry; then who takes longest.
    """
    transfers = list(waiting)
    backlog: defaultdict[str, float] = defaultdict(float)
    for each in transfers:
        for lane in each.route:
            backlog[lane.name] += each.copy_mib / lane.mib_s

    def turn(each: Transfer) -> tuple[float, float, float, str]:
        longest = max((backlog[lane.name] for lane in each.route), default=0.0)
        return each.priority, -longest, -each.seconds, each.id

    return sorted(transfers, key=turn)


class _Roads:
    """Who is on which lane."""

    def __init__(self, most_per_host: int) -> None:
        self._most_per_host = most_per_host
        self._at: Counter[str] = Counter()
        self._on: defaultdict[str, list[Transfer]] = defaultdict(list)
        self._claimed: set[str] = set()
        self._refused: set[tuple[tuple[str, ...], bool]] = set()

    def enter(self, transfer: Transfer, stage: Stage) -> None:
        """Count a move that goes."""
        self._at.update(transfer.hosts)
        if stage is Stage.UNDER_WAY:
            for lane in transfer.route:
                self._on[lane.name].append(transfer)

    def take(self, transfer: Transfer) -> bool:
        """Let a move go if there is room; else nobody overtakes it where there is none."""
        way = transfer.hosts, bool(transfer.route)
        if way in self._refused:
            return False
        narrow = self._full_hosts(transfer) or self._narrow(transfer)
        if narrow:
            self._claimed.update(narrow)
            self._refused.add(way)
            return False
        self.enter(transfer, Stage.UNDER_WAY)
        return True

    def _full_hosts(self, transfer: Transfer) -> list[str]:
        most = self._most_per_host
        claimed = [host for host in transfer.hosts if host in self._claimed]
        if claimed or not most:
            return claimed
        return [host for host in transfer.hosts if self._at[host] >= most]

    def _narrow(self, transfer: Transfer) -> list[str]:
        """Return the lanes on which a move must wait."""
        names = [lane.name for lane in transfer.route]
        claimed = [name for name in names if name in self._claimed]
        return claimed or [
            lane.name
            for lane in transfer.route
            if self._too_little(transfer, lane.name, lane.mib_s)
        ]

    def _too_little(self, transfer: Transfer, lane: str, mib_s: float) -> bool:
        """Return whether a lane has no use for a move, or not enough for it and who writes."""
        others = self._on[lane]
        if not others:
            return False
        wants = {each.id: self._wants(each, lane) for each in others}
        if not transfer.writes:
            used = math.fsum(wants[each.id] * each.flows for each in others)
            if used >= mib_s:
                return True
        equal, newcomer = mib_s / (len(others) + 1), transfer.most_mib_s
        taken = math.fsum(wants.values())
        if transfer.writes and max(equal, mib_s - taken) < WHOLE * newcomer:
            return True
        rest = mib_s - taken - newcomer
        return any(
            each.writes and max(equal, rest + wants[each.id]) < WHOLE * wants[each.id]
            for each in others
        )

    def _wants(self, transfer: Transfer, lane: str) -> float:
        """Return what a move takes of a lane at most, while it shares its other ones."""
        shares = [
            each.mib_s / max(1, len(self._on[each.name]))
            for each in transfer.route
            if each.name != lane
        ]
        return min(transfer.most_mib_s, *shares) if shares else transfer.most_mib_s


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
