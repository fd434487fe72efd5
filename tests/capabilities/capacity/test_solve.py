# SPDX-License-Identifier: Apache-2.0
"""N+k by hand, and against every packing there is."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings

from billow.capabilities.capacity.solve import Loss, losses
from billow.model.group import Group
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.instances import NOWHERE
from billow.model.kinds import Kind, Rule, Scope, State
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.plan.draft import Draft
from billow.plan.slots import open_hosts
from billow.plan.suit import suits
from billow.testing.pools import pool
from billow.testing.strategies import pools


def only(found: tuple[Loss, ...]) -> Loss:
    assert len(found) == 1
    return found[0]


def test_one_of_three_half_full_hosts_may_die() -> None:
    world = pool("3 hosts x 64GiB 16c; a: 6 vms x 4GiB 4c spread")
    loss = only(losses(world, 1))
    assert (loss.hosts, loss.instances, loss.homeless) == (("h1",), 2, ())
    assert len(only(losses(world, 2)).homeless) == 2  # 4 to house, room for 2
    everyone = only(losses(world, 3))
    assert len(everyone.homeless) == 6
    assert everyone.proven


def test_sums_would_be_enough_but_pieces_are_not() -> None:
    # 2 x 3 CPUs are free and 4 are needed in one piece
    world = pool("3 hosts x 64GiB 8c; a: 3 vms x 4GiB 5c spread")
    loss = only(losses(world, 1))
    assert [each.instance for each in loss.homeless] == ["a1"]
    assert loss.proven
    assert loss.more == 1
    assert "none of 2 hosts has 5 CPUs, 4 GiB left" in loss.homeless[0].reason


def test_numa_nodes_count() -> None:
    # h2 and h3 have 4 CPUs free on each of two nodes, the lost one needs 6 on one node
    world = pool(
        "3 hosts x 64GiB 16c 2numa; a: 1 vms x 4GiB 6c 1numa on=h1; "
        "b: 4 vms x 4GiB 4c 1numa spread; c: 2 vms x 4GiB 4c 1numa pack"
    )
    nodes = {host: world.free_nodes[world.host_row(host), :, 0].tolist() for host in world.hosts.id}
    loss = only(losses(world, 1))
    fits = any(amount >= 6000 for host, left in nodes.items() if host != "h1" for amount in left)
    assert (not [each for each in loss.homeless if each.instance == "a1"]) == fits


def test_anti_affinity_leaves_no_place() -> None:
    world = pool("3 hosts x 64GiB 16c; web: 3 vms x 4GiB 2c spread apart")
    loss = only(losses(world, 1))
    assert [each.instance for each in loss.homeless] == ["web1"]
    assert loss.proven
    assert "2 hosts have room, but group web (anti-affinity by host)" in loss.homeless[0].reason
    assert loss.homeless[0].fix == "add a host with room"


def test_members_of_a_lost_affinity_group_go_together() -> None:
    # two hosts have room for one member, one for both
    world = pool(
        "pair: 1 hosts x 64GiB 9c; narrow: 2 hosts x 64GiB 8c; wide: 1 hosts x 64GiB 8c; "
        "t: 2 vms x 4GiB 4c on=pair1 together; n: 1 vms x 4GiB 4c on=narrow1; "
        "m: 1 vms x 4GiB 4c on=narrow2"
    )
    assert only(losses(world, 1)).homeless == ()
    full = pool(
        "pair: 1 hosts x 64GiB 9c; narrow: 2 hosts x 64GiB 8c; "
        "t: 2 vms x 4GiB 4c on=pair1 together; n: 1 vms x 4GiB 4c on=narrow1; "
        "m: 1 vms x 4GiB 4c on=narrow2"
    )
    loss = only(losses(full, 1))
    assert len(loss.homeless) == 1
    assert loss.proven


def test_classes_die_one_at_a_time() -> None:
    world = pool(
        "a: 2 hosts x 64GiB 16c zone=z1; b: 2 hosts x 64GiB 16c zone=z2 aarch64; "
        "x: 1 vms x 4GiB 12c on=a1; y: 1 vms x 4GiB 12c on=b1 aarch64"
    )
    found = {loss.kind: loss for loss in losses(world, 1)}
    assert set(found) == {"x86_64, zone z1", "aarch64, zone z2"}
    assert all(not loss.homeless for loss in found.values())
    both = {loss.kind: loss for loss in losses(world, 2)}
    assert both["aarch64, zone z2"].homeless[0].reason.startswith("no other open host")
    (gone,) = both["x86_64, zone z1"].homeless  # its shape would do, but it was set up on x86_64
    assert gone.instance == "x1"


def test_bare_metal_takes_an_empty_host_and_keeps_it() -> None:
    metal = Instance("m", Shape("s", 2000, 1024), Kind.BARE_METAL, "h1", state=State.RUNNING)
    small = Instance("v", Shape("s", 2000, 1024), host="h2", state=State.RUNNING)
    hosts = [Host(name, (Node(8000, 8192),)) for name in ("h1", "h2", "h3")]
    assert only(losses(Pool.build(hosts, [metal, small]), 1)).homeless == ()
    loss = only(losses(Pool.build(hosts[:2], [metal, small]), 1))
    assert [each.instance for each in loss.homeless] == ["m"]


def test_closed_hosts_take_nothing_and_may_die() -> None:
    world = pool("1 hosts x 64GiB 32c cordoned; 1 hosts x 64GiB 16c off; 1 hosts x 64GiB 16c")
    busy = Pool.build(
        world.host_views(),
        [Instance("v", Shape("s", 20_000, 1024), host="h1", state=State.RUNNING)],
    )
    loss = only(losses(busy, 1))
    assert loss.hosts == ("h1",)
    assert [each.instance for each in loss.homeless] == ["v"]


def test_nobody_asks() -> None:
    assert losses(pool("3 hosts x 64GiB 16c"), 0) == ()


def packs(world: Pool, lost: set[int], victims: list[int]) -> bool:
    """Return whether any packing houses all victims: tries them all."""
    draft = Draft(world)
    for row in victims:
        draft.assign(row, NOWHERE)
    closed = ~open_hosts(world)
    closed[list(lost)] = True

    def placed(left: list[int]) -> bool:
        if not left:
            return True
        row = left[0]
        width = world.shapes[world.instances.shape[row]].numa_nodes
        for host in np.flatnonzero(suits(world, row) & ~closed).tolist():
            nodes = range(int(world.hosts.node_count[host]))
            for chosen in combinations(nodes, width):
                if draft.assign(row, host, sum(1 << node for node in chosen)):
                    if placed(left[1:]):
                        return True
                    draft.undo()
        return False

    return placed(victims)


@settings(max_examples=150)
@given(pools(most_hosts=4, most_instances=9, requests=False))
def test_what_is_covered_packs_and_what_is_impossible_does_not(world: Pool) -> None:
    for loss in losses(world, 1):
        lost = {world.host_row(name) for name in loss.hosts}
        victims = [
            row for row in range(len(world.instances)) if int(world.instances.host[row]) in lost
        ]
        assert loss.instances == len(victims)
        if not loss.homeless:
            assert packs(world, lost, victims)
        elif loss.proven:
            assert not packs(world, lost, victims)


@pytest.mark.parametrize("scope", [Scope.RACK, Scope.ZONE])
def test_wider_scopes(scope: Scope) -> None:
    hosts = [Host(f"h{n}", (Node(8000, 8192),), zone=f"z{n}", rack=f"r{n}") for n in range(3)]
    hosts += [replace(hosts[0], id="spare")]
    group = Group("g", Rule.ANTI_AFFINITY, scope)
    shape = Shape("s", 2000, 1024)
    rows = [
        Instance(f"i{n}", shape, host=f"h{n}", state=State.RUNNING, group="g") for n in range(3)
    ]
    world = Pool.build(hosts, rows, groups=[group])
    found = {loss.kind: loss for loss in losses(world, 1)}
    assert not found["x86_64, zone z0"].homeless
    assert [each.instance for each in found["x86_64, zone z1"].homeless] == ["i1"]
