# SPDX-License-Identifier: Apache-2.0
"""What a move flows over, and how flows share it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.errors import NotFound
from billow.model.group import Link, Uplink
from billow.model.host import Host, Node
from billow.model.pool import Pool
from billow.plan.lanes import STREAM_MIB_S, Lane, alone, fair, route, stream

ROOM = (Node(4000, 8192),)
HOSTS = (
    Host("a", ROOM, rack="r1", bandwidth_mib_s=1000.0),
    Host("b", ROOM, rack="r1", bandwidth_mib_s=500.0),
    Host("c", ROOM, rack="r2", bandwidth_mib_s=1000.0),
    Host("d", ROOM, rack="r3", bandwidth_mib_s=4000.0),
    Host("e", ROOM, bandwidth_mib_s=4000.0),
)
POOL = Pool.build(
    HOSTS,
    links=[Link("c", "a", 2000.0), Link("a", "b", 100.0)],
    uplinks=[Uplink("r1", 800.0), Uplink("r2", 700.0)],
)


def names(source: str, target: str) -> list[str]:
    return [lane.name for lane in route(POOL, source, target)]


def test_hosts_and_racks_have_a_lane_each_way() -> None:
    assert names("b", "c") == ["b out", "c in", "rack r1 out", "rack r2 in"]
    assert names("b", "d") == ["b out", "d in", "rack r1 out"]  # r3's uplink is not known
    assert names("d", "e") == ["d out", "e in"]
    assert names("a", "a") == []


def test_a_link_of_two_hosts_stands_beside_their_own_when_faster_and_behind_them_when_slower() -> (
    None
):
    assert names("a", "c") == ["a to c"]
    assert names("b", "a") == ["b out", "a in", "b to a"]
    assert alone(route(POOL, "b", "a")) == 100


def test_one_stream_does_not_fill_a_fast_link() -> None:
    assert alone(route(POOL, "d", "e")) == 4000
    assert stream(route(POOL, "d", "e")) == STREAM_MIB_S
    assert stream(()) == STREAM_MIB_S


def test_an_unknown_host_is_named() -> None:
    with pytest.raises(NotFound, match="nowhere"):
        route(POOL, "a", "nowhere")


LANES = [Lane(f"l{number}", mib_s) for number, mib_s in enumerate((10.0, 100.0, 100.0, 1000.0))]
FLOWS = st.dictionaries(
    st.integers(0, 20).map(str),
    st.lists(st.sampled_from(LANES), max_size=3, unique=True).map(tuple),
)


@given(FLOWS, st.floats(1, 2000))
def test_fair_rates_fill_a_lane_for_everybody_and_no_lane_more_than_it_carries(
    flows: dict[str, tuple[Lane, ...]], most: float
) -> None:
    rates = fair(flows, most)
    assert rates.keys() == flows.keys()
    used = {
        lane.name: math.fsum(rates[name] for name, lanes in flows.items() if lane in lanes)
        for lane in LANES
    }
    for lane in LANES:
        assert used[lane.name] <= lane.mib_s * (1 + 1e-9)
    for name, lanes in flows.items():
        held = any(
            used[lane.name] >= lane.mib_s * (1 - 1e-9)
            and rates[name] >= max(r for o, r in rates.items() if lane in flows[o]) * (1 - 1e-9)
            for lane in lanes
        )
        assert held or rates[name] == pytest.approx(most)
