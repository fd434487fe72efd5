# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from billow.errors import Invalid
from billow.model.column import Categorical
from billow.model.host import Host, Node
from billow.model.hosts import Hosts
from billow.model.instance import Instance
from billow.model.instances import Instances
from billow.model.kinds import State
from billow.model.pool import Pool
from billow.model.shape import Shape
from tests.model.pools import assert_same_table

SMALL = Shape("s", 1000, 1024)
HOST = Host("h1", (Node(4000, 8192), Node(4000, 8192)))
INSTANCE = Instance("a", SMALL, host="h1", state=State.RUNNING)


def columns(**changes: object) -> Pool:
    hosts: dict[str, Any] = {"id": ["h1", "h2"], "capacity": np.full((2, 1, 4), 9)}
    instances: dict[str, Any] = {"id": ["a"], "shape": np.array([0]), "host": np.array([0])}
    for name, value in changes.items():
        table, _, column = name.partition("_")
        (hosts if table == "hosts" else instances)[column] = value
    return Pool.of_columns(
        Hosts.of_columns(**hosts), Instances.of_columns(**instances), shapes=[SMALL]
    )


def test_columns_need_nothing_but_ids_capacity_and_places() -> None:
    pool = columns()
    assert pool.host("h1") == Host("h1", (Node(9, 9, 9, 9),))
    assert pool.instance("a") == Instance("a", SMALL, host="h1")


@pytest.mark.parametrize(
    "change",
    [
        {"hosts_id": ["h1", "h1"]},
        {"hosts_id": ["h1", "h 2"]},
        {"hosts_id": ["h1", ""]},
        {"hosts_id": ["h1", "-"]},
        {"hosts_id": ["h1", "a\nb"]},
        {"hosts_id": ["h1", "\ud800"]},
        {"hosts_id": ["h1", 5]},
        {"hosts_id": ["h1", "x" * 254]},
        {"hosts_id": ["h1"]},
        {"hosts_capacity": np.full((2, 1, 3), 9)},
        {"hosts_capacity": np.full((2, 4), 9)},
        {"hosts_capacity": np.full((2, 33, 4), 9)},
        {"hosts_capacity": np.full((2, 0, 4), 9)},
        {"hosts_capacity": np.full((2, 1, 4), 9.5)},
        {"hosts_capacity": np.full((2, 1, 4), -1)},
        {"hosts_capacity": np.full((2, 1, 4), 2**41)},
        {"hosts_node_count": np.array([0, 1])},
        {"hosts_node_count": np.array([1, 2])},
        {"hosts_node_count": np.array([[1], [1]])},
        {"hosts_capacity": np.full((2, 2, 4), 9), "hosts_node_count": np.array([1, 2])},
        {"hosts_colour": "red"},
        {"hosts_rack": "a b"},
        {"hosts_rack": ["r1"]},
        {"hosts_rack": Categorical(np.array([0, 7], dtype=np.int32), ("r",))},
        {"hosts_rack": Categorical(np.array([0, -1], dtype=np.int32), ("r",))},
        {"hosts_power": np.array([0, 3])},
        {"hosts_power": np.array([0, 256])},
        {"hosts_cpu_ratio": np.array([1.0, math.nan])},
        {"hosts_cpu_ratio": np.array([1.0, 0.0])},
        {"hosts_cpu_ratio": np.array([1.0, math.inf])},
        {"hosts_sockets": np.array([1, 70_000])},
        {"hosts_sockets": np.array([1, 0])},
        {"hosts_sockets": np.array(["1", "2"])},
        {"hosts_cpu_used": np.array([1.0, -1.0])},
        {"hosts_cpu_used": np.array([1.0, math.inf])},
        {"hosts_traits": [frozenset({"a"}), frozenset({"b c"})]},
        {"instances_host": np.array([2])},
        {"instances_host": np.array([-2])},
        {"instances_host": np.array([0, 1])},
        {"instances_shape": np.array([1])},
        {"instances_shape": np.array([-1])},
        {"instances_nodes": np.array([1])},
        {"instances_state": np.array([6])},
        {"instances_priority": np.array([2_000_000])},
        {"instances_group": ["g"]},
        {"instances_immovable": "x" * 5000},
        {"instances_dirty": np.array([-0.5], dtype=np.float32)},
    ],
    ids="-".join,
)
def test_columns_that_break_a_law_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        columns(**change)


def test_columns_name_the_row_that_is_wrong() -> None:
    with pytest.raises(Invalid, match="host h2: cpu_ratio is out of range"):
        columns(hosts_cpu_ratio=np.array([1.0, 0.0]))


def test_nothing_in_a_pool_can_be_written() -> None:
    pool = Pool.build([HOST], [INSTANCE])
    for table in (pool.hosts, pool.instances, columns().hosts, columns().instances):
        for each in fields(table):
            column = getattr(table, each.name)
            array = column.codes if isinstance(column, Categorical) else column
            assert isinstance(array, tuple) or not array.flags.writeable, each.name


def test_tables_of_different_width_extend_each_other() -> None:
    wide = Hosts.of([Host("h2", (Node(1, 1),) * 3)])
    for first, second in ((Hosts.of([HOST]), wide), (wide, Hosts.of([HOST]))):
        both = first.extended(second)
        assert [both.view(row) for row in (0, 1)] == [first.view(0), second.view(0)]


def test_few_and_many_rows_are_inserted_alike() -> None:
    base = Instances.of([Instance(f"a{n:03}", SMALL) for n in range(0, 300, 2)], {"s": 0}, {})
    for count in (1, 3, 150):
        more = [Instance(f"a{n:03}", SMALL, tenant=f"t{n}") for n in range(1, 2 * count, 2)]
        table = Instances.of(more, {"s": 0}, {})
        expected = base.extended(table)
        order = np.array(sorted(range(len(expected)), key=expected.id.__getitem__))
        assert_same_table(base.inserted(table), expected.take(order))
