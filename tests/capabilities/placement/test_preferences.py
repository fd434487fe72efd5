# SPDX-License-Identifier: Apache-2.0
"""What the knobs of the policy do to otherwise equal choices."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from billow.capabilities.placement.plan import Choice, Chooser, Placement
from billow.capabilities.placement.policy import PlacementPolicy, Strategy
from billow.model.action import Place
from billow.model.group import Group
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import Rule, State
from billow.model.plan import Rejection
from billow.model.pool import Pool
from billow.model.shape import Shape

SPREAD = PlacementPolicy()
PACK = PlacementPolicy(strategy=Strategy.PACK)
S = Shape("s", 1000, 1024)


def placed(pool: Pool, policy: PlacementPolicy = SPREAD) -> dict[str, tuple[str, tuple[int, ...]]]:
    actions = Placement().propose(pool, policy).actions
    return {
        each.instance.id: (each.host, each.nodes) for each in actions if isinstance(each, Place)
    }


def asking(hosts: list[Host], shape: Shape, count: int) -> Pool:
    return Pool.build(hosts, [Instance(f"v{number:03}", shape) for number in range(count)])


def hosts_in(zones: int, racks: int, hosts: int) -> list[Host]:
    return [
        Host(f"h{zone}{rack}{number}", (Node(32_000, 65_536),), zone=f"z{zone}", rack=f"r{rack}")
        for zone in range(zones)
        for rack in range(racks)
        for number in range(hosts)
    ]


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 40))
def test_spread_fills_hosts_racks_and_zones_evenly(
    zones: int, racks: int, hosts: int, count: int
) -> None:
    taken = [host for host, _ in placed(asking(hosts_in(zones, racks, hosts), S, count)).values()]
    assert len(taken) == count
    for digits in (2, 3, 4):  # h + zone, + rack, + number
        every = {each.id[:digits] for each in hosts_in(zones, racks, hosts)}
        load = Counter(host[:digits] for host in taken)
        loads = [load[name] for name in every]
        assert max(loads) - min(loads) <= 1


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 40))
def test_pack_uses_no_more_hosts_than_needed(zones: int, hosts: int, count: int) -> None:
    shape = Shape("quarter", 8_000, 16_384)
    pool = asking(hosts_in(zones, 1, hosts), shape, count)
    taken = {host for host, _ in placed(pool, PACK).values()}
    assert len(taken) == min(-(-count // 4), zones * hosts)


def test_pack_takes_the_tightest_numa_node_and_spread_the_emptiest() -> None:
    host = Host("h", (Node(8000, 8192), Node(8000, 8192), Node(8000, 8192)))
    here = [
        Instance("a", Shape("a", 2000, 2048, numa_nodes=1), host="h", nodes=(0,)),
        Instance("b", Shape("b", 6000, 6144, numa_nodes=1), host="h", nodes=(2,)),
    ]
    request = Instance("v", Shape("v", 2000, 2048, numa_nodes=1))
    pool = Pool.build([host], [*here, request])
    assert placed(pool, PACK)["v"] == ("h", (2,))
    assert placed(pool, SPREAD)["v"] == ("h", (1,))


def test_pack_looks_for_the_host_with_the_tightest_node() -> None:
    hosts = [Host(name, (Node(8000, 8192), Node(8000, 8192))) for name in ("h1", "h2")]
    bound = Shape("bound", 4000, 4096, numa_nodes=1)
    here = [
        Instance("a", bound, host="h2", nodes=(0,)),
        Instance("b", Shape("even", 4000, 4096), host="h1"),
    ]
    pool = Pool.build(hosts, [*here, Instance("v", bound)])
    assert placed(pool, PACK)["v"] == ("h2", (0,))
    assert placed(pool, PlacementPolicy(strategy=Strategy.PACK, numa_weight=0))["v"][0] == "h1"


def test_hosts_with_gpus_are_kept_for_who_needs_them() -> None:
    gpu = Host("a", (Node(64_000, 65_536, 0, 4),), gpu_model="l40s")
    plain = Host("b", (Node(8_000, 8_192),))
    request = Instance("v", Shape("v", 4000, 4096))
    assert placed(Pool.build([gpu, plain], [request]))["v"][0] == "b"
    indifferent = PlacementPolicy(gpu_reserve_weight=0)
    assert placed(Pool.build([gpu, plain], [request]), indifferent)["v"][0] == "a"


def test_leftovers_that_serve_nobody_are_avoided() -> None:
    hosts = [Host("a", (Node(8000, 32_768),)), Host("b", (Node(16_000, 16_384),))]
    request = Instance("v", Shape("v", 7000, 4096))
    assert placed(Pool.build(hosts, [request]), PlacementPolicy(even_weight=0))["v"][0] == "b"
    picky = PlacementPolicy(strategy=Strategy.PACK, even_weight=10)
    assert placed(Pool.build(hosts, [request]), picky)["v"][0] == "b"
    assert placed(Pool.build(hosts, [request]), PACK)["v"][0] == "a"


def test_affinity_looks_ahead_for_room_for_all_members() -> None:
    """Eight hosts with room for one member come first; the ninth has room for both."""
    hosts = [Host(f"a{number}", (Node(10_000, 65_536),)) for number in range(8)]
    hosts.append(Host("z", (Node(64_000, 65_536),)))
    filler = Instance("x", Shape("x", 40_000, 4096), host="z", state=State.RUNNING)
    shape = Shape("v", 8000, 1024)
    members = [Instance(name, shape, group="pair") for name in ("p", "q")]
    pool = Pool.build(hosts, [filler, *members], groups=[Group("pair", Rule.AFFINITY)])
    for policy in (SPREAD, PACK):
        assert {host for host, _ in placed(pool, policy).values()} == {"z"}


def test_a_chooser_counts_what_it_chose() -> None:
    hosts = [Host(name, (Node(8000, 8192),)) for name in ("h1", "h2", "h3")]
    large = Instance("a", Shape("s", 6000, 6144), host="h1")
    small = Instance("b", Shape("m", 2000, 2048), host="h1")
    pool = Pool.build(hosts, [large, small])
    chooser = Chooser(pool, PACK)
    assert chooser.choose(pool.instance_row("a")) == Choice("h2")
    assert chooser.choose(pool.instance_row("b")) == Choice("h2")
    full = Chooser(pool, PACK)
    found = full.choose(pool.instance_row("a"), exclude=["h2", "h3"])
    assert isinstance(found, Rejection)
    assert "3 hosts" in found.causes[0]
    assert "not to be used for it" in found.causes[0]


@pytest.mark.parametrize(
    "knobs",
    [
        {"cpu_weight": -1},
        {"cpu_weight": 101},
        {"numa_weight": float("nan")},
        {"strategy": "stack"},
        {"colour": "red"},
    ],
)
def test_policies_out_of_range_are_refused(knobs: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PlacementPolicy.model_validate(knobs)


def test_every_knob_says_what_it_is_for() -> None:
    for name, knob in PlacementPolicy.model_fields.items():
        assert knob.description, name
