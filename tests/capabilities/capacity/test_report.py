# SPDX-License-Identifier: Apache-2.0
"""The capacity report, figure by figure, on pools that can be counted by hand."""

from benchmarks.whitepaper_pools import S6_WANTED, pool_s6

from billow.capabilities.capacity import Capacity, CapacityPolicy
from billow.model.plan import Severity
from billow.model.pool import Pool
from billow.model.report import Report
from billow.testing.pools import pool


def grid(told: Report, key: str) -> list[dict[str, object]]:
    found = next(each for each in told.grids if each.key == key)
    keys = [column.key for column in found.columns]
    return [dict(zip(keys, row, strict=True)) for row in found.rows]


def test_the_white_papers_pool() -> None:
    told = Capacity().report(pool_s6(), CapacityPolicy(shapes=(S6_WANTED.name,)))
    assert f"{told.figures['fragmentation_share']:.2%}" == "8.14%"
    row = grid(told, "shapes")[0]
    assert (row["fit"], row["best"], row["theoretical"]) == (406, 442, 442)
    assert told.figures["free_cpus"] == 10_234
    assert told.figures["free_mib"] == 28_327 * 1024


def test_each_alone_and_tiered() -> None:
    # 7 CPUs left on each of two hosts: large first leaves 3 each, and so on
    world = pool(
        "2 hosts x 64GiB 14c; a: 2 vms x 1GiB 4c spread; b: 2 vms x 1GiB 2c spread; "
        "c: 2 vms x 1GiB 1c spread"
    )
    rows = {row["cpus"]: row for row in grid(Capacity().report(world, CapacityPolicy()), "shapes")}
    assert [rows[size]["fit"] for size in (4, 2, 1)] == [2, 6, 14]
    assert [rows[size]["tiered"] for size in (4, 2, 1)] == [2, 2, 2]
    assert [rows[size]["theoretical"] for size in (4, 2, 1)] == [3, 7, 14]
    assert [rows[size]["in_use"] for size in (4, 2, 1)] == [2, 2, 2]


def test_a_full_zone_is_worth_a_warning() -> None:
    world = pool(
        "a: 1 hosts x 64GiB 4c zone=z1; b: 1 hosts x 64GiB 8c zone=z2; "
        "x: 1 vms x 1GiB 4c on=a1; y: 1 vms x 1GiB 4c on=b1"
    )
    policy = CapacityPolicy(failures=0)
    found = {each.subject: each for each in Capacity().propose(world, policy).findings}
    assert found["zone/z1"].severity is Severity.WARNING
    assert found["zone/z1"].text == "room for 0 more 4000m-1024mib, wanted 1"
    assert "zone/z2" not in found
    zones = grid(Capacity().report(world, policy), "zones")
    assert [(row["zone"], row["slots"], row["cpu_share"]) for row in zones] == [
        ("z1", 0, 1.0),
        ("z2", 1, 0.5),
    ]
    quiet = Capacity().propose(world, CapacityPolicy(failures=0, zone_slots=0)).findings
    assert [each.subject for each in quiet] == ["pool"]  # no history


def test_a_zone_without_hosts_of_its_kind_is_none_of_its_business() -> None:
    world = pool(
        "a: 1 hosts x 64GiB 8c zone=z1; b: 1 hosts x 64GiB 8c zone=z2 aarch64; "
        "x: 1 vms x 1GiB 4c x86_64 on=a1"
    )
    found = Capacity().propose(world, CapacityPolicy(failures=0)).findings
    assert "zone/z2" not in {each.subject for each in found}


def test_a_closed_zone_is_worth_a_warning() -> None:
    world = pool(
        "a: 1 hosts x 64GiB 8c zone=z1 cordoned; b: 1 hosts x 64GiB 8c zone=z2; "
        "x: 1 vms x 1GiB 4c on=b1"
    )
    found = Capacity().propose(world, CapacityPolicy(failures=0)).findings
    assert "zone/z1" in {each.subject for each in found}


def test_losses_are_findings_and_rows() -> None:
    world = pool("3 hosts x 64GiB 8c; a: 3 vms x 4GiB 5c spread")
    told = Capacity().report(world, CapacityPolicy())
    assert told.figures["homeless"] == 1
    assert "the loss of 1 host of any class is not covered: 1 instance would" in told.summary
    finding = next(each for each in told.findings if each.subject == "host/h1")
    assert finding.text == (
        "x86_64: when h1 dies, 1 of 1 instance finds no room (proven, unless others move); "
        "1 more such host would help"
    )
    assert [row["verdict"] for row in grid(told, "losses")] == ["impossible"]
    assert [row["instance"] for row in grid(told, "homeless")] == ["a1"]


def test_unknown_shapes_are_told_of() -> None:
    world = pool("2 hosts x 64GiB 8c; a: 1 vms x 4GiB 5c spread")
    found = Capacity().propose(world, CapacityPolicy(shapes=("huge",))).findings
    assert [each.text for each in found if each.subject == "shape/huge"] == [
        "the pool has no shape of this name"
    ]


def test_a_pool_of_nothing_is_told_of() -> None:
    told = Capacity().report(Pool.build([]), CapacityPolicy())
    assert told.summary == "No shape is in use or named, so there is nothing to count."
