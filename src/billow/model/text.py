# SPDX-License-Identifier: Apache-2.0
"""A pool as text that people read and write: a bug report is a test.

    billow-pool 1 taken=2026-11-22T08:00:00Z
    shape c16 cpu=16 memory=32GiB numa=1 huge
    host h[1-3] nodes=2x(44,180GiB,huge=64GiB) rack=r1 traits=ssd
    group web anti-affinity host
    vm a1 c16 h1/0 running group=web immovable="pinned device"
    vm a2 c16 - requested
    link h1 h2 2000MiB/s
    uplink r1 5000MiB/s
    fact host/h1 accelerator kvm
    gap host/h3 "usage not seen"

`render` leaves out what is at its default and writes no ranges; `parse` reads lines in any order.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final

import numpy as np

from billow.model.column import AnyArray, Categorical, Declared
from billow.model.group import Fact, Gap
from billow.model.host import Node
from billow.model.instance import nodes_of
from billow.model.instances import NOWHERE
from billow.model.options import HOST_OPTIONS, INSTANCE_OPTIONS, SHAPE_FLAGS, SHAPE_OPTIONS, Option
from billow.model.pool import Pool
from billow.model.reading import parse
from billow.model.resources import IntArray
from billow.model.shape import Shape
from billow.model.spelling import (
    written_cores,
    written_place,
    written_size,
    written_text,
    written_time,
)
from billow.model.table import Table

__all__ = ["parse", "render"]

HEADER: Final = "billow-pool 1"


def render(pool: Pool) -> str:
    """Return a pool as text, which `parse` reads as an equal pool. Linear."""
    return "".join(f"{line}\n" for line in _lines(pool))


def _lines(pool: Pool) -> Iterator[str]:
    yield f"{HEADER} taken={written_time(pool.taken_at)}" if pool.taken_at else HEADER
    yield from map(_shape_line, pool.shapes)
    yield from (f"group {each.name} {each.rule} {each.scope}" for each in pool.groups)
    yield from _host_lines(pool)
    yield from _instance_lines(pool)
    for link in pool.links:
        yield f"link {link.first} {link.second} {link.bandwidth_mib_s!r}MiB/s"
    for uplink in pool.uplinks:
        yield f"uplink {uplink.rack} {uplink.bandwidth_mib_s!r}MiB/s"
    yield from map(_fact_line, pool.facts)
    yield from map(_gap_line, pool.gaps)


def _fact_line(fact: Fact) -> str:
    return "fact " + " ".join(map(written_text, (fact.subject, fact.key, fact.value)))


def _gap_line(gap: Gap) -> str:
    return f"gap {written_text(gap.subject)} {written_text(gap.why)}"


def _shape_line(shape: Shape) -> str:
    options = (_option_text(option, getattr(shape, option.name)) for option in SHAPE_OPTIONS)
    flags = (f" {word}" for word, name in SHAPE_FLAGS.items() if getattr(shape, name))
    return f"shape {shape.name}{''.join(options)}{''.join(flags)}"


def _host_lines(pool: Pool) -> Iterable[str]:
    hosts = pool.hosts
    nodes = _nodes_texts(hosts.capacity, hosts.node_count)
    heads = [f"host {name} nodes={text}" for name, text in zip(hosts.id, nodes, strict=True)]
    return _with_options(heads, hosts, HOST_OPTIONS)


def _instance_lines(pool: Pool) -> Iterable[str]:
    table = pool.instances
    declared = table.declared()
    columns = (
        declared["kind"].values(table.kind),
        table.id,
        [pool.shapes[code].name for code in table.shape.tolist()],
        _places(pool),
        declared["state"].values(table.state),
    )
    return _with_options(list(map(" ".join, zip(*columns, strict=True))), table, INSTANCE_OPTIONS)


def _places(pool: Pool) -> list[str]:
    """Return where each instance is; each distinct place is spelled once."""
    table = pool.instances
    both = table.host.astype(np.int64) << 32 | table.nodes
    distinct, where = np.unique(both, return_inverse=True)
    spelled = [
        written_place("" if host == NOWHERE else pool.hosts.id[host], nodes_of(mask))
        for host, mask in (divmod(each, 2**32) for each in distinct.tolist())
    ]
    return list(map(spelled.__getitem__, where.tolist()))


def _with_options(heads: list[str], table: Table, options: Sequence[Option]) -> Iterable[str]:
    """Return lines: each head, then the options that are not at their default."""
    declared = table.declared()
    columns = [heads]
    for option in options:
        texts = _option_texts(option, declared[option.name], getattr(table, option.name))
        if texts is not None:
            columns.append(texts)
    return map("".join, zip(*columns, strict=True)) if columns[1:] else heads


def _option_texts(option: Option, declared: Declared, column: Any) -> list[str] | None:  # noqa: ANN401 (any column)
    """Return one text per row, or None when every row is at the default."""
    if isinstance(column, Categorical):
        choices, codes = column.categories, column.codes
    elif declared.vocabulary is not None:
        choices, codes = tuple(declared.vocabulary), column
    else:
        return _number_texts(option, declared, column)
    texts = [_option_text(option, choice) for choice in choices]
    return list(map(texts.__getitem__, codes.tolist())) if any(texts) else None


def _number_texts(option: Option, declared: Declared, column: AnyArray) -> list[str] | None:
    default = declared.default
    told = ~np.isnan(column) if declared.unseen else column != default
    if not told.any():
        return None
    texts = [""] * len(column)
    for row in np.flatnonzero(told).tolist():
        texts[row] = f" {option.key}={option.write(column[row])}"
    return texts


def _option_text(option: Option, value: object) -> str:
    return "" if value == option.default else f" {option.key}={option.write(value)}"


def _nodes_texts(capacity: IntArray, counts: Any) -> list[str]:  # noqa: ANN401 (an array)
    """Return the NUMA nodes of each host; each distinct arrangement is spelled once."""
    width = capacity.shape[2]
    flat = np.column_stack([counts, capacity.reshape(len(counts), width * capacity.shape[1])])
    distinct, where = np.unique(flat.astype(np.int64), axis=0, return_inverse=True)
    spelled = [
        _nodes_text([Node(*row[1 + n * width : 1 + (n + 1) * width]) for n in range(row[0])])
        for row in distinct.tolist()
    ]
    return list(map(spelled.__getitem__, where.ravel().tolist()))


def _nodes_text(nodes: Sequence[Node]) -> str:
    return "+".join(_equal_nodes_text(node, len(list(equal))) for node, equal in groupby(nodes))


def _equal_nodes_text(node: Node, count: int) -> str:
    parts = [written_cores(node.cpu_milli), written_size(node.memory_mib)]
    if node.huge_mib:
        parts.append(f"huge={written_size(node.huge_mib)}")
    if node.gpus:
        parts.append(f"gpus={node.gpus}")
    times = f"{count}x" if count > 1 else ""
    return f"{times}({','.join(parts)})"
