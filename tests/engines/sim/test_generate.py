# SPDX-License-Identifier: Apache-2.0
"""Made-up pools: the same for a seed, within every law, and as mixed as they claim."""

from itertools import pairwise

import numpy as np
import pytest

from billow.engines.sim.generate import generate
from billow.model.kinds import Arch, Kind, Power
from billow.model.pool import Pool
from billow.plan.baseline import baselines


@pytest.fixture(scope="module")
def large() -> Pool:
    return generate(1000, seed=3)


def test_a_seed_makes_one_pool() -> None:
    assert generate(40, seed=5).digest == generate(40, seed=5).digest
    assert generate(40, seed=5).digest != generate(40, seed=6).digest


@pytest.mark.parametrize("hosts", [0, 1, 3, 7])
def test_any_size_is_a_pool(hosts: int) -> None:
    assert len(generate(hosts).hosts) == hosts


def test_nothing_is_over_capacity(large: Pool) -> None:
    assert (large.free >= 0).all()
    assert (large.free_nodes >= 0).all()


def test_groups_are_apart(large: Pool) -> None:
    assert len(large.groups) > 100
    at = sorted((each.group, each.host) for each in large.instance_views() if each.group)
    assert all(first != second for first, second in pairwise(at))
    assert {group for group, _ in at} == {group.name for group in large.groups}


def test_instances_suit_their_hosts(large: Pool) -> None:
    for each in large.instance_views():
        assert each.shape.arch is large.host(each.host).arch
        assert len(each.nodes) == each.shape.numa_nodes


def test_it_is_mixed(large: Pool) -> None:
    kinds = {each.kind for each in large.instance_views()}
    assert kinds == set(Kind)
    assert {host.arch for host in large.host_views()} == {Arch.X86_64, Arch.AARCH64}
    assert {host.power for host in large.host_views()} == set(Power)
    assert set(large.hosts.zone.values()) == {"z1", "z2", "z3"}
    assert len(set(large.hosts.rack.values())) == 50
    assert any(large.hosts.cordon.values())
    assert any(each.immovable for each in large.instance_views())


def test_half_is_too_full_and_half_too_empty(large: Pool) -> None:
    sellable = large.hosts.sellable.sum(axis=1)[:, 0]
    share = large.reserved[:, 0] / sellable
    assert 0.35 < np.mean(share > 0.75) < 0.6
    assert 0.35 < np.mean(share < 0.4) < 0.6


def test_cpu_generations_differ_and_every_guest_could_run_on_all_of_its_kind(large: Pool) -> None:
    found = {each.vendor: each for each in baselines(large)}
    assert found["intel"].model == "Skylake-Server-v3"
    assert len(found["intel"].kinds) == 4
    assert found["intel"].better
    assert all(each.bound == 0 and each.unknown == 0 for each in found.values())
