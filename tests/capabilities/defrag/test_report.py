# SPDX-License-Identifier: Apache-2.0
"""The fragmentation report says what can be counted by hand, and what the white paper published."""

import numpy as np
from benchmarks.whitepaper_pools import S6_WANTED, pool_s6
from hypothesis import given

from billow.capabilities.defrag.policy import DefragPolicy
from billow.capabilities.defrag.report import report
from billow.model.pool import Pool
from billow.model.report import Form, Report
from billow.testing.pools import pool
from billow.testing.strategies import pools

ONE_NODE = DefragPolicy(cpu_milli=4000, memory_mib=1024, numa_nodes=1)


def grid(told: Report, key: str) -> list[dict[str, object]]:
    found = next(each for each in told.grids if each.key == key)
    keys = [column.key for column in found.columns]
    return [dict(zip(keys, row, strict=True)) for row in found.rows]


def test_the_white_papers_pool() -> None:
    told = report(pool_s6(), DefragPolicy(shapes={S6_WANTED.name: 1.0}))
    assert told.summary.startswith("406 of 442 s6.4xlarge.4 fit: 8.14% fragmented")
    figures = told.figures
    assert f"{figures['fragmentation_share']:.2%}" == "8.14%"
    assert f"{figures['cpu_fragmentation_share']:.2%}" == "19.89%"
    assert f"{figures['memory_fragmentation_share']:.0%}" == "4%"
    bounds = {measure.key: measure.bound for measure in told.measures}
    assert bounds["slots"] == 442


def test_counts_by_hand() -> None:
    # h1 has 5 and 8 CPUs left: 1 + 2 slots of 4 CPUs on one node; h2 has 3 and 8: 0 + 2
    world = pool(
        "2 hosts x 64GiB 16c 2numa; a: 1 vms x 4GiB 3c 1numa on=h1; b: 1 vms x 4GiB 5c 1numa on=h2"
    )
    told = report(world, ONE_NODE)
    assert told.figures["slots"] == 3 + 2
    assert told.figures["fragmentation_share"] == 1 - 5 / 6
    assert told.figures["cpu_useless_of_free_share"] == (24 - 20) / 24
    assert told.figures["cpu_fragmentation_share"] == (24 - 20) / 32
    # the 3 CPUs on h2 sell to who takes 3, the 1 on h1 to nobody
    assert told.figures["cpu_nobody_share"] == 1 / 24
    hosts = grid(told, "hosts")
    assert [(row["host"], row["slots"]) for row in hosts] == [("h2", 2), ("h1", 3)]
    assert [row["cpu_useless_cpus"] for row in hosts] == [3.0, 1.0]
    assert [row["cpu_dead_cpus"] for row in hosts] == [0.0, 1.0]
    nodes = {(row["host"], row["node"]): row["cpu_useless_cpus"] for row in grid(told, "nodes")}
    assert nodes["h2", 0] == 3.0
    assert nodes["h1", 0] == 1.0


def test_memory_can_be_left_out() -> None:
    world = pool("1 hosts x 4GiB 16c; a: 1 vms x 1GiB 4c pack")
    policy = DefragPolicy(cpu_milli=4000, memory_mib=4096)
    assert report(world, policy).figures["slots"] == 0
    told = report(world, policy.model_copy(update={"count_memory": False}))
    assert told.figures["slots"] == 3


def test_closed_hosts_do_not_count() -> None:
    world = pool("1 hosts x 64GiB 10c; 1 hosts x 64GiB 10c cordoned; a: 2 vms x 1GiB 3c spread")
    told = report(world, DefragPolicy(cpu_milli=4000, memory_mib=1024))
    assert told.figures["slots"] == 1
    assert told.figures["cpu_useless_of_free_share"] == 3 / 7
    assert [row["host"] for row in grid(told, "hosts")] == ["h1"]


def test_an_empty_pool_is_told_of() -> None:
    told = report(pool("2 hosts x 64GiB 16c"), DefragPolicy())
    assert told.measures == ()
    assert "nothing" in told.summary


@given(pools(requests=False))
def test_stripes_share_a_host_and_figures_are_shares(world: Pool) -> None:
    told = report(world, ONE_NODE)
    for measure in told.measures:
        if measure.unit == "share":
            assert 0.0 <= measure.value <= 1.0
        if measure.bound is not None and measure.key == "slots":
            assert measure.value <= measure.bound
    for picture in told.pictures:
        assert picture.form is Form.STRIPES
        parts = np.array([series.values for series in picture.series])
        assert (parts >= 0).all()
        assert (parts.sum(axis=0) <= 1 + 1e-9).all()
    for each in told.grids:
        assert len(each.rows) <= 50
        assert all(len(row) == len(each.columns) for row in each.rows)
