# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.model.text import parse, render
from billow.sense.merge import merge
from tests.model.pools import assert_same, pools

EARLY = """billow-pool 1 taken=2026-11-22T08:00:00Z
shape c cpu=1 memory=1GiB
shape n cpu=1 memory=1GiB numa=1
host h1 nodes=(4,8GiB) rack=r1 cordon=disk cpu-used=100m
host h2 nodes=2x(4,8GiB) rack=r1 power=off cpu-ratio=4.0
group g anti-affinity
vm a c h1 group=g
vm b n h2/1
vm x c h1 dirty=5
vm z c h1 tenant=t1
link h1 h2 10MiB/s
fact host/h1 accelerator tcg
gap host/h9 "does not answer"
"""
LATE = """billow-pool 1 taken=2026-11-22T08:01:00Z
shape c cpu=2 memory=1GiB
shape n cpu=1 memory=1GiB numa=1
host h1 nodes=(4,8GiB) health=suspect cpu-used=200m
host h2 nodes=(4,8GiB) rack=r2 power=unknown
host h3 nodes=3x(4,8GiB)
group g affinity
vm a c h3 group=g
vm b n h3/2 stopped
vm y n -
vm z c - unknown tenant=t2
link h1 h2 20MiB/s
fact host/h1 accelerator kvm
"""
BOTH = """billow-pool 1 taken=2026-11-22T08:01:00Z
shape c cpu=2 memory=1GiB
shape c@2 cpu=1 memory=1GiB
shape n cpu=1 memory=1GiB numa=1
group g affinity host
host h1 nodes=(4,8GiB) rack=r1 health=suspect cordon=disk cpu-used=200.0m
host h2 nodes=2x(4,8GiB) rack=r2 power=off cpu-ratio=4.0
host h3 nodes=3x(4,8GiB)
vm a c h3 running group=g
vm b n h3/2 stopped
vm x c@2 h1 running dirty=5.0MiB/s
vm y n - requested
vm z c@2 h1 running tenant=t2
link h1 h2 20.0MiB/s
fact host/h1 accelerator kvm
gap group/g "two views disagree on its rule; the later one counts"
gap host/h1 "two views disagree on health; the later one counts"
gap host/h2 "two views disagree on its NUMA nodes; the most count"
gap host/h2 "two views disagree on rack; the later one counts"
gap host/h9 "does not answer"
gap instance/a "seen as c on h3 and as c@2 on h1; the later one counts"
gap instance/b "seen as n on h2 nodes 1 and as n on h3 nodes 2; the later one counts"
gap instance/b "two views disagree on state; the later one counts"
gap instance/z "two views disagree on tenant; the later one counts"
gap shape/c "two views disagree on what it is; the older one is called c@2 here"
"""


def test_the_later_view_counts_and_says_what_it_overruled() -> None:
    assert render(merge([parse(EARLY), parse(LATE)])) == BOTH


def test_the_order_in_which_views_come_in_does_not_matter() -> None:
    assert_same(merge([parse(LATE), parse(EARLY)]), merge([parse(EARLY), parse(LATE)]))


def test_no_view_is_an_empty_pool_and_one_view_is_itself() -> None:
    pool = parse(EARLY)
    assert merge([pool]) is pool
    assert render(merge([])) == "billow-pool 1\n"


@settings(max_examples=40)
@given(pools())
def test_a_view_merged_with_itself_is_itself(pool: Pool) -> None:
    merged = merge([pool, pool])
    links = {(link.first, link.second): link for link in pool.links}
    facts = {(fact.subject, fact.key): fact for fact in pool.facts}
    gaps = sorted(set(pool.gaps), key=lambda gap: (gap.subject, gap.why))
    expected = replace(
        pool, links=tuple(links.values()), facts=tuple(facts.values()), gaps=tuple(gaps)
    )
    assert_same(merged, expected)


@pytest.mark.parametrize("count", [2, 3])
def test_views_of_different_hosts_are_put_side_by_side(count: int) -> None:
    views = [
        parse(
            f"""billow-pool 1 taken={number}
            shape s{number} cpu=1 memory=1GiB
            shape n cpu=1 memory=1GiB numa=1
            host p{number}-h[1-4] nodes={number + 1}x(4,8GiB)
            vm p{number}-a[1-9] s{number} p{number}-h[1-4]
            vm p{number}-b n p{number}-h1/0
            """
        )
        for number in range(count)
    ]
    merged = merge(views)
    assert merged.gaps == ()
    assert merged.taken_at == count - 1
    assert sorted(merged.host_views(), key=lambda host: host.id) == [
        host for view in views for host in view.host_views()
    ]
    assert list(merged.instance_views()) == [each for v in views for each in v.instance_views()]


@settings(max_examples=30)
@given(st.lists(pools(), max_size=3))
def test_any_views_merge_into_a_pool_that_stands(views: list[Pool]) -> None:
    merged = merge(views)
    assert {name for view in views for name in view.hosts.id} == set(merged.hosts.id)
    assert {name for view in views for name in view.instances.id} == set(merged.instances.id)
    assert_same(parse(render(merged)), merged)


def test_a_shape_of_the_longest_name_gets_another_that_is_no_longer() -> None:
    name = "x" * 253
    views = [
        Pool.build([], shapes=[Shape(name, cpu, 1024)], taken_at=float(cpu)) for cpu in (1, 2, 3)
    ]
    names = {shape.name for shape in merge(views).shapes}
    assert names == {name, "x" * 251 + "@2", "x" * 251 + "@3"}
