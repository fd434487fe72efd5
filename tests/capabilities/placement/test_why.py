# SPDX-License-Identifier: Apache-2.0
"""What people read when a request does not fit."""

import pytest

from billow.capabilities.placement.plan import Placement, why_not
from billow.capabilities.placement.policy import PlacementPolicy
from billow.capabilities.placement.why import MOST_CAUSES
from billow.errors import Invalid
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import State
from billow.model.plan import Rejection
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.testing.pools import pool as pool_of

POLICY = PlacementPolicy()


def request(shape: Shape, zone: str = "", group: str = "") -> Instance:
    return Instance("new", shape, zone=zone, group=group)


def test_every_kind_of_host_says_why_not() -> None:
    pool = pool_of(
        "a: 3 hosts x 64GiB 16c zone=z1; b: 2 hosts x 32GiB 8c zone=z2; x: 5 vms x 4GiB 6c spread"
    )
    answers = why_not(pool, request(Shape("n", 4000, 4096), zone="z1"), POLICY)
    assert answers == (
        Rejection(
            "instance/new",
            "none of 2 hosts fits: x86_64, zone z2, 8 CPUs, 32 GiB",
            ("2 hosts: not in zone z1",),
            "",
        ),
    )


def test_the_nearest_miss_and_the_ways_out_are_named() -> None:
    pool = pool_of(
        "a: 2 hosts x 64GiB 16c zone=z1; b: 1 hosts x 64GiB 16c zone=z2; x: 3 vms x 4GiB 14c spread"
    )
    (first, second) = why_not(pool, request(Shape("n", 4000, 4096), zone="z1"), POLICY)
    assert first.causes == ("2 hosts: too little free CPU",)
    assert first.fix == "free 2 CPUs on a1"
    assert second.causes == ("1 host: not in zone z1",)


def test_an_answer_is_empty_when_every_host_fits() -> None:
    assert why_not(pool_of("3 hosts x 64GiB 16c"), request(Shape("n", 1000, 1024)), POLICY) == ()


def test_a_kind_that_fits_in_part_says_how_many() -> None:
    pool = pool_of("3 hosts x 64GiB 16c; x: 1 vms x 4GiB 14c on=h2")
    (answer,) = why_not(pool, request(Shape("n", 4000, 4096)), POLICY)
    assert answer.reason.startswith("2 of 3 hosts fit:")
    assert answer.causes == ("1 host: too little free CPU",)
    assert answer.fix == "free 2 CPUs on h2"


def test_an_instance_of_the_pool_is_asked_about_elsewhere() -> None:
    pool = pool_of("2 hosts x 64GiB 16c; x: 2 vms x 4GiB 14c spread")
    (answer,) = why_not(pool, pool.instance("x1"), POLICY)
    assert sorted(answer.causes) == ["1 host: not to be used for it", "1 host: too little free CPU"]


def test_unknown_groups_are_refused() -> None:
    with pytest.raises(Invalid, match="group"):
        why_not(pool_of("1 hosts x 8GiB 4c"), request(Shape("n", 1, 1), group="none"), POLICY)


def test_many_kinds_of_hosts_are_counted_not_listed() -> None:
    hosts = [Host(f"h{number:02}", (Node(1000 + number, 1024),)) for number in range(40)]
    pool = Pool.build(hosts, [Instance("v", Shape("l", 9000, 1024), state=State.REQUESTED)])
    (rejection,) = Placement().propose(pool, POLICY).rejections
    assert len(rejection.causes) == MOST_CAUSES + 1
    assert rejection.causes[-1] == f"{40 - MOST_CAUSES} hosts of other kinds"


def test_equal_requests_share_one_explanation() -> None:
    pool = pool_of("1 hosts x 8GiB 4c; v: 3 vms x 4GiB 3c")
    proposal = Placement().propose(pool, POLICY)
    texts = {(each.reason, each.causes, each.fix) for each in proposal.rejections}
    assert len(proposal.rejections) == 2
    assert texts == {
        (
            "none of 1 host fits",
            ("1 host (x86_64, 4 CPUs, 8 GiB): too little free CPU",),
            "free 2 CPUs on h1",
        )
    }
