# SPDX-License-Identifier: Apache-2.0
"""Host by host: whose death a pool would not survive whole, and what for.

Capacity asks this of the largest host of each class; whoever sees a pool for the first time wants
to know each host. Room is found by capacity's packing, so "survives" is certain. Pure: no I/O.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from billow.capabilities.capacity.refuge import Refuge, Rows
from billow.model.instance import binds
from billow.model.instances import NOWHERE
from billow.model.kinds import Health, Power, Storage, code_of
from billow.model.pool import Pool
from billow.model.report import Better, Column, Grid, Measure, Report
from billow.model.resources import BoolArray, IntArray
from billow.plan.ha.recovery import OWN_DISK

MOST_ROWS: Final = 20
MOST_INSTANCES: Final = 40_000
"""Instances for which room is sought at most, over all hosts: about half a minute."""
BOUND: Final = "bound to their host"
NO_ROOM: Final = "no room elsewhere"
_COLUMNS: Final = (
    Column("host", "host", link="host"),
    Column("instances", "instances", "instances"),
    Column("lost", "would not come back", "instances"),
    Column("no_room", "for want of room", "instances"),
    Column("bound", "bound to the host", "instances"),
    Column("why", "mostly because"),
    Column("examples", "for example"),
)


@dataclass(frozen=True, slots=True)
class Death:
    """What the death of one host would cost.

    Attributes:
        instances: How many are on it.
        bound: Those that cannot start elsewhere, whatever room there is (rows).
        homeless: Those that could, and find no room (rows).
        why: What holds for most of those that are lost.
    """

    host: str
    instances: int
    bound: tuple[int, ...]
    homeless: tuple[int, ...]
    why: str

    @property
    def lost(self) -> int:
        """How many would not come back."""
        return len(self.bound) + len(self.homeless)


def deaths(pool: Pool) -> tuple[tuple[Death, ...], int]:
    """Return the hosts whose death costs something, worst first, and how many were not tried.

    The fullest hosts are tried first, until `MOST_INSTANCES` instances were sought a room for.
    """
    refuge, tied = Refuge(pool), _tied(pool)
    found, sought, left_out = [], 0, 0
    for host, rows in _inhabited(pool):
        if sought > MOST_INSTANCES:
            left_out += 1
            continue
        sought += len(rows)
        death = _death(refuge, host, rows, tied)
        if death.lost:
            found.append(death)
    return tuple(sorted(found, key=lambda each: (-each.lost, each.host))), left_out


def _tied(pool: Pool) -> BoolArray:
    """Return which instances no restart elsewhere brings back, `(instances,) bool`."""
    own = pool.instances.disk == code_of(Storage.OWN)
    return np.asarray(own | pool.instances.bound, dtype=np.bool_)


def _inhabited(pool: Pool) -> Iterator[tuple[int, Rows]]:
    """Yield each living host (row) with its instances (rows), those with most of them first."""
    hosts, ours = pool.hosts, pool.instances
    placed = np.flatnonzero(ours.host != NOWHERE)
    by_host = placed[np.argsort(ours.host[placed], kind="stable")]
    starts: IntArray = np.searchsorted(ours.host[by_host], np.arange(len(hosts) + 1))
    alive = (hosts.power != code_of(Power.OFF)) & (hosts.health != code_of(Health.FAILED))
    counts = np.diff(starts)
    for host in np.argsort(-counts, kind="stable").tolist():
        if counts[host] and alive[host]:
            yield host, by_host[starts[host] : starts[host + 1]]


def _death(refuge: Refuge, host: int, rows: Rows, tied: BoolArray) -> Death:
    refuge.kill(np.array([host], dtype=np.intp), rows)
    homeless = refuge.rehome(rows[~tied[rows]])
    refuge.forget()
    lost = tuple(rows[tied[rows]].tolist())
    return Death(
        refuge.pool.hosts.id[host], len(rows), lost, homeless, _why(refuge.pool, lost, homeless)
    )


def _why(pool: Pool, lost: tuple[int, ...], homeless: tuple[int, ...]) -> str:
    own = code_of(Storage.OWN)
    words = Counter({NO_ROOM: len(homeless)})
    for row in lost:
        reason = pool.instances.immovable[row]
        other = OWN_DISK if pool.instances.disk[row] == own else BOUND
        words[reason if binds(reason) else other] += 1
    return words.most_common(1)[0][0]


def deaths_report(pool: Pool) -> Report:
    """Return which hosts a pool could not lose, the worst first."""
    found, left_out = deaths(pool)
    homed = int((pool.instances.host != NOWHERE).sum())
    lost = sum(each.lost for each in found)
    no_room = sum(1 for each in found if each.homeless)
    hosts = float(len(found))
    measures = (
        Measure("fatal_hosts", "hosts it cannot lose", hosts, "hosts", Better.DOWN, 0.0),
        Measure("no_room_hosts", "of these, for want of room", float(no_room), "hosts"),
        Measure("lost", "instances that would not come back", float(lost), "instances",
                Better.DOWN, 0.0, f"of {homed:,}, each if its own host died"),
    )  # fmt: skip
    note = f"{left_out:,} hosts with the fewest instances were not tried." if left_out else ""
    rows = tuple(_row(pool, each) for each in found[:MOST_ROWS])
    more = max(len(found) - MOST_ROWS, 0)
    title = "Hosts that it cannot lose, the worst first"
    return Report(
        "deaths",
        "Whose death would it not survive?",
        _summary(pool, found),
        measures,
        (Grid("deaths", title, _COLUMNS, rows, more, note),) if rows else (),
    )


def _summary(pool: Pool, found: tuple[Death, ...]) -> str:
    if not found:
        return "Any one host may die: everything on it would find room elsewhere."
    worst = found[0]
    return (
        f"{len(found):,} of {len(pool.hosts):,} hosts may not die; the worst is {worst.host}: "
        f"{worst.lost} of its {worst.instances} instances would not come back ({worst.why})."
    )


def _row(pool: Pool, death: Death) -> tuple[str | int, ...]:
    lost = (*death.homeless, *death.bound)
    examples = ", ".join(pool.instances.id[row] for row in lost[:3])
    counts = death.instances, death.lost, len(death.homeless), len(death.bound)
    return (death.host, *counts, death.why, examples)
