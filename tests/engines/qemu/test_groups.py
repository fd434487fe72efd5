# SPDX-License-Identifier: Apache-2.0
"""Control groups of both versions, on folders that stand in for the kernel's.

What the kernel does with them is tested on real guests (`test_real_share`); which version that is
depends on the machine.
"""

import math
from pathlib import Path

import pytest

from billow.engines.qemu.groups import Groups, Hierarchy, Share, find_hierarchy, own_cpus
from billow.model.kinds import Service

pytestmark = pytest.mark.anyio
BATCH = Share(cpus=2, service=Service.BATCH, limit_milli=500)


def groups(root: Path, version: int, capacity: int = 3500) -> Groups:
    hierarchy = Hierarchy(cpu=str(root), version=version, pressure=str(root))
    return Groups(hierarchy, "pool", {"h1": capacity})


def said(root: Path, *path: str) -> str:
    return root.joinpath("billow-pool", *path).read_text()


def test_version_2_gets_weights_and_limits(tmp_path: Path) -> None:
    groups(tmp_path, 2).regulate("h1", "x", BATCH, 77)
    assert said(tmp_path, "host-h1", "cpu.max") == "70000 20000"
    assert said(tmp_path, "host-h1", "cpu.weight") == "350"
    assert said(tmp_path, "host-h1", "vm-x", "cpu.max") == "10000 20000"
    assert said(tmp_path, "host-h1", "vm-x", "cpu.weight") == "1"
    assert said(tmp_path, "host-h1", "vm-x", "cgroup.procs") == "77"


def test_version_1_gets_shares_and_quotas(tmp_path: Path) -> None:
    groups(tmp_path, 1).regulate("h1", "x", BATCH, None)
    assert said(tmp_path, "host-h1", "cpu.cfs_quota_us") == "70000"
    assert said(tmp_path, "host-h1", "cpu.shares") == str(3500 * 1024 // 1000)
    assert said(tmp_path, "host-h1", "vm-x", "cpu.cfs_quota_us") == "10000"
    assert said(tmp_path, "host-h1", "vm-x", "cpu.shares") == "2"


@pytest.mark.parametrize("version", [1, 2])
def test_a_group_that_can_be_idle_is(tmp_path: Path, version: int) -> None:
    folder = tmp_path / "billow-pool" / "host-h1" / "vm-x"
    folder.mkdir(parents=True)
    (folder / "cpu.idle").write_text("0")
    pool = groups(tmp_path, version)
    pool.regulate("h1", "x", BATCH, None)
    assert said(tmp_path, "host-h1", "vm-x", "cpu.idle") == "1"
    pool.regulate("h1", "x", Share(cpus=2), None)
    assert said(tmp_path, "host-h1", "vm-x", "cpu.idle") == "0"


@pytest.mark.parametrize(
    ("limit", "quota", "period"),
    [(0, -1, 100_000), (1, 1000, 1_000_000), (10, 1000, 100_000), (9000, 70_000, 20_000)],
)
def test_a_limit_is_a_quota_that_the_kernel_takes(
    tmp_path: Path, limit: int, quota: int, period: int
) -> None:
    """It is at least 1 ms, over 1 s at most, and never more than the host has."""
    groups(tmp_path, 1).regulate("h1", "x", Share(cpus=1, limit_milli=limit), None)
    assert int(said(tmp_path, "host-h1", "vm-x", "cpu.cfs_quota_us")) == quota
    assert int(said(tmp_path, "host-h1", "vm-x", "cpu.cfs_period_us")) == period


def test_whole_cpus_that_are_there_are_a_hosts_own() -> None:
    assert own_cpus({"a": 1000, "b": 2000}, [0, 1, 5]) == {"a": "0", "b": "1,5"}
    assert own_cpus({"a": 2000, "b": 2000}, [0, 1, 5]) == {}
    assert own_cpus({"a": 500, "b": 1000}, [0, 1, 5]) == {}


def test_pressure_is_read_as_a_share(tmp_path: Path) -> None:
    pool = groups(tmp_path, 2)
    assert pool.pressure("h1") == (0.0, 0.0)
    pool.regulate("h1", "x", BATCH, None)
    host = tmp_path / "billow-pool" / "host-h1"
    (host / "cpu.pressure").write_text("some avg10=12.50 avg60=0.00 avg300=0.00 total=1\n")
    cpu, memory = pool.pressure("h1")
    assert cpu == 0.125
    assert math.isnan(memory)


async def test_without_a_controller_nothing_is_made_and_limits_are_not_claimed() -> None:
    pool = Groups(Hierarchy(), "pool", {"h1": 3500})
    assert not pool.limits
    assert pool.entering("h1", "x", 1) == ()
    assert all(map(math.isnan, pool.pressure("h1")))
    await pool.tear_down()


def test_a_folder_without_the_controller_is_not_taken(tmp_path: Path) -> None:
    """A mounted version 2 whose groups have no `cpu.max` is no CPU controller."""
    mounts, own = tmp_path / "mounts", tmp_path / "cgroup"
    mounts.write_text(f"cgroup2 {tmp_path} cgroup2 rw 0 0\n")
    own.write_text("0::/\n")
    assert find_hierarchy(mounts, own) == Hierarchy()
    assert find_hierarchy(tmp_path / "none", own) == Hierarchy()


@pytest.mark.parametrize("told", ["throttled_time 1500000000", "throttled_usec 1500000"])
def test_how_long_a_limit_held_is_read_in_both_versions(tmp_path: Path, told: str) -> None:
    pool = groups(tmp_path, 2)
    pool.regulate("h1", "x", BATCH, None)
    assert pool.held_s("h1", "x") == 0
    (tmp_path / "billow-pool" / "host-h1" / "vm-x" / "cpu.stat").write_text(
        f"nr_periods 3\n{told}\n"
    )
    assert pool.held_s("h1", "x") == 1.5
