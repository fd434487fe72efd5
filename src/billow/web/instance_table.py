# SPDX-License-Identifier: Apache-2.0
"""The table of instances: which rows, in what order, showing what. Pool in, page out."""

from enum import StrEnum

import numpy as np
import numpy.typing as npt

from billow.model.instance import Instance
from billow.model.instances import NOWHERE
from billow.model.kinds import Kind, State, code_of
from billow.model.pool import Pool
from billow.model.resources import CPU, HUGE, MEMORY, BoolArray, CodeArray
from billow.web.listing import Address, Keys, Page, being, containing, cut, ranks
from billow.web.scene import Scene

FILTERS = ("q", "state", "kind", "host", "group", "tenant", "image")


def page_of(scene: Scene, at: Address) -> tuple[Page, list[Instance]]:
    """Return the asked page of instances. Linear in NumPy; Python only for the rows shown."""
    page = cut(at, _matching(scene, at), _sorts(scene, at["sort"]))
    return page, views(scene.pool, page.rows)


def views(pool: Pool, rows: tuple[int, ...]) -> list[Instance]:
    """Return some rows of the instance table as values."""
    return [pool.instances.view(row, pool.shapes, pool.hosts.id) for row in rows]


def _matching(scene: Scene, at: Address) -> BoolArray:
    table = scene.pool.instances
    rows = containing(table.id, at["q"])
    rows &= _coded(table.state, State, at["state"])
    rows &= _coded(table.kind, Kind, at["kind"])
    for name in ("group", "tenant", "image"):
        rows &= being(getattr(table, name), at[name], len(table))
    if at["host"]:
        rows &= table.host == scene.pool.hosts.row.get(at["host"], len(scene.pool.hosts))
    return rows


def _coded(codes: CodeArray, vocabulary: type[StrEnum], word: str) -> BoolArray:
    if not word:
        return np.ones(len(codes), dtype=np.bool_)
    if word not in set(vocabulary):
        return np.zeros(len(codes), dtype=np.bool_)
    rows: BoolArray = codes == code_of(vocabulary(word))
    return rows


def _sorts(scene: Scene, sort: str) -> dict[str, Keys]:
    """Return the keys of the one column that is asked for."""
    table, name = scene.pool.instances, sort.removeprefix("-")
    match name:
        case "state" | "kind" | "priority" | "dirty":
            keys: Keys = getattr(table, name)
        case "group" | "tenant" | "image":
            keys = ranks(getattr(table, name))
        case "host":
            keys = _host_keys(scene, table.host)
        case "cpu" | "memory":
            keys = _demand(scene.pool, name)[table.shape]
        case "cpu_used" | "memory_used":
            keys = getattr(table, name)
        case _:
            return {}
    return {name: keys}


def _demand(pool: Pool, resource: str) -> npt.NDArray[np.int64]:
    demand = pool.demand
    return demand[:, CPU] if resource == "cpu" else demand[:, MEMORY] + demand[:, HUGE]


def _host_keys(scene: Scene, host: npt.NDArray[np.int32]) -> Keys:
    """Return the place of each instance's host by name; instances on no host come first."""
    place = np.argsort(scene.picture.layout.by_name)
    if not len(place):
        return host
    return np.where(host == NOWHERE, -1, place[np.maximum(host, 0)])
