# SPDX-License-Identifier: Apache-2.0
"""What moves flow over: each direction of a host's link and of a rack's uplink is a lane.

Links are full duplex, so what a host sends does not slow down what it receives. Nothing here knows
which move goes when.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter

from billow.model.pool import Pool

STREAM_MIB_S = 1200.0
"""What one QEMU stream carries at most, however fast the link is."""
_LEAST_MIB_S = 1.0


@dataclass(frozen=True, slots=True)
class Lane:
    """One direction of a link, by name (`h1 out`, `rack r1 in`), and what it carries."""

    name: str
    mib_s: float


Route = tuple[Lane, ...]
"""Every lane that a move flows over; none for a move within its host."""


def route(pool: Pool, source: str, target: str) -> Route:
    """Return the lanes from one host to another: hosts' own, racks' uplinks, a link of both.

    A link of two hosts that is faster than their own stands beside those; a slower one lies behind
    them. Logarithmic in links.

    Raises:
        NotFound: no such host.
    """
    rows = pool.host_row(source), pool.host_row(target)
    if source == target:
        return ()
    sends, takes = (float(pool.hosts.bandwidth[row]) for row in rows)
    own = _lane(f"{source} out", sends), _lane(f"{target} in", takes)
    racks = _between_racks(pool, *(pool.hosts.rack[row] for row in rows))
    between = _linked(pool, source, target)
    if between is None:
        return own + racks
    lane = _lane(f"{source} to {target}", between)
    return (lane,) if between > min(sends, takes) else (*own, lane)


def alone(lanes: Route) -> float:
    """Return what one move gets that has all its lanes for itself, MiB/s."""
    return min((lane.mib_s for lane in lanes), default=STREAM_MIB_S)


def stream(lanes: Route) -> float:
    """Return what one move can take of its lanes, MiB/s: one stream does not fill any link."""
    return min(alone(lanes), STREAM_MIB_S)


def fair(flows: Mapping[str, Route], most_mib_s: float = STREAM_MIB_S) -> dict[str, float]:
    """Return what each flow gets when all share fairly, MiB/s (max-min, as TCP about does).

    Nobody gets more unless somebody with less or as much would lose. Cost: flows times their lanes,
    once for each level of rates.
    """
    rates: dict[str, float] = {}
    room = {lane.name: lane.mib_s for lanes in flows.values() for lane in lanes}
    on: defaultdict[str, set[str]] = defaultdict(set)
    for name, lanes in flows.items():
        for lane in lanes:
            on[lane.name].add(name)
    while len(rates) < len(flows):
        level = min((room[lane] / len(names) for lane, names in on.items()), default=most_mib_s)
        level = min(level, most_mib_s)
        full = {n for lane, names in on.items() if room[lane] / len(names) <= level for n in names}
        for name in full or flows.keys() - rates.keys():
            rates[name] = max(level, 0.0)
            for lane in flows[name]:
                room[lane.name] -= level
                on[lane.name].discard(name)
                if not on[lane.name]:
                    del on[lane.name]
    return rates


def _between_racks(pool: Pool, source: str, target: str) -> Route:
    if source == target:
        return ()
    ends = (f"rack {source} out", source), (f"rack {target} in", target)
    found = ((name, uplink_of(pool, rack)) for name, rack in ends)
    return tuple(_lane(name, mib_s) for name, mib_s in found if mib_s is not None)


def uplink_of(pool: Pool, rack: str) -> float | None:
    """Return what a rack's uplink carries each way, MiB/s; None where it is not known."""
    place = bisect_left(pool.uplinks, rack, key=attrgetter("rack"))
    if place < len(pool.uplinks) and pool.uplinks[place].rack == rack:
        return pool.uplinks[place].bandwidth_mib_s
    return None


def _linked(pool: Pool, source: str, target: str) -> float | None:
    for ends in ((source, target), (target, source)):
        place = bisect_left(pool.links, ends, key=attrgetter("first", "second"))
        if place < len(pool.links):
            link = pool.links[place]
            if (link.first, link.second) == ends:
                return link.bandwidth_mib_s
    return None


def _lane(name: str, mib_s: float) -> Lane:
    return Lane(name, max(mib_s, _LEAST_MIB_S))
