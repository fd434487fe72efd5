# SPDX-License-Identifier: Apache-2.0
"""Pools of every kind for properties, and what it means that two are equal in every column."""

import math
from dataclasses import fields
from itertools import pairwise

import numpy as np
from hypothesis import strategies as st

from billow.model.column import Categorical
from billow.model.group import Fact, Gap, Group, Link, Uplink
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import Arch, Health, Kind, Power, Rule, Scope, Service, State, Storage
from billow.model.names import check_id
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.model.table import Table

ODD_IDS = (
    *(
        "a",
        "b",
        "c",
        "h1",
        "h2",
        "a0",
        "a00",
        "A",
        "a/0",
        "a/0+1",
        "a/-",
        "host/7",
        "0",
        "00",
        "1x2",
    ),
    *(
        "(1)",
        "{}",
        "a+b",
        "a#b",
        "a:b",
        "::1",
        "~",
        "@x",
        "é",
        "e\u0301",
        "λ",
        "中",
        "🦀",
        "x" * 253,
    ),
    *(
        "vm",
        "fact",
        "billow-pool",
        "requested",
        "none",
        "nan",
        "null",
        "True",
        "🦀/1",
        "a;b",
        "%00",
    ),
)
IDS = st.sampled_from([check_id("id", name) for name in ODD_IDS])
ODD_TEXTS = (
    *('"', "\\", "\n", "a b", "#", "k=v", "\u2028", "\x85x", "\x00", "\r\n", "'", "🦀", "-", " "),
    *(
        "",
        "a\tb",
        'a "b" c',
        "\\n",
        "x" * 4096,
        "{}",
        "\u202e",
        "\ufffe",
        "a\0b",
        "\1",
        "\2",
        "a=b #c",
    ),
)
TEXTS = st.sampled_from(ODD_TEXTS) | st.text(max_size=5)
OPTIONAL_IDS = st.just("") | IDS
AMOUNTS = st.integers(0, 4096) | st.integers(0, 2**40)
MEASURES = st.just(math.nan) | st.floats(0, 1e12)
NARROW_MEASURES = st.just(math.nan) | st.floats(0, 999_999_995_904, width=32)
TIMES = st.just(0.0) | st.floats(0, 4e9) | st.integers(0, 4_000_000_000).map(float)
CPUS = st.sampled_from(("", "kvm64-v1", "Skylake-Server-IBRS -pku +x.y_z-1", "neoverse-n1"))
TRAITS = st.frozensets(IDS, max_size=3)

NODES = st.builds(Node, AMOUNTS, AMOUNTS, AMOUNTS, st.integers(0, 8))
SHAPES = st.builds(
    Shape,
    IDS,
    AMOUNTS,
    AMOUNTS,
    numa_nodes=st.integers(0, 2),
    huge_pages=st.booleans(),
    gpus=st.integers(0, 8),
    arch=st.none() | st.sampled_from(Arch),
    traits=TRAITS,
    dedicated=st.booleans(),
)
HOSTS = st.builds(
    Host,
    IDS,
    st.lists(NODES, min_size=1, max_size=3).map(tuple),
    arch=st.sampled_from(Arch),
    cpu_model=CPUS,
    sockets=st.integers(1, 4096),
    zone=OPTIONAL_IDS,
    rack=OPTIONAL_IDS,
    traits=TRAITS,
    gpu_model=OPTIONAL_IDS,
    power=st.sampled_from(Power),
    health=st.sampled_from(Health),
    cordon=TEXTS,
    cpu_ratio=st.just(1.0) | st.floats(0.01, 1000),
    memory_ratio=st.just(1.0) | st.floats(0.01, 100),
    bandwidth_mib_s=st.just(1000.0) | st.floats(0, 1e12),
    cpu_used_milli=MEASURES,
    memory_used_mib=MEASURES,
    power_curve=st.sampled_from(("", "1/2/3/4/5/6/7/8/9/10/11")),
    load=MEASURES,
    cpu_pressure=MEASURES,
    memory_pressure=MEASURES,
    swap_mib_s=MEASURES,
    watts=MEASURES,
)
GROUPS = st.builds(Group, IDS, st.sampled_from(Rule), st.sampled_from(Scope))
FACTS = st.builds(Fact, TEXTS, TEXTS, TEXTS)
GAPS = st.builds(Gap, TEXTS, TEXTS)


@st.composite
def instances(
    draw: st.DrawFn, name: str, hosts: list[Host], shapes: list[Shape], groups: list[Group]
) -> Instance:
    shape = draw(st.sampled_from(shapes))
    roomy = [host for host in hosts if len(host.nodes) >= shape.numa_nodes]
    host = draw(st.none() | st.sampled_from(roomy)) if roomy else None
    numbers = list(range(len(host.nodes))) if host else []
    nodes = draw(st.permutations(numbers))[: shape.numa_nodes] if host else []
    return Instance(
        name,
        shape,
        kind=draw(st.sampled_from(Kind)),
        host=host.id if host else "",
        nodes=tuple(sorted(nodes)),
        state=draw(st.sampled_from(State)),
        priority=draw(st.just(0) | st.integers(-1_000_000, 1_000_000)),
        group=draw(st.sampled_from(["", *(group.name for group in groups)])),
        tenant=draw(OPTIONAL_IDS),
        zone=draw(OPTIONAL_IDS),
        image=draw(OPTIONAL_IDS),
        immovable=draw(TEXTS),
        dirty_mib_s=draw(NARROW_MEASURES),
        cpu_used_milli=draw(NARROW_MEASURES),
        memory_used_mib=draw(NARROW_MEASURES),
        cpu_model=draw(CPUS),
        service=draw(st.sampled_from(Service)),
        cpu_limit_milli=draw(st.just(0) | st.integers(0, 2**31 - 1)),
        cpu_wait=draw(NARROW_MEASURES),
        ballooned_mib=draw(NARROW_MEASURES),
        disk=draw(st.sampled_from(Storage)),
        disk_used_mib=draw(NARROW_MEASURES),
    )


@st.composite
def rows(draw: st.DrawFn) -> dict[str, list[object]]:
    """Draw the parts of a pool, as `Pool.build` takes them."""
    hosts = draw(st.lists(HOSTS, max_size=4, unique_by=lambda host: host.id))
    shapes = draw(st.lists(SHAPES, min_size=1, max_size=3, unique_by=lambda shape: shape.name))
    groups = draw(st.lists(GROUPS, max_size=3, unique_by=lambda group: group.name))
    names = draw(st.lists(IDS, max_size=6, unique=True))
    links = [
        Link(first.id, second.id, draw(st.floats(0, 1e12))) for first, second in pairwise(hosts)
    ]
    racks = draw(st.lists(IDS, max_size=2, unique=True))
    return {
        "hosts": list(hosts),
        "instances": [draw(instances(name, hosts, shapes, groups)) for name in names],
        "shapes": list(shapes),
        "groups": list(groups),
        "links": list(links),
        "uplinks": [Uplink(rack, draw(st.floats(0, 1e12))) for rack in racks],
        "facts": list(draw(st.lists(FACTS, max_size=3))),
        "gaps": list(draw(st.lists(GAPS, max_size=3))),
    }


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    """Draw a pool with hostile free text, odd ids and every column in use."""
    return Pool.build(**draw(rows()), taken_at=draw(TIMES))  # type: ignore[arg-type]  # by name


def assert_same(first: Pool, second: Pool) -> None:
    """Two pools are equal in everything, measurements included."""
    for part in ("taken_at", "shapes", "groups", "links", "uplinks", "facts", "gaps"):
        assert getattr(first, part) == getattr(second, part), part
    assert_same_table(first.hosts, second.hosts)
    assert_same_table(first.instances, second.instances)
    assert first.digest == second.digest


def assert_same_table(first: Table, second: Table) -> None:
    assert type(first) is type(second)
    for each in fields(first):
        ours, theirs = getattr(first, each.name), getattr(second, each.name)
        if isinstance(ours, Categorical):
            assert ours.values() == theirs.values(), each.name
        elif isinstance(ours, tuple):
            assert ours == theirs, each.name
        else:
            assert ours.dtype == theirs.dtype, each.name
            assert not theirs.flags.writeable, each.name
            equal_nan = ours.dtype.kind == "f"
            assert np.array_equal(ours, theirs, equal_nan=equal_nan), each.name
