# SPDX-License-Identifier: Apache-2.0

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from billow.errors import Invalid, NotFound
from billow.model.pool import Pool
from billow.model.resources import CPU
from billow.model.text import parse, render
from billow.sense.vmr import read_vmr, vmr_pool

CASES = Path(__file__).parent / "cases"
SMALL = CASES / "small.json"
REAL = Path(__file__).parents[2].parent / "shared" / "data" / "vmr"
FILES = sorted(REAL.glob("*.json.gz"))


def test_a_small_mapping_is_this_pool() -> None:
    assert render(read_vmr(SMALL)) == (CASES / "small.pool").read_text()


def test_gzip_is_read_like_plain_json(tmp_path: Path) -> None:
    zipped = tmp_path / "small.json.gz"
    zipped.write_bytes(gzip.compress(SMALL.read_bytes()))
    assert read_vmr(zipped).digest == read_vmr(SMALL).digest


def fragment_rate(pool: Pool) -> float:
    """FR16 of the format's description: the share of free cores that no 16-core VM can use."""
    free = pool.free_nodes[..., CPU][pool.hosts.present]
    total = int(free.sum()) // 1000
    return (total - 16 * int((free // 16_000).sum())) / total


@pytest.mark.skipif(not FILES, reason="the real mappings are not beside this checkout")
def test_the_real_mappings_are_read_whole() -> None:
    sizes = {}
    for path in FILES:
        pool = read_vmr(path)
        document = json.loads(gzip.decompress(path.read_bytes()))
        assert len(pool.instances) == sum(len(c["vm_instance"]) for c in document["cluster_list"])
        assert not (pool.free_nodes < 0).any()
        sizes[path.name] = (len(pool.hosts), len(pool.instances), len(pool.gaps))
    assert sizes["medium.json.gz"] == (279, 2089, 80)
    assert sizes["large_c1.json.gz"] == (352, 504, 55)
    assert all(gaps == 0 for name, (_, _, gaps) in sizes.items() if "flex" in name)


@pytest.mark.skipif(not FILES, reason="the real mappings are not beside this checkout")
def test_the_real_fragmentation_is_what_the_file_states() -> None:
    path = REAL / "medium.json.gz"
    document = json.loads(gzip.decompress(path.read_bytes()))
    free = [
        node["free_cpu"]
        for cluster in document["cluster_list"]
        for host in cluster["host_info"]
        for node in host["numa"]
    ]
    stated = (sum(free) - 16 * sum(cores // 16 for cores in free)) / sum(free)
    assert fragment_rate(read_vmr(path)) == stated


def broken(way: str, value: object) -> Any:  # noqa: ANN401 (JSON is anything)
    document = copy.deepcopy(json.loads(SMALL.read_text()))
    part = document
    *steps, last = [int(step) if step.isdigit() else step for step in way.split(".")]
    for step in steps:
        part = part[step]
    part[last] = value
    return document


HOST = "cluster_list.0.host_info.0"
VM = "cluster_list.0.vm_instance.1"


@pytest.mark.parametrize(
    ("way", "value", "said"),
    [
        ("cluster_list", [], "cluster_list"),
        ("cluster_list", {}, "cluster_list"),
        ("cluster_list.0.host_info", None, "cluster_list[0].host_info"),
        (f"{HOST}.numa", [], "cluster_list[0].host_info[0].numa"),
        (f"{HOST}.numa.0.total_cpu", "4", "cluster_list[0].host_info[0].numa[0].total_cpu"),
        (f"{HOST}.numa.0.total_cpu", True, "cluster_list[0].host_info[0].numa[0].total_cpu"),
        (f"{HOST}.numa.0.total_cpu", -4, "cluster_list[0].host_info[0].numa[0].total_cpu"),
        (f"{HOST}.numa.0.total_cpu", 1e30, "cluster_list[0].host_info[0].numa[0].total_cpu"),
        (f"{HOST}.numa.0.total_cpu", float("nan"), "numa[0].total_cpu"),
        (f"{HOST}.numa.0.total_cpu", 0.0001, "cluster_list[0].host_info[0]"),
        (f"{HOST}.numa.0.node", 1, "numbered [1, 1]"),
        (f"{HOST}.numa.0.node", 99, "cluster_list[0].host_info[0].numa[0].node"),
        (f"{HOST}.numa.0.memory_huge_total_mb", 99999.0, "cluster_list[0].host_info[0]"),
        (f"{HOST}.node_id", "a b", "cluster_list[0].host_info[0]"),
        ("cluster_list.1.host_info.0.node_id", "pm_1", "pm_1 is in the pool twice"),
        (f"{HOST}.rack_id", "a b", "cluster_list[0].host_info[0]"),
        (f"{HOST}.rack_id", 1.5, "cluster_list[0].host_info[0].rack_id"),
        (f"{VM}.numa.0.cpu", 1, "cluster_list[0].vm_instance[1]"),
        (f"{VM}.numa.0.node", 0, "cluster_list[0].vm_instance[1]"),
        (f"{VM}.numa.0.node", 5, "NUMA nodes 0, 5 of pm_0"),
        (f"{VM}.host_id", "pm_9", "on host pm_9, which is not in the pool"),
        (f"{VM}.host_id", 5, "cluster_list[0].vm_instance[1].host_id"),
        (f"{VM}.instance_id", "vm_0", "vm_0 is in the pool twice"),
        (f"{VM}.instance_id", "", "cluster_list[0].vm_instance[1]"),
        (f"{VM}.allow_migration", "yes", "cluster_list[0].vm_instance[1].allow_migration"),
        ("vm_type_list.0.numa", 0, "vm_type_list[0].numa"),
        ("vm_type_list.0.request_cpu", 3, "cluster_list[0].vm_instance[0]"),
    ],
)
def test_a_broken_mapping_says_where(way: str, value: object, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        vmr_pool(broken(way, value), "small.json")
    assert said in str(caught.value)
    assert "small.json" in str(caught.value)
    assert caught.value.fix


def test_an_instance_without_a_host_is_a_request() -> None:
    pool = vmr_pool(broken(f"{VM}.host_id", None), "small.json")
    assert pool.instance("vm_1").host == ""
    assert pool.instance("vm_1").nodes == ()


@pytest.mark.parametrize("document", [None, [], {}, 5, "x", {"cluster_list": None}])
def test_what_is_no_mapping_is_refused(document: object) -> None:
    with pytest.raises(Invalid):
        vmr_pool(document, "x")


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_vmr(tmp_path / "none.json")


@pytest.mark.skipif(not FILES, reason="the real mappings are not beside this checkout")
def test_a_real_mapping_survives_the_text_form() -> None:
    pool = read_vmr(REAL / "medium.json.gz")
    assert parse(render(pool)).digest == pool.digest
