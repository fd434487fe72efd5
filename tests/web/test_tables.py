# SPDX-License-Identifier: Apache-2.0
"""Tables on the server: the right rows, in the right order, on the right page."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.engines.sim.generate import generate
from billow.model.host import Host
from billow.model.listing.hosts import MARKS
from billow.model.listing.order import natural
from billow.model.pool import Pool
from billow.web import host_table, instance_table
from billow.web.listing import address
from billow.web.racks import racks_of
from billow.web.scene import Scene, Scenes

POOL = generate(120, seed=7)
SCENE = Scenes().of(POOL)
HOSTILE = ["", "-1", "0", "99999999999999999999", "1e9", "NaN", "٣", "x", "../", "\x00", "<b>"]


def hosts(**asked: str) -> list[str]:
    """Return the names on a page of the host table."""
    _, lines = host_table.page_of(POOL, address("/hosts", asked, host_table.FILTERS))
    return [str(line["id"]) for line in lines]


def instances(**asked: str) -> list[str]:
    """Return the names on a page of the instance table."""
    at = address("/instances", asked, instance_table.FILTERS)
    return [each.id for each in instance_table.page_of(POOL, at)[1]]


def test_filters_pass_what_they_should() -> None:
    zone = [host.id for host in POOL.host_views() if host.zone == "z2"]
    assert hosts(zone="z2", size="500") == zone
    assert hosts(zone="nowhere") == []
    assert hosts(q="T-01", size="500") == [name for name in POOL.hosts.id if "t-01" in name]
    stopped = [each.id for each in POOL.instance_views() if each.state == "stopped"]
    assert instances(state="stopped", size="500") == stopped[:500]
    there = [each.id for each in POOL.instance_views() if each.host == "host-005"]
    assert instances(host="host-005", size="500") == there
    assert instances(host="nowhere") == instances(state="no-such") == []
    batch = [each.id for each in POOL.instance_views() if each.service == "batch"]
    assert instances(service="batch", size="500") == batch[:500]
    assert instances(service="latency") != instances(service="batch")


def test_every_mark_can_be_asked_for() -> None:
    found = [name for mark in MARKS for name in hosts(mark=mark, size="500")]
    assert sorted(found) == list(POOL.hosts.id)
    assert hosts(mark="no-such") == []


@pytest.mark.parametrize("falling", [False, True])
def test_a_sort_is_the_one_that_python_makes(*, falling: bool) -> None:
    views = {host.id: host for host in POOL.host_views()}
    sign = "-" if falling else ""
    found = hosts(sort=f"{sign}physical_memory_mib", size="500")
    keys = [views[name].memory_mib for name in found]
    assert keys == sorted(keys, reverse=falling)
    by_name = hosts(sort=f"{sign}id", size="500")
    assert by_name == sorted(POOL.hosts.id, key=natural, reverse=falling)


def test_what_was_not_seen_comes_last_both_ways() -> None:
    blind = Pool.build(_half_seen())
    at = [address("/", {"sort": sort}, ()) for sort in ("cpu_used_share", "-cpu_used_share")]
    up, down = (
        [float(str(line["cpu_used_share"])) for line in host_table.page_of(blind, each)[1]]
        for each in at
    )
    assert [math.isnan(share) for share in up] == [math.isnan(share) for share in down]
    assert math.isnan(up[-1])
    assert not math.isnan(up[0])


def _half_seen() -> list[Host]:
    views = list(POOL.host_views())
    return [
        replace(host, cpu_used_milli=float(number) if number % 2 else math.nan)
        for number, host in enumerate(views)
    ]


@given(st.sampled_from([50, 100]), st.sampled_from(["", "-cpu_milli", "host", "state"]))
def test_pages_together_are_the_table(size: int, sort: str) -> None:
    at = address("/instances", {"size": str(size), "sort": sort}, instance_table.FILTERS)
    page, _ = instance_table.page_of(POOL, at)
    rows: list[int] = []
    for number in range(1, page.count + 1):
        asked = {**at.parameters, "page": str(number)}
        rows += instance_table.page_of(POOL, address("/", asked, ()))[0].rows
    assert sorted(rows) == list(range(len(POOL.instances)))


@pytest.mark.parametrize("text", HOSTILE)
def test_nonsense_is_the_default(text: str) -> None:
    for name in ("page", "size", "sort"):
        asked = {name: text}
        page, lines = host_table.page_of(POOL, address("/hosts", asked, host_table.FILTERS))
        assert 1 <= page.number <= page.count
        assert len(lines) <= 500
        instance_table.page_of(POOL, address("/", asked, instance_table.FILTERS))


def test_an_address_keeps_what_it_knows_and_escapes_it() -> None:
    at = address("/hosts", {"q": "a&b=<c>", "evil": "x", "sort": "-cpu"}, ("q",))
    assert at.but(page=2) == "/hosts?q=a%26b%3D%3Cc%3E&sort=-cpu&page=2"
    assert at.but(q="", sort="") == "/hosts"
    assert at.sorted_by("cpu", falling=True).endswith("sort=cpu")
    assert at.direction("cpu") == "descending"
    assert at.direction("id") == "none"


def test_racks_add_up_to_the_pool() -> None:
    racks = racks_of(SCENE)
    assert sum(rack.hosts for rack in racks) == len(POOL.hosts)
    placed = sum(1 for each in POOL.instance_views() if each.host)
    assert sum(rack.instances for rack in racks) == placed
    for rack in racks:
        mine = [
            host.id
            for host in POOL.host_views()
            if (host.zone, host.rack) == (rack.zone, rack.rack)
        ]
        assert rack.fullest in mine
    empty: Scene = Scenes().of(Pool.build([]))
    assert racks_of(empty) == []
