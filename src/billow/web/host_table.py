# SPDX-License-Identifier: Apache-2.0
"""The table of hosts: which rows, in what order, showing what. Pool in, page out."""

from dataclasses import dataclass

import numpy as np

from billow.model.kinds import Arch, Health, Power, value_of
from billow.model.resources import CPU, GPU, HUGE, MEMORY, BoolArray
from billow.web import heatmap
from billow.web.heatmap import Mark
from billow.web.listing import Address, Keys, Page, being, containing, cut, ranks
from billow.web.scene import Scene

FILTERS = ("q", "zone", "rack", "mark")
MARKS = {mark.word: mark for mark in Mark}


@dataclass(frozen=True, slots=True)
class HostLine:
    """What one host shows in tables and on its page; shares are 1.0 = all, NaN unseen."""

    id: str
    zone: str
    rack: str
    arch: str
    mark: str
    why: str
    cpu_milli: int
    memory_mib: int
    gpus: int
    cpu_reserved: float
    memory_reserved: float
    cpu_used: float
    memory_used: float
    instances: int


def page_of(scene: Scene, at: Address) -> tuple[Page, list[HostLine]]:
    """Return the asked page of hosts. Linear in hosts, in NumPy; Python only for the rows shown."""
    page = cut(at, _matching(scene, at), _sorts(scene))
    return page, lines(scene, page.rows)


def lines(scene: Scene, rows: tuple[int, ...]) -> list[HostLine]:
    """Return some rows of the host table, ready to be shown."""
    pool = scene.pool
    shares = [
        column(pool)[list(rows)].tolist()
        for column in (
            heatmap.cpu_reserved,
            heatmap.memory_reserved,
            heatmap.cpu_used,
            heatmap.memory_used,
        )
    ]
    counts = heatmap.instance_counts(pool)[list(rows)].tolist()
    return [
        _line(scene, row, tuple(column[place] for column in shares), counts[place])
        for place, row in enumerate(rows)
    ]


def _line(scene: Scene, row: int, shares: tuple[float, ...], instances: int) -> HostLine:
    hosts = scene.pool.hosts
    capacity = hosts.capacity[row].sum(axis=0)
    return HostLine(
        id=hosts.id[row],
        zone=hosts.zone[row],
        rack=hosts.rack[row],
        arch=value_of(Arch, hosts.arch[row]),
        mark=Mark(int(scene.marks[row])).word,
        why=_why(scene, row),
        cpu_milli=int(capacity[CPU]),
        memory_mib=int(capacity[MEMORY] + capacity[HUGE]),
        gpus=int(capacity[GPU]),
        cpu_reserved=shares[0],
        memory_reserved=shares[1],
        cpu_used=shares[2],
        memory_used=shares[3],
        instances=instances,
    )


def _why(scene: Scene, row: int) -> str:
    """Return what stands behind a host's mark, in a few words; empty when it is ok."""
    hosts = scene.pool.hosts
    power, health = value_of(Power, hosts.power[row]), value_of(Health, hosts.health[row])
    words = [f"power {power}"] if power is not Power.ON else []
    words += [f"health {health}"] if health is not Health.OK else []
    words += [f"cordoned: {hosts.cordon[row]}"] if hosts.cordon[row] else []
    return ", ".join(words)


def _matching(scene: Scene, at: Address) -> BoolArray:
    hosts = scene.pool.hosts
    rows = containing(hosts.id, at["q"])
    rows &= being(hosts.zone, at["zone"], len(hosts))
    rows &= being(hosts.rack, at["rack"], len(hosts))
    if at["mark"]:
        mark = MARKS.get(at["mark"])
        rows &= scene.marks == mark if mark is not None else np.False_
    return rows


def _sorts(scene: Scene) -> dict[str, Keys]:
    pool = scene.pool
    capacity = pool.hosts.capacity.sum(axis=1)
    return {
        "id": np.argsort(scene.picture.layout.by_name),
        "zone": ranks(pool.hosts.zone),
        "rack": ranks(pool.hosts.rack),
        "arch": pool.hosts.arch,
        "mark": scene.marks,
        "cpu": capacity[:, CPU],
        "memory": capacity[:, MEMORY] + capacity[:, HUGE],
        "gpus": capacity[:, GPU],
        "cpu_reserved": heatmap.cpu_reserved(pool),
        "memory_reserved": heatmap.memory_reserved(pool),
        "cpu_used": heatmap.cpu_used(pool),
        "memory_used": heatmap.memory_used(pool),
        "instances": heatmap.instance_counts(pool),
    }
