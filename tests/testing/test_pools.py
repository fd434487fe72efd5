# SPDX-License-Identifier: Apache-2.0
"""Pools in one line."""

import pytest

from billow.errors import Invalid
from billow.model.kinds import Arch, Health, Kind, Power, Rule, State
from billow.model.text import render
from billow.testing.pools import pool


def test_hosts_and_spread_instances() -> None:
    made = pool("3 hosts x 64GiB 16c; a: 8 vms x 4GiB 2c spread")
    assert made.hosts.id == ("h1", "h2", "h3")
    assert made.host("h2").memory_mib == 65_536
    assert made.host("h2").cpu_milli == 16_000
    where = [made.instance(f"a{number}").host for number in range(1, 9)]
    assert where == ["h1", "h2", "h3"] * 2 + ["h1", "h2"]
    assert len(made.shapes) == 1
    assert {each.state for each in made.instance_views()} == {State.RUNNING}


def test_pack_fills_the_first_host() -> None:
    made = pool("2 hosts x 8GiB 8c; 3 vms x 4GiB 1c pack")
    assert [each.host for each in made.instance_views()] == ["h1", "h1", "h2"]


def test_requests_have_no_host() -> None:
    made = pool("1 host x 8GiB 8c; 1 container x 4GiB 1c")
    request = made.instance("container1")
    assert (request.host, request.state, request.kind) == ("", State.REQUESTED, Kind.CONTAINER)


def test_numa_takes_the_emptier_node() -> None:
    made = pool("1 host x 64GiB 16c 2numa; 4 vms x 4GiB 2c 1numa spread")
    assert [each.nodes for each in made.instance_views()] == [(0,), (1,), (0,), (1,)]
    assert (made.free_nodes >= 0).all()


def test_words_of_hosts() -> None:
    made = pool("arm: 1 host x 8GiB 4c aarch64 off zone=z1 +nvme; 1 host x 8GiB 4c failed cordoned")
    assert made.hosts.id == ("arm1", "h2")
    first, second = made.host_views()
    assert (first.arch, first.power, first.zone) == (Arch.AARCH64, Power.OFF, "z1")
    assert first.traits == {"nvme"}
    assert (second.health, second.cordon) == (Health.FAILED, "maintenance")


def test_words_of_instances() -> None:
    made = pool("2 hosts x 8GiB 4c; a: 2 vms x 1GiB 1c on=h2 apart immovable dirty=5 priority=2")
    first = made.instance("a1")
    assert (first.host, first.group, first.immovable) == ("h2", "a", "immovable")
    assert (first.dirty_mib_s, first.priority) == (5.0, 2)
    group = made.group("a")
    assert group is not None
    assert group.rule is Rule.ANTI_AFFINITY


def test_a_text_form_is_read_as_such() -> None:
    made = pool("3 hosts x 64GiB 16c 2numa; a: 8 vms x 4GiB 2c spread apart; 2 vms x 1GiB 1c")
    assert pool(render(made)).digest == made.digest


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("3 hosts x 64GiB 16c; nonsense", "as a clause"),
        ("3 hosts x 64GiB 16c; 3 boats x 1GiB 1c", "as a clause"),
        ("3 hosts x 64GiB 16c fast", "the word 'fast'"),
        ("1 host x 1GiB 1c; 2 vms x 1GiB 1c spread", "no room for vm2"),
        ("1 host x 1GiB 1c; 1 vm x 1GiB", "need memory and CPUs"),
        ("1 host x 2GiB 1c huge=much", "as an amount"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, wrong: str) -> None:
    with pytest.raises(Invalid, match=wrong):
        pool(text)
