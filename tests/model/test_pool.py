# SPDX-License-Identifier: Apache-2.0

import math
import random
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billow.errors import Invalid, NotFound
from billow.model.group import Group, Link, Uplink
from billow.model.host import Host, Node
from billow.model.hosts import Hosts
from billow.model.instance import Instance
from billow.model.instances import NOWHERE, Instances
from billow.model.kinds import (
    Arch,
    Health,
    Kind,
    MigrationPolicy,
    Power,
    Rule,
    Scope,
    Service,
    State,
    Storage,
)
from billow.model.pool import Pool
from billow.model.resources import LARGEST
from billow.model.shape import Shape
from billow.model.text import parse
from tests.model.pools import assert_same, pools, rows

SMALL = Shape("s", 1000, 1024)
BOUND = Shape("n", 2000, 2048, numa_nodes=1)
HOST = Host("h1", (Node(4000, 8192), Node(4000, 8192)))
INSTANCE = Instance("a", SMALL, host="h1", state=State.RUNNING)


@settings(max_examples=50)
@given(rows(), st.integers())
def test_the_order_of_the_input_changes_nothing(parts: dict[str, Any], seed: int) -> None:
    shuffled: dict[str, Any] = {
        name: random.Random(seed).sample(part, len(part)) for name, part in parts.items()
    }
    assert_same(Pool.build(**parts), Pool.build(**shuffled))


@settings(max_examples=50)
@given(pools(), st.integers())
def test_columns_in_any_order_build_the_same_pool(pool: Pool, seed: int) -> None:
    dice = random.Random(seed)
    order = np.array(dice.sample(range(len(pool.hosts)), len(pool.hosts)), dtype=np.intp)
    row = np.empty(len(order) + 1, dtype=np.int32)
    row[order], row[NOWHERE] = np.arange(len(order)), NOWHERE
    mixed = np.array(dice.sample(range(len(pool.instances)), len(pool.instances)), dtype=np.intp)
    moved = replace(pool.instances, host=row[pool.instances.host]).take(mixed)
    shapes = dice.sample(range(len(pool.shapes)), len(pool.shapes))
    place = np.argsort(shapes).astype(np.int32)
    again = Pool.of_columns(
        pool.hosts.take(order),
        replace(moved, shape=place[moved.shape] if len(moved) else moved.shape),
        shapes=[pool.shapes[number] for number in shapes],
        groups=pool.groups[::-1],
        links=pool.links[::-1],
        uplinks=pool.uplinks[::-1],
        facts=pool.facts[::-1],
        gaps=pool.gaps[::-1],
        taken_at=pool.taken_at,
    )
    assert_same(pool, again)


@settings(max_examples=50)
@given(pools())
def test_rows_come_back_as_they_went_in(pool: Pool) -> None:
    again = Pool.build(
        pool.host_views(),
        pool.instance_views(),
        shapes=pool.shapes,
        groups=pool.groups,
        links=pool.links,
        uplinks=pool.uplinks,
        facts=pool.facts,
        gaps=pool.gaps,
        taken_at=pool.taken_at,
    )
    assert_same(pool, again)
    assert list(again.instance_views()) == list(pool.instance_views())


CHANGES: dict[str, Any] = {
    "arch": Arch.AARCH64,
    "cpu_model": "EPYC-v1 +gfni",
    "sockets": 2,
    "zone": "z",
    "rack": "r",
    "traits": frozenset({"ssd"}),
    "gpu_model": "a100",
    "power": Power.OFF,
    "health": Health.SUSPECT,
    "cordon": "maintenance",
    "cpu_ratio": 2.0,
    "memory_ratio": 1.5,
    "bandwidth_mib_s": 5.0,
    "nodes": (Node(4000, 8192), Node(4000, 8192, 1)),
    "id": "h2",
    "kind": Kind.CONTAINER,
    "state": State.STOPPED,
    "priority": 1,
    "group": "g",
    "tenant": "t",
    "image": "i",
    "immovable": "pinned",
    "shape": replace(SMALL, cpu_milli=2000),
    "host": "",
    "power_curve": "1/2/3/4/5/6/7/8/9/10/11",
    "migration": MigrationPolicy.POST_COPY,
    "disk": Storage.OWN,
    "service": Service.BATCH,
    "cpu_limit_milli": 500,
}
MEASURED = {
    declared.attribute
    for table in (Hosts, Instances)
    for declared in table.declared().values()
    if declared.observed
}


def test_any_change_but_a_measurement_changes_the_digest() -> None:
    groups = [Group("g", Rule.AFFINITY)]
    before = Pool.build([HOST], [INSTANCE], groups=groups)
    seen = {before.digest}
    changed = [(replace(HOST, **{name: CHANGES[name]}), INSTANCE) for name in _names(Host)]
    changed += [(HOST, replace(INSTANCE, **{name: CHANGES[name]})) for name in _names(Instance)]
    for host, instance in changed:
        there = replace(instance, host=host.id if instance.host else "")
        seen.add(Pool.build([host], [there], groups=groups).digest)
    assert len(seen) == 1 + len(changed)


def _names(kind: type) -> list[str]:
    names = [each.name for each in fields(kind) if each.name not in MEASURED]
    if kind is Instance:
        names = [name for name in names if name not in ("nodes", "zone")]
    return names


def test_binding_and_every_part_of_a_shape_change_the_digest() -> None:
    base = Instance("a", BOUND, host="h1", nodes=(0,))
    shapes = [
        replace(BOUND, memory_mib=1),
        replace(BOUND, huge_pages=True),
        replace(BOUND, gpus=1),
        replace(BOUND, arch=Arch.X86_64),
        replace(BOUND, traits=frozenset({"ssd"})),
        replace(BOUND, dedicated=True),
        replace(BOUND, name="m"),
    ]
    instances = [base, replace(base, nodes=(1,)), *(replace(base, shape=s) for s in shapes)]
    assert len({Pool.build([HOST], [each]).digest for each in instances}) == len(instances)


def test_groups_and_links_change_the_digest() -> None:
    pools = [
        Pool.build([HOST]),
        Pool.build([HOST], groups=[Group("g", Rule.AFFINITY)]),
        Pool.build([HOST], groups=[Group("g", Rule.ANTI_AFFINITY)]),
        Pool.build([HOST], groups=[Group("g", Rule.AFFINITY, Scope.ZONE)]),
        Pool.build([HOST], links=[Link("h1", "h2", 1.0)]),
        Pool.build([HOST], links=[Link("h1", "h2", 2.0)]),
        Pool.build([HOST], uplinks=[Uplink("r1", 1.0)]),
        Pool.build([HOST], uplinks=[Uplink("r1", 2.0)]),
    ]
    assert len({pool.digest for pool in pools}) == len(pools)


def test_measurements_time_and_unused_shapes_do_not_change_the_digest() -> None:
    used = replace(INSTANCE, dirty_mib_s=5.0, cpu_used_milli=7.0, memory_used_mib=9.0)
    host = replace(HOST, cpu_used_milli=7.0, memory_used_mib=9.0)
    pool = Pool.build([HOST], [INSTANCE])
    assert Pool.build([host], [used], shapes=[BOUND], taken_at=5.0).digest == pool.digest


def test_texts_do_not_run_into_each_other_in_the_digest() -> None:
    first = [replace(HOST, id="h1", cordon="a\0b"), replace(HOST, id="h2", cordon="c")]
    second = [replace(HOST, id="h1", cordon="a"), replace(HOST, id="h2", cordon="b\0c")]
    assert Pool.build(first).digest != Pool.build(second).digest


def test_the_digest_is_the_same_on_every_machine_and_day() -> None:
    pool = parse(
        """billow-pool 1
        shape n cpu=1 memory=1GiB numa=1 traits=b,a
        host h[1-3] nodes=2x(4,8GiB) rack=r1 traits=ssd cordon="new disk"
        group g anti-affinity
        vm a[1-6] n h[1-3]/1 group=g
        """
    )
    assert pool.digest == "afa6cd1598f21efcb770e2c2508bdafe"


def test_padding_for_hosts_with_more_nodes_means_nothing() -> None:
    wide = Host("h2", (Node(1, 1),) * 5)
    both = Pool.build([HOST, wide])
    alone = replace(both, hosts=both.hosts.take(np.array([0])))
    assert alone.digest == Pool.build([HOST]).digest


@settings(max_examples=50)
@given(pools(), st.integers(1, 100))
def test_requests_join_as_if_they_had_been_there(pool: Pool, count: int) -> None:
    taken = set(pool.instances.id)
    names = [name for number in range(count) if (name := f"{number}") not in taken]
    requests = [Instance(name, BOUND) for name in names]
    if any(shape.name == BOUND.name and shape != BOUND for shape in pool.shapes):
        return
    grown = pool.with_requests(requests)
    again = Pool.build(
        pool.host_views(),
        [*pool.instance_views(), *requests],
        shapes=pool.shapes,
        groups=pool.groups,
        links=pool.links,
        uplinks=pool.uplinks,
        facts=pool.facts,
        gaps=pool.gaps,
        taken_at=pool.taken_at,
    )
    assert_same(grown, again)
    assert np.array_equal(grown.free, pool.free)


def test_a_request_arrives_without_a_place() -> None:
    pool = Pool.build([HOST]).with_requests([replace(INSTANCE, state=State.FAILED)])
    assert pool.instance("a") == replace(INSTANCE, host="", state=State.REQUESTED)


@settings(max_examples=50)
@given(pools())
def test_sums_are_what_counting_gives(pool: Pool) -> None:
    hosts = {host.id: np.zeros(4, dtype=object) for host in pool.host_views()}
    nodes = {
        (host.id, n): np.zeros(4, dtype=object) for host in pool.host_views() for n in (0, 1, 2)
    }
    for each in pool.instance_views():
        if each.host:
            hosts[each.host] += np.array(each.shape.demand, dtype=object)
            for node in each.nodes:
                nodes[each.host, node] += np.array(each.shape.share, dtype=object)
    for row, name in enumerate(pool.hosts.id):
        assert pool.reserved[row].tolist() == hosts[name].tolist()
        for node in range(pool.hosts.capacity.shape[1]):
            assert pool.reserved_nodes[row, node].tolist() == nodes[name, node].tolist()
    assert np.array_equal(pool.free, pool.hosts.sellable.sum(axis=1) - pool.reserved)


def test_sums_of_the_largest_amounts_are_exact() -> None:
    huge = Shape("huge", LARGEST - 1, LARGEST - 1)
    count = 20_000
    table = Instances.of_columns(
        [f"a{number:05}" for number in range(count)],
        np.zeros(count, dtype=np.int64),
        np.zeros(count, dtype=np.int64),
    )
    pool = Pool.of_columns(Hosts.of([HOST]), table, shapes=[huge])
    assert pool.reserved[0, :2].tolist() == [(LARGEST - 1) * count] * 2


def test_overcommit_sells_more_and_huge_pages_never() -> None:
    host = Host("h", (Node(4000, 1000, huge_mib=500, gpus=2),), cpu_ratio=4.0, memory_ratio=1.5)
    pool = Pool.build([host])
    assert pool.hosts.sellable[0, 0].tolist() == [16_000, 1500, 500, 2]


def test_only_well_powered_open_hosts_are_schedulable() -> None:
    hosts = [
        HOST,
        replace(HOST, id="h2", power=Power.UNKNOWN),
        replace(HOST, id="h3", health=Health.UNKNOWN),
        replace(HOST, id="h4", cordon="x"),
    ]
    pool = Pool.build(hosts)
    assert pool.hosts.schedulable.tolist() == [True, False, False, False]
    assert [host.schedulable for host in hosts] == [True, False, False, False]


def test_who_is_not_there_is_not_found() -> None:
    pool = Pool.build([HOST], [INSTANCE])
    for find in (pool.host, pool.instance, pool.host_row, pool.instance_row):
        for name in ("", "b", "zzz", "h1\n"):
            with pytest.raises(NotFound):
                find(name)
    assert "h1" in pool.hosts.row
    assert pool.hosts.row.get("h0") is None
    assert dict(pool.hosts.row) == {"h1": 0}


@pytest.mark.parametrize(
    ("hosts", "instances", "brief"),
    [
        ([HOST, HOST], [], "host h1 is in the pool twice"),
        ([HOST], [INSTANCE, INSTANCE], "instance a is in the pool twice"),
        ([], [INSTANCE], "on host h1, which is not in the pool"),
        ([HOST], [replace(INSTANCE, group="g")], "in group g, which is not in the pool"),
        ([HOST], [replace(INSTANCE, shape=BOUND)], "NUMA nodes no of h1"),
        ([HOST], [replace(INSTANCE, nodes=(0,))], "its shape takes 0 of 2"),
        ([HOST], [replace(INSTANCE, shape=BOUND, nodes=(2,))], "NUMA nodes 2 of h1"),
        (
            [HOST],
            [INSTANCE, replace(INSTANCE, id="b", shape=replace(SMALL, cpu_milli=5))],
            "two different shapes named s",
        ),
    ],
)
def test_rows_that_contradict_are_refused(
    hosts: list[Host], instances: list[Instance], brief: str
) -> None:
    with pytest.raises(Invalid) as caught:
        Pool.build(hosts, instances)
    assert brief in caught.value.brief
    assert caught.value.fix


@pytest.mark.parametrize("time", [math.nan, math.inf, -1e18, True, "now"])
def test_a_time_that_is_none_is_refused(time: object) -> None:
    with pytest.raises(Invalid, match="taken_at"):
        Pool.build([HOST], taken_at=time)  # type: ignore[arg-type]  # hostile


def test_requests_that_contradict_are_refused() -> None:
    pool = Pool.build([HOST], [INSTANCE])
    other = replace(INSTANCE, id="b", shape=replace(SMALL, cpu_milli=5))
    fresh = replace(INSTANCE, id="b")
    for requests in ([INSTANCE], [fresh, fresh], [other], [replace(fresh, group="g")]):
        with pytest.raises(Invalid) as caught:
            pool.with_requests(requests)
        assert caught.value.fix
    many = [replace(INSTANCE, id=f"x{number}") for number in range(100)]
    with pytest.raises(Invalid, match="a is in the pool already"):
        pool.with_requests([*many, INSTANCE])


def test_more_shapes_and_groups_keep_what_is_there() -> None:
    pool = Pool.build([HOST], [INSTANCE])
    grown = pool.with_shapes([BOUND]).with_groups([Group("g", Rule.AFFINITY)])
    assert grown.shapes == (BOUND, SMALL)
    assert grown.instance("a") == INSTANCE
    assert pool.with_shapes([SMALL]) is pool
    with pytest.raises(Invalid):
        pool.with_shapes([replace(SMALL, cpu_milli=5)])
    with pytest.raises(Invalid):
        grown.with_groups([Group("g", Rule.ANTI_AFFINITY)])
